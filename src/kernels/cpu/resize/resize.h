// Nearest-neighbour and bilinear resizing of images [N, H, W, C], at TensorFlow's positions.
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

struct ResizeProblem {
  bool bilinear = false;  // gives f32; nearest keeps the dtype
  DType dtype = DType::kFloat32;
  Dims x;
  int64_t x_row_stride = 1;
  Dims y;
  int64_t y_row_stride = 1;
  bool align_corners = false;
  bool half_pixel_centers = false;
};

// The two pixels along an axis between which a result lies, as offsets in elements, and the weight
// of the second.
struct ResizeTap {
  int64_t lower;
  int64_t upper;
  float weight;
};
// One row of results. `top` and `bottom` are the rows of x above and below, `weight` that of the
// bottom one.
struct ResizeRow {
  const void* top;
  const void* bottom;
  float weight;
  const ResizeTap* taps;  // one for each pixel of the row
  int64_t pixels;
  int64_t channels;
  float* y;
  int64_t y_stride;
};
using ResizeLoop = void (*)(const ResizeRow& row);
// The vectorised bilinear loop over f32 images for this processor.
ResizeLoop F32ResizeLoop();
// The bilinear loop over images of the dtype; null where there is none.
ResizeLoop BilinearLoop(DType dtype);

class ResizeOperation {
 public:
  static Result<ResizeOperation> Make(const ResizeProblem& problem);
  static bool Supports(bool bilinear, DType dtype);

  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor& executor) const;

 private:
  void NearestRow(const std::byte* row, std::byte* y) const;

  ResizeProblem problem_;
  ResizeLoop loop_ = nullptr;  // bilinear only
  int64_t image_stride_ = 0;
  // For nearest, `lower` is the pixel.
  std::vector<ResizeTap> rows_;
  std::vector<ResizeTap> columns_;
};

}  // namespace graft::cpu
