// From the distribution of a tensor's elements to the range in which it is quantised.
#pragma once

#include <optional>
#include <string_view>

#include "quant/histogram.h"

namespace graft::quant {

enum class Calibrator : uint8_t {
  kEntropy,     // Entropy, but no less than Percentile(99.99)
  kPercentile,  // Percentile(99.999)
  kMinMax,      // the largest element
  kMse,         // MeanSquaredError
};

std::string_view Name(Calibrator calibrator);  // "entropy", "percentile", "minmax", "mse"
std::optional<Calibrator> ParseCalibrator(std::string_view name);

// amax: the range is [-amax, amax]. 0 where no element was seen or all were zero: such a tensor has
// no range.
double Calibrate(const Histogram& histogram, Calibrator calibrator);

// The upper end of the bin within which lie `percent` % of the elements.
double Percentile(const Histogram& histogram, double percent);

// The range whose 128 levels keep most of the distribution's information: the last minimum, over
// ends of bins from the 128th on, of the Kullback-Leibler divergence between the elements clipped
// to it and the same counted in 128 levels, each spread evenly over its bins that are not empty.
// Zeros say nothing of the range: bin 0 counts as bin 1 does. The algorithm of NVIDIA's open
// calibrators (pytorch-quantization, calib/histogram.py). By itself it is fooled by spikes, such
// as a constant background, onto which it clips everything else: hence the floor of kEntropy.
double Entropy(const Histogram& histogram);

// Of 91 ranges, from a tenth of the largest element to all of it, the first with the least squared
// error of rounding to 127 steps.
double MeanSquaredError(const Histogram& histogram);

}  // namespace graft::quant
