#include "kernels/cpu/resize/filter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/aligned_buffer.h"
#include "base/dtype_visit.h"

namespace graft::cpu {
namespace {

// The convolution kernel of cubic interpolation at a distance of x pixels, parameter a.
double Cubic(double a, double x) {
  return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

// The four pixels around a position, which TensorFlow rounds to 1/1024 of a pixel. With half-pixel
// centres, those outside of the image do not count and the others share their weight; without, the
// pixel at the edge stands for them and the kernel is another one.
void AddCubicTaps(bool half_pixel_centers, float scale, int64_t i, int64_t in, FilterTaps* axis) {
  constexpr float kSteps = 1024;
  const float at = half_pixel_centers ? (static_cast<float>(i) + 0.5f) * scale - 0.5f
                                      : static_cast<float>(i) * scale;
  const float floor = std::floor(at);
  const float part = std::rint((at - floor) * kSteps) / kSteps;
  const size_t first = axis->taps.size();
  float sum = 0;
  for (int64_t k = -1; k <= 2; ++k) {
    const int64_t pixel = static_cast<int64_t>(floor) + k;
    const bool inside = pixel >= 0 && pixel < in;
    if (half_pixel_centers && !inside) continue;
    const double distance = std::abs(static_cast<double>(k) - part);
    const auto weight = static_cast<float>(Cubic(half_pixel_centers ? -0.5 : -0.75, distance));
    axis->taps.push_back({std::clamp<int64_t>(pixel, 0, in - 1), weight});
    sum += weight;
  }
  if (!half_pixel_centers || std::abs(sum) < 1000 * std::numeric_limits<float>::min()) return;
  for (size_t t = first; t < axis->taps.size(); ++t) axis->taps[t].weight /= sum;
}

// The pixels under [i, i + 1) · scale, each by the share of it that lies there.
void AddAreaTaps(float scale, int64_t i, int64_t in, FilterTaps* axis) {
  const float begin = static_cast<float>(i) * scale;
  const float end = static_cast<float>(i + 1) * scale;
  const auto first = static_cast<int64_t>(std::floor(begin));
  // One pixel whose corners are both aligned has areas of 0: TensorFlow's NaN, as 0 / 0.
  const auto last = std::max(static_cast<int64_t>(std::ceil(end)), first + 1);
  for (int64_t pixel = first; pixel < last; ++pixel) {
    const auto left = static_cast<float>(pixel);
    axis->taps.push_back({std::clamp<int64_t>(pixel, 0, in - 1),
                          (std::min(end, left + 1) - std::max(begin, left)) / scale});
  }
}

FilterTaps MakeTaps(const FilterProblem& p, int64_t in, int64_t out) {
  const float scale = p.align_corners && out > 1
                          ? static_cast<float>(in - 1) / static_cast<float>(out - 1)
                          : static_cast<float>(in) / static_cast<float>(out);
  FilterTaps axis;
  for (int64_t i = 0; i < out; ++i) {
    if (p.filter == ResizeFilter::kBicubic) {
      AddCubicTaps(p.half_pixel_centers, scale, i, in, &axis);
    } else {
      AddAreaTaps(scale, i, in, &axis);
    }
    axis.begin.push_back(static_cast<int64_t>(axis.taps.size()));
  }
  return axis;
}

template <class T>
void AddRow(const FilterRow& row) {
  const T* x = static_cast<const T*>(row.x);
  if (row.x_stride == row.channels) {
    for (int64_t i = 0; i < row.pixels * row.channels; ++i)
      row.sums[i] += row.weight * static_cast<float>(x[i]);
    return;
  }
  for (int64_t pixel = 0; pixel < row.pixels; ++pixel) {
    for (int64_t c = 0; c < row.channels; ++c) {
      row.sums[pixel * row.channels + c] +=
          row.weight * static_cast<float>(x[pixel * row.x_stride + c]);
    }
  }
}

FilterLoop FindLoop(DType dtype) {
  return TryVisitDType(kNativeTypes, dtype, []<class T>(T) -> FilterLoop { return AddRow<T>; });
}

}  // namespace

bool FilterOperation::Supports(DType dtype) { return FindLoop(dtype) != nullptr; }

Result<FilterOperation> FilterOperation::Make(const FilterProblem& p) {
  if (!Supports(p.dtype)) return UnsupportedError("resizing of {}", Name(p.dtype));
  FilterOperation operation;
  operation.problem_ = p;
  operation.loop_ = FindLoop(p.dtype);
  if (CountElements(p.y) == 0) return operation;
  for (int axis : {1, 2}) {
    if (p.x[axis] == 0) return InvalidArgumentError("an image without pixels");
  }
  operation.vertical_ = MakeTaps(p, p.x[1], p.y[1]);
  operation.horizontal_ = MakeTaps(p, p.x[2], p.y[2]);
  return operation;
}

size_t FilterOperation::RowBytes() const {
  return AlignUp(static_cast<size_t>(problem_.x[2] * problem_.x[3]) * sizeof(float));
}

size_t FilterOperation::scratch_bytes(int width) const {
  return static_cast<size_t>(width) * RowBytes();
}

void FilterOperation::RunRow(int64_t row, const Buffers& buffers, float* sums) const {
  const FilterProblem& p = problem_;
  const int64_t channels = p.x[3];
  const auto size = static_cast<int64_t>(SizeOf(p.dtype));
  const int64_t first_line = row / p.y[1] * p.x[1];
  const int64_t i = row % p.y[1];
  std::fill_n(sums, p.x[2] * channels, 0.f);
  for (int64_t t = vertical_.begin[i]; t < vertical_.begin[i + 1]; ++t) {
    const FilterTap& tap = vertical_.taps[t];
    const int64_t line = first_line + tap.pixel;
    loop_({static_cast<const std::byte*>(buffers.inputs[0]) + line * p.x[2] * p.x_row_stride * size,
           p.x_row_stride, tap.weight, p.x[2], channels, sums});
  }
  float* y = static_cast<float*>(buffers.outputs[0]) + row * p.y[2] * p.y_row_stride;
  for (int64_t j = 0; j < p.y[2]; ++j, y += p.y_row_stride) {
    std::fill_n(y, channels, 0.f);
    for (int64_t t = horizontal_.begin[j]; t < horizontal_.begin[j + 1]; ++t) {
      const FilterTap& tap = horizontal_.taps[t];
      const float* pixel = sums + tap.pixel * channels;
      for (int64_t c = 0; c < channels; ++c) y[c] += tap.weight * pixel[c];
    }
  }
}

void FilterOperation::Run(const Buffers& buffers, Executor& executor) const {
  const FilterProblem& p = problem_;
  if (CountElements(p.y) == 0) return;
  const int64_t rows = p.y[0] * p.y[1];
  const auto taps = static_cast<int64_t>(vertical_.taps.size()) / p.y[1] + 1;
  const int64_t work = rows * taps * p.x[2] * p.x[3];
  const int64_t tasks = std::min(rows, TaskCount(work, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    auto* sums =
        reinterpret_cast<float*>(buffers.scratch + static_cast<size_t>(worker) * RowBytes());
    const Range range = Part(rows, tasks, task);
    for (int64_t row = range.begin; row < range.end; ++row) RunRow(row, buffers, sums);
  });
}

}  // namespace graft::cpu
