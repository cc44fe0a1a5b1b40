#include "kernels/cpu/resize/crop.h"

#include <algorithm>
#include <cmath>

#include "base/aligned_buffer.h"
#include "base/dtype_visit.h"

namespace graft::cpu {
namespace {

// The pixel itself, without a weighted sum that would make NaN of an infinity.
template <class T>
void NearestEach(const ResizeRow& row) {
  const T* line = static_cast<const T*>(row.top);
  for (int64_t pixel = 0; pixel < row.pixels; ++pixel) {
    const T* x = line + row.taps[pixel].lower;
    float* y = row.y + pixel * row.y_stride;
    for (int64_t c = 0; c < row.channels; ++c) y[c] = static_cast<float>(x[c]);
  }
}

ResizeLoop FindLoop(bool bilinear, DType dtype) {
  if (bilinear) return BilinearLoop(dtype);
  return TryVisitDType(kNativeTypes, dtype,
                       []<class T>(T) -> ResizeLoop { return NearestEach<T>; });
}

// Where result i of `size` lies between the corners, in pixels; in single precision as TensorFlow
// computes it, since the position decides which pixels are read.
float Position(float first, float last, int64_t i, int64_t size, int64_t pixels) {
  const auto edge = static_cast<float>(pixels - 1);
  if (size == 1) return static_cast<float>(0.5 * (first + last) * edge);
  const float scale = (last - first) * edge / static_cast<float>(size - 1);
  return first * edge + static_cast<float>(i) * scale;
}

// Written so that NaN, from corners whose difference overflows, is outside.
bool Inside(float position, int64_t pixels) {
  return position >= 0 && position <= static_cast<float>(pixels - 1);
}

ResizeTap TapAt(float position, bool bilinear, int64_t stride) {
  if (!bilinear) {
    const auto pixel = static_cast<int64_t>(std::round(position)) * stride;
    return {pixel, pixel, 0};
  }
  const float floor = std::floor(position);
  return {static_cast<int64_t>(floor) * stride, static_cast<int64_t>(std::ceil(position)) * stride,
          position - floor};
}

}  // namespace

bool CropOperation::Supports(DType dtype) {
  return dtype != DType::kBool && FindLoop(true, dtype) != nullptr &&
         FindLoop(false, dtype) != nullptr;
}

Result<CropOperation> CropOperation::Make(const CropProblem& p) {
  if (!Supports(p.dtype)) return UnsupportedError("crops of {}", Name(p.dtype));
  CropOperation operation;
  operation.problem_ = p;
  operation.loop_ = FindLoop(p.bilinear, p.dtype);
  return operation;
}

size_t CropOperation::TapsBytes() const {
  return AlignUp(static_cast<size_t>(problem_.y[2]) * sizeof(ResizeTap));
}

size_t CropOperation::scratch_bytes(int width) const {
  return static_cast<size_t>(width) * TapsBytes();
}

Status CropOperation::CheckBoxes(const float* boxes, const int32_t* images) const {
  for (int64_t b = 0; b < problem_.y[0]; ++b) {
    if (images[b] < 0 || images[b] >= problem_.x[0])
      return InvalidArgumentError("image {} is not in [0, {})", images[b], problem_.x[0]);
    for (int64_t k = 4 * b; k < 4 * b + 4; ++k) {
      if (!std::isfinite(boxes[k]))
        return InvalidArgumentError("box {} has a corner that is not finite", b);
    }
  }
  return OkStatus();
}

void CropOperation::RunRow(int64_t row, const Buffers& buffers, ResizeTap* taps) const {
  const CropProblem& p = problem_;
  const int64_t b = row / p.y[1];
  const float* box = static_cast<const float*>(buffers.inputs[1]) + 4 * b;
  const int64_t image = static_cast<const int32_t*>(buffers.inputs[2])[b];
  float* y = static_cast<float*>(buffers.outputs[0]) + row * p.y[2] * p.y_row_stride;
  const float v = Position(box[0], box[2], row % p.y[1], p.y[1], p.x[1]);
  // Positions run in one direction, so that those inside of the image are neighbours.
  int64_t begin = p.y[2];
  int64_t end = p.y[2];
  for (int64_t j = 0; Inside(v, p.x[1]) && j < p.y[2]; ++j) {
    const float u = Position(box[1], box[3], j, p.y[2], p.x[2]);
    if (Inside(u, p.x[2])) {
      begin = std::min(begin, j);
      taps[j] = TapAt(u, p.bilinear, p.x_row_stride);
    } else if (begin < j) {
      end = std::min(end, j);
    }
  }
  auto leave_outside = [&](int64_t from, int64_t to) {
    for (int64_t j = from; j < to; ++j) std::fill_n(y + j * p.y_row_stride, p.y[3], p.outside);
  };
  leave_outside(0, begin);
  leave_outside(end, p.y[2]);
  if (begin == end) return;
  const auto size = static_cast<int64_t>(SizeOf(p.dtype));
  const int64_t line = p.x[2] * p.x_row_stride;
  const ResizeTap tap = TapAt(v, p.bilinear, line);
  const std::byte* x =
      static_cast<const std::byte*>(buffers.inputs[0]) + image * p.x[1] * line * size;
  loop_({x + tap.lower * size, x + tap.upper * size, tap.weight, taps + begin, end - begin, p.y[3],
         y + begin * p.y_row_stride, p.y_row_stride});
}

Status CropOperation::Run(const Buffers& buffers, Executor& executor) const {
  const CropProblem& p = problem_;
  GRAFT_RETURN_IF_ERROR(CheckBoxes(static_cast<const float*>(buffers.inputs[1]),
                                   static_cast<const int32_t*>(buffers.inputs[2])));
  const int64_t total = CountElements(p.y);
  if (total == 0) return OkStatus();
  const int64_t rows = p.y[0] * p.y[1];
  const int64_t tasks = std::min(rows, TaskCount(4 * total, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    auto* taps =
        reinterpret_cast<ResizeTap*>(buffers.scratch + static_cast<size_t>(worker) * TapsBytes());
    const Range range = Part(rows, tasks, task);
    for (int64_t row = range.begin; row < range.end; ++row) RunRow(row, buffers, taps);
  });
  return OkStatus();
}

}  // namespace graft::cpu
