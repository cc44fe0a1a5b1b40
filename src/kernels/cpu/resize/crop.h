// Parts of images [N, H, W, C], each resized to one size.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/resize/resize.h"

namespace graft::cpu {

struct CropProblem {
  bool bilinear = true;
  DType dtype = DType::kFloat32;  // of x; y is f32
  Dims x;
  int64_t x_row_stride = 1;
  Dims y;
  int64_t y_row_stride = 1;
  float outside = 0;
};

class CropOperation {
 public:
  static Result<CropOperation> Make(const CropProblem& problem);
  static bool Supports(DType dtype);

  // A row of taps for each worker.
  size_t scratch_bytes(int width) const;
  // Inputs are the images, the boxes' corners (top, left, bottom, right) and their images.
  // kInvalidArgument for an image out of range or a corner that is not finite.
  Status Run(const Buffers& buffers, Executor& executor) const;

 private:
  size_t TapsBytes() const;
  Status CheckBoxes(const float* boxes, const int32_t* images) const;
  void RunRow(int64_t row, const Buffers& buffers, ResizeTap* taps) const;

  CropProblem problem_;
  ResizeLoop loop_ = nullptr;
};

}  // namespace graft::cpu
