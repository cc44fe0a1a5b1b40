// Resizing of images [N, H, W, C] by weighted sums of pixels, at TensorFlow's positions: bicubic
// interpolation and averages of areas.
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

enum class ResizeFilter : uint8_t { kBicubic, kArea };

struct FilterProblem {
  ResizeFilter filter = ResizeFilter::kBicubic;
  DType dtype = DType::kFloat32;  // of x; y is f32
  Dims x;
  int64_t x_row_stride = 1;
  Dims y;
  int64_t y_row_stride = 1;
  bool align_corners = false;
  bool half_pixel_centers = false;  // kBicubic only
};

// A pixel along an axis, and its share of a result.
struct FilterTap {
  int64_t pixel;
  float weight;
};
// The taps of result i are taps[begin[i]] to taps[begin[i + 1]].
struct FilterTaps {
  std::vector<FilterTap> taps;
  std::vector<int64_t> begin = {0};
};

// Adds `weight` times a row of pixels to sums of all its channels.
struct FilterRow {
  const void* x;
  int64_t x_stride;
  float weight;
  int64_t pixels;
  int64_t channels;
  float* sums;  // dense
};
using FilterLoop = void (*)(const FilterRow& row);

// Rows of x are summed first, into one row of W pixels, and then its pixels.
class FilterOperation {
 public:
  static Result<FilterOperation> Make(const FilterProblem& problem);
  static bool Supports(DType dtype);

  size_t scratch_bytes(int width) const;
  void Run(const Buffers& buffers, Executor& executor) const;

 private:
  size_t RowBytes() const;
  void RunRow(int64_t row, const Buffers& buffers, float* sums) const;

  FilterProblem problem_;
  FilterLoop loop_ = nullptr;
  FilterTaps vertical_;
  FilterTaps horizontal_;
};

}  // namespace graft::cpu
