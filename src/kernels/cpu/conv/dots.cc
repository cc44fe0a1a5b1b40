// Convolution to a few channels, as inner products: neighbouring channels, and neighbouring pixels
// of a filter row, lie together in memory, so vectors run along them and are summed up at the end.
// Panels of 16 output channels (igemm.cc) would be mostly padding.
#include <algorithm>

#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv/dots.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

#ifndef GRAFT_KERNELS_CPU_CONV_DOTS_ONCE
#define GRAFT_KERNELS_CPU_CONV_DOTS_ONCE
namespace graft::cpu {

inline constexpr int64_t kMaxDotOutputs = 4;

// The taps of an output that are inside the image: runs of contiguous elements, in three loops.
struct DotsWindow {
  struct Loop {
    int64_t count;
    int64_t input_step;
    int64_t weight_step;
  };
  Loop planes;
  Loop rows;
  Loop runs;
  int64_t run;             // elements
  int64_t pixel_step;      // in the input, from an output's taps to the next output's
  int64_t weight_channel;  // from the weights of an output channel to the next one's
};

}  // namespace graft::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int64_t kLanes = hn::MaxLanes(D());
constexpr int kRegisters = kLanes == 16 ? 32 : 16;

// The most outputs side by side whose sums stay in registers, with their weights and an input.
constexpr int TilePixels(int outputs) {
  int pixels = static_cast<int>(kLanes);
  while (pixels * outputs + outputs + 1 > kRegisters) pixels /= 2;
  return pixels;
}

// Sums of the pairs of lanes of a, then of b.
HWY_INLINE V PairSums(V a, V b) {
  const D d;
  return hn::Add(hn::ConcatEven(d, b, a), hn::ConcatOdd(d, b, a));
}
// kCount vectors become one that has a share of each, in their order.
template <int kCount>
HWY_INLINE V Merge(const V* v) {
  if constexpr (kCount == 1) {
    return v[0];
  } else {
    return PairSums(Merge<kCount / 2>(v), Merge<kCount / 2>(v + kCount / 2));
  }
}
// Lane i of the result is the sum of all lanes of vector i.
template <int kCount>
HWY_INLINE V SumsOfLanes(const V* v) {
  V sums = Merge<kCount>(v);
  for (int64_t share = kLanes / kCount; share > 1; share /= 2) sums = PairSums(sums, sums);
  return sums;
}

// sums[m * kLanes + i]: channel m of output i. Tiles of fewer pixels have more sums of each, so
// that they do not wait for their last additions.
template <int kPixels, int kOutputs>
void Dots(const DotsWindow& window, const float* input, const float* weights, float* sums) {
  constexpr int kSums = TilePixels(kOutputs) / kPixels;
  const D d;
  const int64_t run = window.run;
  const auto tail = hn::FirstN(d, static_cast<size_t>(run % kLanes));
  V acc[kSums][kOutputs][kPixels];
  for (auto& of_sum : acc) {
    for (auto& of_channel : of_sum) {
      for (V& a : of_channel) a = hn::Zero(d);
    }
  }
  auto add = [&](const float* in, const float* w, auto load, V(&to)[kOutputs][kPixels]) HWY_ATTR {
    V taps[kOutputs];
    _Pragma("GCC unroll 8") for (int m = 0; m < kOutputs; ++m) {
      taps[m] = load(w + m * window.weight_channel);
    }
    _Pragma("GCC unroll 16") for (int i = 0; i < kPixels; ++i) {
      const V x = load(in + i * window.pixel_step);
      _Pragma("GCC unroll 8") for (int m = 0; m < kOutputs; ++m) {
        to[m][i] = hn::MulAdd(x, taps[m], to[m][i]);
      }
    }
  };
  auto whole = [&](const float* from) HWY_ATTR { return hn::LoadU(d, from); };
  auto part = [&](const float* from) HWY_ATTR { return hn::MaskedLoad(tail, d, from); };
  for (int64_t plane = 0; plane < window.planes.count; ++plane) {
    const float* row_input = input + plane * window.planes.input_step;
    const float* row_weights = weights + plane * window.planes.weight_step;
    for (int64_t row = 0; row < window.rows.count; ++row) {
      const float* in = row_input;
      const float* w = row_weights;
      for (int64_t r = 0; r < window.runs.count; ++r) {
        int64_t k = 0;
        for (; k + kSums * kLanes <= run; k += kSums * kLanes) {
          _Pragma("GCC unroll 16") for (int s = 0; s < kSums; ++s) {
            add(in + k + s * kLanes, w + k + s * kLanes, whole, acc[s]);
          }
        }
        _Pragma("GCC unroll 16") for (int s = 0; s + 1 < kSums; ++s, k += kLanes) {
          if (k + kLanes > run) break;
          add(in + k, w + k, whole, acc[s]);
        }
        if (k < run) add(in + k, w + k, part, acc[kSums - 1]);
        in += window.runs.input_step;
        w += window.runs.weight_step;
      }
      row_input += window.rows.input_step;
      row_weights += window.rows.weight_step;
    }
  }
  for (int m = 0; m < kOutputs; ++m) {
    for (int s = 1; s < kSums; ++s) {
      for (int i = 0; i < kPixels; ++i) acc[0][m][i] = hn::Add(acc[0][m][i], acc[s][m][i]);
    }
    hn::StoreU(SumsOfLanes<kPixels>(acc[0][m]), d, sums + m * kLanes);
  }
}

// The widest tile that `available` outputs fill, one at least; returns how many it took.
template <int kOutputs, int kPixels = TilePixels(kOutputs)>
int64_t Tile(const DotsWindow& window, const float* input, const float* weights, int64_t available,
             float* sums) {
  if constexpr (kPixels > 1) {
    if (available < kPixels) {
      return Tile<kOutputs, kPixels / 2>(window, input, weights, available, sums);
    }
  }
  Dots<kPixels, kOutputs>(window, input, weights, sums);
  return kPixels;
}

// Outputs [row, row + count) of all pixels.
template <int kOutputs>
void WriteSums(const ConvProblem& p, const ConvArguments& arguments, int64_t row, int64_t count,
               const float* sums) {
  const Epilogue& epilogue = arguments.epilogue;
  for (int64_t i = 0; i < count; ++i) {
    float* to = As<float>(arguments.output) + (row + i) * p.output_stride;
    const float* residual =
        epilogue.residual ? epilogue.residual + (row + i) * epilogue.residual_stride : nullptr;
    for (int m = 0; m < kOutputs; ++m) {
      float v = sums[m * kLanes + i];
      if (epilogue.bias) v += epilogue.bias[m];
      if (residual) v += residual[m];
      // std::max and std::min give their first operand when either is NaN: NaN stays.
      to[m] = std::min(std::max(v, epilogue.low), epilogue.high);
    }
  }
}

template <int kOutputs>
void LineOf(const ConvProblem& p, const ConvArguments& arguments, int64_t first, int64_t count) {
  const ConvFilter& f = p.filter;
  const int64_t channels = f.input_channels;
  const int64_t x = first % p.output[2];
  const int64_t y = first / p.output[2] % p.output[1];
  const int64_t z = first / (p.output[2] * p.output[1]) % p.output[0];
  const int64_t n = first / p.output_pixels();
  const int64_t z0 = z * f.stride[0] - p.pad[0];
  const int64_t y0 = y * f.stride[1] - p.pad[1];
  const TapRange planes = TapsInside(p, 0, z0);
  const TapRange rows = TapsInside(p, 1, y0);

  const int64_t row_size = p.input[2] * p.input_stride;
  const int64_t plane_size = p.input[1] * row_size;
  const int64_t row_weights = f.kernel[2] * channels;
  const int64_t plane_weights = f.kernel[1] * row_weights;
  DotsWindow window;
  window.planes = {planes.count(), f.dilation[0] * plane_size, plane_weights};
  window.rows = {rows.count(), f.dilation[1] * row_size, row_weights};
  window.pixel_step = f.stride[2] * p.input_stride;
  window.weight_channel = f.depth();
  const float* input = As<float>(arguments.input) + n * p.input_pixels() * p.input_stride +
                       (z0 + planes.first * f.dilation[0]) * plane_size +
                       (y0 + rows.first * f.dilation[1]) * row_size;
  const float* weights =
      As<float>(arguments.weights) + planes.first * plane_weights + rows.first * row_weights;

  const bool joined = f.dilation[2] == 1 && p.input_stride == channels;
  const int64_t extent = (f.kernel[2] - 1) * f.dilation[2];
  float sums[kOutputs * kLanes];
  for (int64_t i = 0; i < count;) {
    const int64_t x0 = (x + i) * f.stride[2] - p.pad[2];
    // Outputs from here on that have all their columns inside the image.
    const int64_t spare = p.input[2] - 1 - extent - x0;
    const int64_t whole = x0 < 0 || spare < 0 ? 0 : std::min(count - i, spare / f.stride[2] + 1);
    const TapRange columns = whole > 0 ? TapRange{0, f.kernel[2]} : TapsInside(p, 2, x0);
    window.runs = {joined ? 1 : columns.count(), f.dilation[2] * p.input_stride, channels};
    window.run = joined ? columns.count() * channels : channels;
    const float* in = input + (x0 + columns.first * f.dilation[2]) * p.input_stride;
    const float* w = weights + columns.first * channels;
    const int64_t outputs = Tile<kOutputs>(window, in, w, whole, sums);
    WriteSums<kOutputs>(p, arguments, first + i, outputs, sums);
    i += outputs;
  }
}

// Outputs [first, first + count) of all pixels, within one row of one image.
void Line(const ConvProblem& p, const ConvArguments& arguments, int64_t first, int64_t count) {
  static constexpr decltype(&Line) kLines[kMaxDotOutputs] = {LineOf<1>, LineOf<2>, LineOf<3>,
                                                             LineOf<4>};
  kLines[p.filter.output_channels - 1](p, arguments, first, count);
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Line);

namespace {

// Rows whose outputs need nothing beside them are one long row: fewer tiles are cut short.
ConvProblem JoinRows(ConvProblem p) {
  const Spatial ones = {1, 1, 1};
  if (p.filter.kernel == ones && p.filter.stride == ones && p.pad == Spatial{} &&
      p.input == p.output) {
    p.input = p.output = {1, 1, p.rows()};
    p.batch = 1;
  }
  return p;
}

}  // namespace

std::optional<Refusal> DotsRefuses(const ConvFilter& f) {
  if (f.groups != 1) return Refuse("{} groups", f.groups);
  if (f.output_channels < 1 || f.output_channels > kMaxDotOutputs) {
    return Refuse("{} output channels, more than {}", f.output_channels, kMaxDotOutputs);
  }
  // Filters of one channel are signal processing, where what follows (a logarithm of nearly
  // nothing) can show the order in which they were summed: it stays that of a plain loop.
  if (f.input_channels == 1) return Refuse("one input channel");
  return std::nullopt;
}

size_t DotsPackedBytes(const ConvFilter& f) {
  return f.depth() * f.output_channels * sizeof(float);
}

// All weights of an output channel together.
void DotsPack(const ConvFilter& f, const void* filter, void* target, Executor&) {
  const float* weights = As<float>(filter);
  float* packed = As<float>(target);
  for (int64_t m = 0; m < f.output_channels; ++m) {
    for (int64_t k = 0; k < f.depth(); ++k) *packed++ = weights[k * f.output_channels + m];
  }
}

size_t DotsWorkspaceBytes(const ConvProblem&, int) { return 0; }

void DotsRun(const ConvProblem& problem, const ConvArguments& arguments, Executor& executor) {
  if (problem.rows() == 0) return;
  const ConvProblem p = JoinRows(problem);
  const auto run_line = HWY_DYNAMIC_DISPATCH(Line);
  // Sixteen multiply-adds are as much as one simple operation.
  const auto work = static_cast<int64_t>(p.multiply_adds() / 16);
  const int64_t tasks = std::min(p.rows(), TaskCount(work, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    const Range range = Part(p.rows(), tasks, task);
    for (int64_t row = range.begin; row < range.end;) {
      const int64_t count = std::min(range.end - row, p.output[2] - row % p.output[2]);
      run_line(p, arguments, row, count);
      if (arguments.epilogue.finish) {
        (*arguments.epilogue.finish)({row, count, 0, p.filter.output_channels}, worker);
      }
      row += count;
    }
  });
}

double DotsCost(const ConvProblem& p) {
  const ConvFilter& f = p.filter;
  const bool joined = f.dilation[2] == 1 && p.input_stride == f.input_channels;
  const int64_t run = joined ? f.kernel[2] * f.input_channels : f.input_channels;
  const int64_t runs = f.depth() / run;
  const auto outputs = static_cast<double>(f.output_channels);
  // A load and its multiply-adds a vector, some cycles to begin a run and to sum an output up.
  const double one_run = static_cast<double>(CeilDiv(run, 16)) * std::max(1.0, outputs / 2) + 1;
  const double pixel = static_cast<double>(runs) * one_run + 6 * outputs;
  return static_cast<double>(p.rows()) * pixel;
}

}  // namespace graft::cpu
#endif  // HWY_ONCE
