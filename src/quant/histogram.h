// How often the elements of a tensor have which absolute value, over many batches.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "base/executor.h"

namespace graft::quant {

// Bins of equal width over |x|. The first batch that is not all zero fixes the width: its largest
// element ends bin kFirstBins. Later batches append bins of the same width, as in NVIDIA's open
// calibrators (pytorch-quantization, calib/histogram.py), up to kMaxBins; what lies beyond counts
// in the last bin. Elements that are not finite are left out. The counts do not depend on how the
// work was split.
class Histogram {
 public:
  static constexpr int64_t kFirstBins = 2048;
  static constexpr int64_t kMaxBins = int64_t{1} << 16;

  Histogram() = default;
  // As one that has counted this; for who has kept it.
  Histogram(int64_t count, double amax, double bin_width, std::vector<int64_t> bins)
      : count_(count), amax_(amax), width_(bin_width), bins_(std::move(bins)) {}

  void Add(std::span<const float> values, Executor& executor);

  // Elements seen, and the largest |x| among them; 0 where there were none.
  int64_t count() const { return count_; }
  double amax() const { return amax_; }
  // 0 until an element other than zero was seen; all elements are in bin 0 then.
  double bin_width() const { return width_; }
  const std::vector<int64_t>& bins() const { return bins_; }

 private:
  int64_t count_ = 0;
  double amax_ = 0;
  double width_ = 0;
  std::vector<int64_t> bins_;
};

}  // namespace graft::quant
