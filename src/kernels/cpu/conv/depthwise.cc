// Convolution of each channel by itself: vectors run along the channels, a few neighbouring outputs
// are kept in registers, so that an input that several of them need is loaded once.
#include "kernels/cpu/conv/depthwise.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv/depthwise.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

#include "kernels/cpu/conv/depthwise-inl.h"

#ifndef GRAFT_KERNELS_CPU_CONV_DEPTHWISE_ONCE
#define GRAFT_KERNELS_CPU_CONV_DEPTHWISE_ONCE
namespace graft::cpu {

// Weights lie in blocks of 16 channels, all taps of a block together.
inline constexpr int64_t kChannelBlock = 16;

struct DepthwiseSpan : DepthwiseTaps<float> {
  float* output;
  int64_t output_stride;
  const float* residual;  // at the first output
  const Epilogue* epilogue;
};

}  // namespace graft::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int64_t kLanes = hn::MaxLanes(D());

// Adds one row of taps to the accumulators of kCount outputs.
template <int kWidth, int kStride, int kCount, class Load>
HWY_INLINE void AddTaps(const DepthwiseSpan& s, const float* in, const float* w, Load&& load,
                        V (&acc)[kCount]) {
  const D d;
  if constexpr (kWidth > 0) {
    V taps[kWidth];
    _Pragma("GCC unroll 8") for (int k = 0; k < kWidth; ++k) {
      taps[k] = hn::LoadU(d, w + k * kChannelBlock);
    }
    constexpr int kInputs = (kCount - 1) * kStride + kWidth;
    _Pragma("GCC unroll 32") for (int i = 0; i < kInputs; ++i) {
      const V x = load(in + i * s.input_column);
      _Pragma("GCC unroll 8") for (int o = 0; o < kCount; ++o) {
        const int k = i - o * kStride;
        if (k >= 0 && k < kWidth) acc[o] = hn::MulAdd(x, taps[k], acc[o]);
      }
    }
  } else {
    for (int64_t k = 0; k < s.columns; ++k) {
      const V tap = hn::LoadU(d, w + k * kChannelBlock);
      _Pragma("GCC unroll 8") for (int o = 0; o < kCount; ++o) {
        acc[o] = hn::MulAdd(load(in + k * s.input_column + o * s.input_output), tap, acc[o]);
      }
    }
  }
}

template <int kWidth, int kStride, int kCount, bool kMasked>
HWY_INLINE void Channels(const DepthwiseSpan& s, int64_t c) {
  const D d;
  const auto mask = hn::FirstN(d, static_cast<size_t>(s.channels - c));
  auto load = [&](const float* from)
                  HWY_ATTR { return kMasked ? hn::MaskedLoad(mask, d, from) : hn::LoadU(d, from); };
  const Epilogue& epilogue = *s.epilogue;
  V acc[kCount];
  const V start = epilogue.bias ? load(epilogue.bias + c) : hn::Zero(d);
  for (V& a : acc) a = start;
  const float* in = s.input + c;
  const float* w = s.weights + c / kChannelBlock * s.weight_block + c % kChannelBlock;
  for (int64_t row = 0; row < s.rows; ++row, in += s.input_row, w += s.weight_row) {
    AddTaps<kWidth, kStride>(s, in, w, load, acc);
  }
  const V low = hn::Set(d, epilogue.low);
  const V high = hn::Set(d, epilogue.high);
  for (int o = 0; o < kCount; ++o) {
    V v = acc[o];
    if (s.residual) v = hn::Add(v, load(s.residual + o * epilogue.residual_stride + c));
    // Max and Min give their second operand when either is NaN: NaN stays.
    v = hn::Min(high, hn::Max(low, v));
    float* to = s.output + o * s.output_stride + c;
    if (kMasked) {
      hn::BlendedStore(v, mask, d, to);
    } else {
      hn::StoreU(v, d, to);
    }
  }
}

// kWidth taps in a row and kStride as constants; 0 stands for any.
template <int kWidth, int kStride, int kCount>
void Span(const DepthwiseSpan& s) {
  int64_t c = 0;
  for (; c + kLanes <= s.channels; c += kLanes) Channels<kWidth, kStride, kCount, false>(s, c);
  if (c < s.channels) Channels<kWidth, kStride, kCount, true>(s, c);
}

using SpanFunction = void (*)(const DepthwiseSpan&);
SpanFunction ChooseSpan(const ConvFilter& f) {
  if (f.dilation[2] != 1) return Span<0, 0, kOutputs>;
  switch (f.kernel[2] * 4 + f.stride[2]) {
    case 3 * 4 + 1:
      return Span<3, 1, kOutputs>;
    case 3 * 4 + 2:
      return Span<3, 2, kOutputs>;
    case 5 * 4 + 1:
      return Span<5, 1, kOutputs>;
    case 5 * 4 + 2:
      return Span<5, 2, kOutputs>;
    case 7 * 4 + 1:
      return Span<7, 1, kOutputs>;
    case 7 * 4 + 2:
      return Span<7, 2, kOutputs>;
    default:
      return Span<0, 0, kOutputs>;
  }
}

// One row of outputs of one image.
void Row(const ConvProblem& p, const ConvArguments& arguments, int64_t row) {
  const Epilogue& epilogue = arguments.epilogue;
  const int64_t first = row * p.output[2];
  DepthwiseSpan s;
  s.output_stride = p.output_stride;
  s.epilogue = &epilogue;
  const SpanFunction wide = ChooseSpan(p.filter);
  auto run = [&](int64_t x, bool whole) HWY_ATTR {
    s.output = As<float>(arguments.output) + (first + x) * p.output_stride;
    s.residual =
        epilogue.residual ? epilogue.residual + (first + x) * epilogue.residual_stride : nullptr;
    if (whole) {
      wide(s);
    } else {
      Span<0, 0, 1>(s);
    }
  };
  ForEachRun(p, arguments, row, 0, p.output[2], kChannelBlock, s, run);
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Row);

std::optional<Refusal> DepthwiseRefuses(const ConvFilter& f) {
  if (f.groups != f.input_channels || f.groups != f.output_channels) {
    return Refuse("{} groups of {} input and {} output channels: not one channel each", f.groups,
                  f.input_channels, f.output_channels);
  }
  if (f.kernel[0] != 1 || f.stride[0] != 1) return Refuse("three spatial dimensions");
  return std::nullopt;
}

size_t DepthwisePackedBytes(const ConvFilter& f) {
  return CeilDiv(f.output_channels, kChannelBlock) * kChannelBlock * f.taps() * sizeof(float);
}

void DepthwisePack(const ConvFilter& f, const void* filter, void* target, Executor&) {
  PackDepthwise<float>(f, kChannelBlock, filter, target);
}

size_t DepthwiseWorkspaceBytes(const ConvProblem&, int) { return 0; }

void DepthwiseRun(const ConvProblem& p, const ConvArguments& arguments, Executor& executor) {
  const int64_t rows = p.batch * p.output[0] * p.output[1];
  if (rows == 0 || p.output[2] == 0) return;
  const auto run_row = HWY_DYNAMIC_DISPATCH(Row);
  // A multiply-add is a quarter of a simple operation, which loads and stores.
  const auto work = static_cast<int64_t>(p.multiply_adds() / 4);
  const int64_t tasks = std::min(rows, TaskCount(work, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    const Range range = Part(rows, tasks, task);
    for (int64_t row = range.begin; row < range.end; ++row) {
      run_row(p, arguments, row);
      if (arguments.epilogue.finish) {
        (*arguments.epilogue.finish)({row * p.output[2], p.output[2], 0, p.filter.output_channels},
                                     worker);
      }
    }
  });
}

double DepthwiseCost(const ConvProblem& p) {
  const ConvFilter& f = p.filter;
  // Loads bound it: one for a multiply-add of 16 channels, two where neighbouring outputs do not
  // share them (ChooseSpan), and what comes from memory.
  const bool shared = f.dilation[2] == 1 && f.kernel[2] >= 3 && f.kernel[2] <= 7;
  const double taps = static_cast<double>(f.taps()) * (shared ? 1 : 2);
  const auto blocks = static_cast<double>(CeilDiv(f.output_channels, kChannelBlock));
  const auto rows = static_cast<double>(p.rows());
  return blocks * (rows * taps + 2 * (static_cast<double>(p.batch * p.input_pixels()) + rows));
}

}  // namespace graft::cpu
#endif  // HWY_ONCE
