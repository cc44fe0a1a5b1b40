#include "kernels/cpu/resize/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/dtype_visit.h"
#include "base/strides.h"

namespace graft::cpu {
namespace {

// The taps of an axis whose pixels lie `stride` elements apart. In single precision, as TensorFlow
// computes positions: another rounding would read other pixels.
std::vector<ResizeTap> MakeTaps(const ResizeProblem& p, int64_t in, int64_t out, int64_t stride) {
  const float scale = p.align_corners && out > 1
                          ? static_cast<float>(in - 1) / static_cast<float>(out - 1)
                          : static_cast<float>(in) / static_cast<float>(out);
  const float center = p.half_pixel_centers ? 0.5f : 0.f;
  std::vector<ResizeTap> taps;
  for (int64_t i = 0; i < out; ++i) {
    const float position = (static_cast<float>(i) + center) * scale;
    if (!p.bilinear) {
      const float pixel = p.align_corners ? std::round(position) : std::floor(position);
      const int64_t at = std::clamp<int64_t>(static_cast<int64_t>(pixel), 0, in - 1);
      taps.push_back({at * stride, at * stride, 0});
      continue;
    }
    // Positions count from pixel centres here, those of nearest from pixel edges.
    const float at = position - center;
    const float floor = std::floor(at);
    const int64_t lower = std::clamp<int64_t>(static_cast<int64_t>(floor), 0, in - 1);
    const int64_t upper = std::min(static_cast<int64_t>(std::ceil(at)), in - 1);
    taps.push_back({lower * stride, upper * stride, at - floor});
  }
  return taps;
}

template <class T>
void BilinearEach(const ResizeRow& row) {
  const T* top = static_cast<const T*>(row.top);
  const T* bottom = static_cast<const T*>(row.bottom);
  for (int64_t pixel = 0; pixel < row.pixels; ++pixel) {
    const ResizeTap& tap = row.taps[pixel];
    for (int64_t c = 0; c < row.channels; ++c) {
      const auto across = [&](const T* x) {
        const float left = static_cast<float>(x[tap.lower + c]);
        return left + (static_cast<float>(x[tap.upper + c]) - left) * tap.weight;
      };
      const float above = across(top);
      row.y[pixel * row.y_stride + c] = above + (across(bottom) - above) * row.weight;
    }
  }
}

}  // namespace

ResizeLoop BilinearLoop(DType dtype) {
  if (dtype == DType::kFloat32) return F32ResizeLoop();
  return TryVisitDType(kNativeTypes, dtype,
                       []<class T>(T) -> ResizeLoop { return BilinearEach<T>; });
}

bool ResizeOperation::Supports(bool bilinear, DType dtype) {
  return bilinear ? BilinearLoop(dtype) != nullptr : IsNumeric(dtype);
}

Result<ResizeOperation> ResizeOperation::Make(const ResizeProblem& p) {
  ResizeOperation operation;
  operation.problem_ = p;
  if (!Supports(p.bilinear, p.dtype)) return UnsupportedError("resizing of {}", Name(p.dtype));
  if (CountElements(p.x) == 0 && CountElements(p.y) > 0) {
    return InvalidArgumentError("an image without pixels resized to {}x{}", p.y[1], p.y[2]);
  }
  if (p.bilinear) operation.loop_ = BilinearLoop(p.dtype);
  const std::vector<int64_t> strides = RowMajorStrides(p.x, p.x_row_stride);
  operation.image_stride_ = strides[0];
  if (CountElements(p.y) == 0) return operation;
  operation.rows_ = MakeTaps(p, p.x[1], p.y[1], strides[1]);
  operation.columns_ = MakeTaps(p, p.x[2], p.y[2], strides[2]);
  return operation;
}

void ResizeOperation::NearestRow(const std::byte* row, std::byte* y) const {
  const int64_t size = static_cast<int64_t>(SizeOf(problem_.dtype));
  const int64_t bytes = problem_.x[3] * size;
  const int64_t y_stride = problem_.y_row_stride * size;
  for (size_t i = 0; i < columns_.size(); ++i) {
    std::memcpy(y + static_cast<int64_t>(i) * y_stride, row + columns_[i].lower * size, bytes);
  }
}

void ResizeOperation::Run(const Buffers& buffers, Executor& executor) const {
  const ResizeProblem& p = problem_;
  const int64_t total = CountElements(p.y);
  if (total == 0) return;
  const int64_t rows = p.y[0] * p.y[1];
  const int64_t x_size = static_cast<int64_t>(SizeOf(p.dtype));
  const int64_t y_size = p.bilinear ? sizeof(float) : x_size;
  const int64_t tasks = std::min(rows, TaskCount(p.bilinear ? 4 * total : total, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int) {
    const Range range = Part(rows, tasks, task);
    for (int64_t r = range.begin; r < range.end; ++r) {
      const ResizeTap& tap = rows_[r % p.y[1]];
      const std::byte* image =
          static_cast<const std::byte*>(buffers.inputs[0]) + r / p.y[1] * image_stride_ * x_size;
      std::byte* y =
          static_cast<std::byte*>(buffers.outputs[0]) + r * p.y[2] * p.y_row_stride * y_size;
      if (!p.bilinear) {
        NearestRow(image + tap.lower * x_size, y);
        continue;
      }
      loop_({image + tap.lower * x_size, image + tap.upper * x_size, tap.weight, columns_.data(),
             p.y[2], p.y[3], reinterpret_cast<float*>(y), p.y_row_stride});
    }
  });
}

}  // namespace graft::cpu
