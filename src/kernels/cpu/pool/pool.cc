#include "kernels/cpu/pool/pool.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "base/dtype_visit.h"
#include "base/strides.h"

namespace graft::cpu {
namespace {

// Channels from `first` on, `channels` of them or kBlock: a number that the compiler knows, so that
// it makes vectors of them.
constexpr int64_t kBlock = 64;
template <Pooling kPooling, class T, bool kWhole>
void PoolBlock(const PoolWindow& w, int64_t first, int64_t channels) {
  using Limits = std::numeric_limits<T>;
  constexpr bool kInfinite = kPooling == Pooling::kMaxOrNan && Limits::has_infinity;
  constexpr T kLowest = kInfinite ? -Limits::infinity() : Limits::lowest();
  T a[kBlock];
  std::fill_n(a, kBlock, kPooling == Pooling::kAverage ? T(0) : kLowest);
  const int64_t n = kWhole ? kBlock : channels;
  for (int64_t i = 0; i < w.count[0]; ++i) {
    for (int64_t j = 0; j < w.count[1]; ++j) {
      T line[kBlock] = {};  // of an average: summed by lines, as F32PoolLoop does
      for (int64_t k = 0; k < w.count[2]; ++k) {
        const T* x = reinterpret_cast<const T*>(w.x) + first + i * w.strides[0] + j * w.strides[1] +
                     k * w.strides[2];
        for (int64_t c = 0; c < n; ++c) {
          if constexpr (kPooling == Pooling::kAverage) {
            line[c] += x[c];
          } else if constexpr (kPooling == Pooling::kMax) {
            a[c] = x[c] > a[c] ? x[c] : a[c];
          } else {
            a[c] = x[c] > a[c] || x[c] != x[c] ? x[c] : a[c];
          }
        }
      }
      if constexpr (kPooling == Pooling::kAverage) {
        for (int64_t c = 0; c < n; ++c) a[c] += line[c];
      }
    }
  }
  T* y = reinterpret_cast<T*>(w.y) + first;
  for (int64_t c = 0; c < n; ++c) {
    if constexpr (kPooling == Pooling::kAverage) a[c] /= static_cast<T>(w.divisor);
    y[c] = a[c];
  }
}

template <Pooling kPooling, class T>
void PoolEach(const PoolWindow& w, int64_t channels) {
  int64_t c = 0;
  for (; c + kBlock <= channels; c += kBlock) PoolBlock<kPooling, T, true>(w, c, kBlock);
  if (c < channels) PoolBlock<kPooling, T, false>(w, c, channels - c);
}

PoolLoop FindLoop(Pooling pooling, DType dtype) {
  if (dtype == DType::kFloat32) return F32PoolLoop(pooling);
  return TryVisitDType(kNativeTypes - TypeSet<float>{}, dtype, [&]<class T>(T) -> PoolLoop {
    if (pooling == Pooling::kMax) return PoolEach<Pooling::kMax, T>;
    if (pooling == Pooling::kMaxOrNan) return PoolEach<Pooling::kMaxOrNan, T>;
    // An average of integers has no rounding that everybody agrees on.
    if constexpr (std::is_floating_point_v<T>) return PoolEach<Pooling::kAverage, T>;
    return nullptr;
  });
}

}  // namespace

bool PoolOperation::Supports(Pooling pooling, DType dtype) {
  return FindLoop(pooling, dtype) != nullptr;
}

Result<PoolOperation> PoolOperation::Make(const PoolProblem& p) {
  PoolOperation operation;
  operation.loop_ = FindLoop(p.pooling, p.dtype);
  if (operation.loop_ == nullptr) return UnsupportedError("pooling of {}", Name(p.dtype));
  operation.element_size_ = SizeOf(p.dtype);
  operation.count_padding_ = p.count_padding;
  operation.batch_ = p.x[0];
  operation.channels_ = p.x.back();
  operation.y_stride_ = p.y_row_stride;
  const size_t spatial = p.window.size();
  const std::vector<int64_t> strides = RowMajorStrides(p.x, p.x_row_stride);
  std::fill_n(operation.x_strides_, 4, 0);
  operation.x_strides_[0] = strides[0];
  for (size_t i = 0; i < spatial; ++i) {
    const size_t axis = 3 - spatial + i;
    operation.axes_[axis] = {p.x[i + 1], p.y[i + 1], p.window[i], p.strides[i], p.pads_before[i]};
    operation.x_strides_[1 + axis] = strides[i + 1];
  }
  return operation;
}

void PoolOperation::RunPixels(Range pixels, Range channels, const Buffers& buffers) const {
  const int64_t size = static_cast<int64_t>(element_size_);
  PoolWindow window;
  window.strides = x_strides_ + 1;
  int64_t whole = 1;
  for (const Axis& axis : axes_) whole *= axis.window;
  for (int64_t pixel = pixels.begin; pixel < pixels.end; ++pixel) {
    int64_t rest = pixel;
    int64_t offset = channels.begin;
    int64_t cells = 1;
    for (int i = 2; i >= 0; --i) {
      const Axis& axis = axes_[i];
      const int64_t first = rest % axis.output * axis.stride - axis.pad;
      rest /= axis.output;
      const int64_t begin = std::max<int64_t>(first, 0);
      window.count[i] = std::max<int64_t>(std::min(first + axis.window, axis.input) - begin, 0);
      cells *= window.count[i];
      offset += begin * x_strides_[1 + i];
    }
    offset += rest * x_strides_[0];
    window.divisor = static_cast<double>(count_padding_ ? whole : cells);
    window.x = static_cast<const std::byte*>(buffers.inputs[0]) + offset * size;
    window.y =
        static_cast<std::byte*>(buffers.outputs[0]) + (pixel * y_stride_ + channels.begin) * size;
    loop_(window, channels.size());
  }
}

void PoolOperation::Run(const Buffers& buffers, Executor& executor) const {
  // Channels are cut only where there are too few pixels, and into no less than this.
  constexpr int64_t kChannels = 64;
  int64_t pixels = batch_;
  int64_t work = batch_ * channels_;
  for (const Axis& axis : axes_) {
    pixels *= axis.output;
    work *= axis.output * std::min(axis.window, axis.input);
  }
  if (pixels * channels_ == 0) return;
  const int64_t tasks = TaskCount(work, executor);
  const int64_t pixel_tasks = std::min(pixels, tasks);
  const int64_t blocks = CeilDiv(channels_, kChannels);
  const int64_t channel_tasks = std::min(blocks, CeilDiv(tasks, pixel_tasks));
  executor.ParallelFor(pixel_tasks * channel_tasks, [&](int64_t task, int) {
    const Range part = Part(blocks, channel_tasks, task % channel_tasks);
    const Range channels{part.begin * kChannels, std::min(part.end * kChannels, channels_)};
    RunPixels(Part(pixels, pixel_tasks, task / channel_tasks), channels, buffers);
  });
}

}  // namespace graft::cpu
