// Convolution of each channel by itself: vectors run along the channels, a few neighbouring outputs
// are kept in registers, so that an input that several of them need is loaded once.
#include "kernels/cpu/conv/depthwise.h"

#include <algorithm>
#include <utility>

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

inline constexpr int64_t kLine = 16;  // floats of a cache line

// The weights of a tap lie together. Vectors that reach past its channels read zeros, and
// neighbours are an odd number of cache lines apart, so that a channel's taps do not share one set
// of the cache.
inline int64_t TapStep(const ConvFilter& f) {
  const int64_t lines = CeilDiv(f.output_channels, kLine);
  return (lines + 1 + lines % 2) * kLine;
}

struct DepthwiseSpan : DepthwiseTaps<float> {
  // Of a filter whose taps touch: the columns of the image that a span reads, from that of the
  // first tap of the first output on, are those of [first_column, last_column).
  int64_t first_column;
  int64_t last_column;
  int64_t weight_tap;  // from a tap to the one beside it
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

// Adds one row of taps to the accumulators of kCount outputs. kWidth taps in a row and kStride as
// constants; 0 stands for any.
template <int kWidth, int kStride, int kCount, class Load>
HWY_INLINE void AddTaps(const DepthwiseSpan& s, const float* in, const float* w, Load&& load,
                        V (&acc)[kCount]) {
  const D d;
  if constexpr (kWidth > 0) {
    V taps[kWidth];
    _Pragma("GCC unroll 8") for (int k = 0; k < kWidth; ++k) {
      taps[k] = hn::LoadU(d, w + k * s.weight_tap);
    }
    constexpr int kInputs = (kCount - 1) * kStride + kWidth;
    _Pragma("GCC unroll 32") for (int i = 0; i < kInputs; ++i) {
      if (i < s.first_column || i >= s.last_column) continue;
      const V x = load(in + i * s.input_column);
      _Pragma("GCC unroll 8") for (int o = 0; o < kCount; ++o) {
        const int k = i - o * kStride;
        if (k >= 0 && k < kWidth) acc[o] = hn::MulAdd(x, taps[k], acc[o]);
      }
    }
  } else {
    for (int64_t k = 0; k < s.columns; ++k) {
      const V tap = hn::LoadU(d, w + k * s.weight_tap);
      _Pragma("GCC unroll 8") for (int o = 0; o < kCount; ++o) {
        acc[o] = hn::MulAdd(load(in + k * s.input_column + o * s.input_output), tap, acc[o]);
      }
    }
  }
}

// kVectors of channels from c on.
template <int kWidth, int kStride, int kCount, int kVectors, bool kMasked>
HWY_INLINE void Channels(const DepthwiseSpan& s, int64_t c) {
  const D d;
  const auto mask = hn::FirstN(d, static_cast<size_t>(s.channels - c));
  auto load = [&](const float* from)
                  HWY_ATTR { return kMasked ? hn::MaskedLoad(mask, d, from) : hn::LoadU(d, from); };
  const Epilogue& epilogue = *s.epilogue;
  V acc[kVectors][kCount];
  for (int v = 0; v < kVectors; ++v) {
    const V start = epilogue.bias ? load(epilogue.bias + c + v * kLanes) : hn::Zero(d);
    for (V& a : acc[v]) a = start;
  }
  const float* in = s.input + c;
  const float* w = s.weights + c;
  for (int64_t row = 0; row < s.rows; ++row, in += s.input_row, w += s.weight_row) {
    _Pragma("GCC unroll 2") for (int v = 0; v < kVectors; ++v) {
      AddTaps<kWidth, kStride>(s, in + v * kLanes, w + v * kLanes, load, acc[v]);
    }
  }
  const V low = hn::Set(d, epilogue.low);
  const V high = hn::Set(d, epilogue.high);
  for (int o = 0; o < kCount; ++o) {
    for (int v = 0; v < kVectors; ++v) {
      V sum = acc[v][o];
      const int64_t at = c + v * kLanes;
      if (s.residual) sum = hn::Add(sum, load(s.residual + o * epilogue.residual_stride + at));
      // Max and Min give their second operand when either is NaN: NaN stays.
      sum = hn::Min(high, hn::Max(low, sum));
      float* to = s.output + o * s.output_stride + at;
      if (kMasked) {
        hn::BlendedStore(sum, mask, d, to);
      } else {
        hn::StoreU(sum, d, to);
      }
    }
  }
}

template <int kWidth, int kStride, int kCount, int kVectors>
void Span(const DepthwiseSpan& s) {
  constexpr int64_t kStep = kVectors * kLanes;
  int64_t c = 0;
  for (; c + kStep <= s.channels; c += kStep) {
    Channels<kWidth, kStride, kCount, kVectors, false>(s, c);
  }
  if (c == s.channels) return;
  if (s.channels >= kStep) {  // some of them once more, which is faster than a masked vector
    Channels<kWidth, kStride, kCount, kVectors, false>(s, s.channels - kStep);
  } else {
    for (; c < s.channels; c += kLanes) Channels<kWidth, kStride, kCount, 1, true>(s, c);
  }
}

using SpanFunction = void (*)(const DepthwiseSpan&);
// Spans of 1 to `most` outputs, at their number less one. None: the filter has no constants of its
// own.
struct Spans {
  const SpanFunction* functions = nullptr;
  int most = 0;
};
template <int kWidth, int kStride, int kVectors, int... kCount>
Spans SpansOf(std::integer_sequence<int, kCount...>) {
  static constexpr SpanFunction kSpans[] = {Span<kWidth, kStride, kCount + 1, kVectors>...};
  return {kSpans, sizeof...(kCount)};
}

// Seven outputs hide a multiply-add's latency and leave registers for seven taps; and they divide
// the width of most images that networks meet on the way from 224. Where columns are a multiple of
// 1 KiB apart, all of a span are in a few sets of the first-level cache, and a line is gone before
// its other half is wanted: there a whole line is taken at a time.
template <int kWidth, int kStride>
Spans SpansOf(bool whole_lines) {
  constexpr int kMost = 7;
  constexpr int kMostOfLines = kWidth < 7 ? 4 : 3;
  if constexpr (kLanes < kLine) {
    if (whole_lines)
      return SpansOf<kWidth, kStride, 2>(std::make_integer_sequence<int, kMostOfLines>());
  }
  return SpansOf<kWidth, kStride, 1>(std::make_integer_sequence<int, kMost>());
}

Spans ChooseSpans(const ConvProblem& p) {
  const ConvFilter& f = p.filter;
  if (f.dilation[2] != 1) return {};
  const bool whole_lines = p.input_stride % 256 == 0;
  switch (f.kernel[2] * 4 + f.stride[2]) {
    case 3 * 4 + 1:
      return SpansOf<3, 1>(whole_lines);
    case 3 * 4 + 2:
      return SpansOf<3, 2>(whole_lines);
    case 5 * 4 + 1:
      return SpansOf<5, 1>(whole_lines);
    case 5 * 4 + 2:
      return SpansOf<5, 2>(whole_lines);
    case 7 * 4 + 1:
      return SpansOf<7, 1>(whole_lines);
    case 7 * 4 + 2:
      return SpansOf<7, 2>(whole_lines);
    default:
      return {};
  }
}

// One row of outputs of one image.
void Row(const ConvProblem& p, const ConvArguments& arguments, int64_t row) {
  const Epilogue& epilogue = arguments.epilogue;
  const int64_t first = row * p.output[2];
  DepthwiseSpan s;
  s.output_stride = p.output_stride;
  s.epilogue = &epilogue;
  auto set_output = [&](int64_t x) HWY_ATTR {
    s.output = As<float>(arguments.output) + (first + x) * p.output_stride;
    s.residual =
        epilogue.residual ? epilogue.residual + (first + x) * epilogue.residual_stride : nullptr;
  };
  s.weight_tap = TapStep(p.filter);
  const Spans spans = ChooseSpans(p);
  if (spans.functions == nullptr) {
    auto run = [&](int64_t x, bool whole) HWY_ATTR {
      set_output(x);
      (whole ? Span<0, 0, kOutputs, 1> : Span<0, 0, 1, 1>)(s);
    };
    ForEachRun(p, arguments, row, 0, p.output[2], s.weight_tap, s, run);
    return;
  }
  SetRow(p, arguments, row, s.weight_tap, s);
  const float* const input = s.input;
  const int64_t parts = CeilDiv(p.output[2], spans.most);
  for (int64_t i = 0; i < parts; ++i) {
    const Range outputs = Part(p.output[2], parts, i);
    const int64_t x0 = outputs.begin * p.filter.stride[2] - p.pad[2];
    s.first_column = -x0;
    s.last_column = p.input[2] - x0;
    s.input = input + x0 * p.input_stride;
    set_output(outputs.begin);
    spans.functions[outputs.size() - 1](s);
  }
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

size_t DepthwisePackedBytes(const ConvFilter& f) { return TapStep(f) * f.taps() * sizeof(float); }

void DepthwisePack(const ConvFilter& f, const void* filter, void* target, Executor&) {
  const int64_t step = TapStep(f);
  for (int64_t tap = 0; tap < f.taps(); ++tap) {
    float* packed = As<float>(target) + tap * step;
    std::copy_n(As<float>(filter) + tap * f.output_channels, f.output_channels, packed);
    std::fill(packed + f.output_channels, packed + step, 0.0f);
  }
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
  // share them (ChooseSpans), and what comes from memory.
  const bool shared = f.dilation[2] == 1 && f.kernel[2] >= 3 && f.kernel[2] <= 7;
  const double taps = static_cast<double>(f.taps()) * (shared ? 1 : 2);
  const auto blocks = static_cast<double>(CeilDiv(f.output_channels, kLine));
  const auto rows = static_cast<double>(p.rows());
  return blocks * (rows * taps + 2 * (static_cast<double>(p.batch * p.input_pixels()) + rows));
}

}  // namespace graft::cpu
#endif  // HWY_ONCE
