// From the 32-bit sums of a product of integers to the 8-bit integers of its result: what most
// epilogues of INT8 are, in one loop.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/dtype.h"
#include "base/pointwise.h"

namespace graft::cpu {

// clamp(round(fl(float(sum + bias) · m) + fl(float(r) · residual_multiplier))), halves to even,
// each operation rounded once. Bias and residual r may be missing.
struct Requantization {
  const int32_t* bias = nullptr;      // one a column
  const float* multiplier = nullptr;  // m, one a column
  const int8_t* residual = nullptr;
  int64_t residual_stride = 0;  // elements between its rows
  float residual_multiplier = 0;
  float low = 0;
  float high = 0;
};
void Requantize(const Requantization& r, int64_t rows, int64_t columns, const int32_t* sums,
                int64_t sums_stride, int8_t* output, int64_t output_stride);

// A program that computes this of its input 0: which inputs are what; -1: there is none.
struct RequantizingProgram {
  int bias = -1;
  int multiplier = -1;
  int residual = -1;
  float residual_multiplier = 0;
  float low = 0;
  float high = 0;
};
std::optional<RequantizingProgram> MatchRequantization(const PointwiseProgram& program,
                                                       std::span<const DType> inputs);

}  // namespace graft::cpu
