// Convolution of each channel by itself on 8-bit integers, exact: taps of two rows at a time are
// multiplied and added in pairs, in 32 bits. Vectors run along the channels, and a few neighbouring
// outputs are kept in registers, as in floats.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/conv/depthwise.h"
#include "kernels/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv/depthwise_s8.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

#include "kernels/cpu/conv/depthwise-inl.h"

#ifndef GRAFT_KERNELS_CPU_CONV_DEPTHWISE_S8_ONCE
#define GRAFT_KERNELS_CPU_CONV_DEPTHWISE_S8_ONCE
namespace graft::cpu {

// Weights lie in blocks of so many channels, all taps of a block together; sums have room for whole
// blocks.
inline constexpr int64_t kByteBlock = 32;

struct DepthwiseS8Span : DepthwiseTaps<int8_t> {
  int64_t weight_block;  // from a block of channels to the next
  int32_t* sums;
  int64_t sums_stride;
};

// Outputs [first, last) of row `row` of all images' outputs.
struct DepthwiseS8Part {
  int64_t row;
  int64_t first;
  int64_t last;
  int32_t* sums;
  int64_t sums_stride;
};

}  // namespace graft::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {  // depthwise.cc has functions of these names, too

using D32 = hn::ScalableTag<int32_t>;
using D16 = hn::Repartition<int16_t, D32>;
using D8 = hn::Rebind<int8_t, D16>;
using V32 = hn::Vec<D32>;
using V16 = hn::Vec<D16>;
constexpr int64_t kLanes = hn::MaxLanes(D16());
constexpr int64_t kHalf = kLanes / 2;
static_assert(kByteBlock % kLanes == 0);

// Sums of kLanes channels: of the lower and of the upper half of each block of 128 bits.
struct Sums {
  V32 low;
  V32 high;
};
struct Pairs {
  V16 low;
  V16 high;
};

HWY_INLINE Pairs Interleave(V16 a, V16 b) {
  const D16 d;
  return {hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)};
}

// Each lane plus the sum of two products of 16 bits, exact.
HWY_INLINE void Add(const Pairs& x, const Pairs& w, Sums& sums) {
  V32 unused = hn::Zero(D32());
  sums.low = hn::ReorderWidenMulAccumulate(D32(), x.low, w.low, sums.low, unused);
  sums.high = hn::ReorderWidenMulAccumulate(D32(), x.high, w.high, sums.high, unused);
}

// In the order of the channels.
HWY_INLINE void Store(const Sums& sums, int32_t* to) {
  HWY_ALIGN int32_t low[kHalf];
  HWY_ALIGN int32_t high[kHalf];
  hn::Store(sums.low, D32(), low);
  hn::Store(sums.high, D32(), high);
  for (int64_t i = 0; i < kHalf; i += 4) {
    std::memcpy(to + 2 * i, low + i, 4 * sizeof(int32_t));
    std::memcpy(to + 2 * i + 4, high + i, 4 * sizeof(int32_t));
  }
}

template <int kWidth, int kStride, int kCount, bool kMasked>
HWY_INLINE void Channels(const DepthwiseS8Span& s, int64_t c) {
  const D8 bytes;
  const int64_t left = std::min(kLanes, s.channels - c);
  auto load = [&](const int8_t* from) HWY_ATTR {
    if constexpr (kMasked) {
      HWY_ALIGN int8_t rest[kLanes] = {};
      std::memcpy(rest, from, static_cast<size_t>(left));
      return hn::PromoteTo(D16(), hn::Load(bytes, rest));
    } else {
      return hn::PromoteTo(D16(), hn::LoadU(bytes, from));
    }
  };
  auto load_tap = [&](const int8_t* from)
                      HWY_ATTR { return hn::PromoteTo(D16(), hn::LoadU(bytes, from)); };
  Sums acc[kCount];
  for (Sums& a : acc) a = {hn::Zero(D32()), hn::Zero(D32())};
  const int8_t* in = s.input + c;
  const int8_t* w = s.weights + c / kByteBlock * s.weight_block + c % kByteBlock;
  for (int64_t row = 0; row < s.rows; row += 2) {
    // A last row alone is paired with itself, times nothing.
    const bool both = row + 1 < s.rows;
    const int64_t below = both ? s.input_row : 0;
    auto taps_at = [&](int64_t k) HWY_ATTR {
      const int8_t* tap = w + k * kByteBlock;
      return Interleave(load_tap(tap), both ? load_tap(tap + s.weight_row) : hn::Zero(D16()));
    };
    auto inputs_at = [&](const int8_t* from)
                         HWY_ATTR { return Interleave(load(from), load(from + below)); };
    if constexpr (kWidth > 0) {
      Pairs taps[kWidth];
      _Pragma("GCC unroll 8") for (int k = 0; k < kWidth; ++k) taps[k] = taps_at(k);
      constexpr int kInputs = (kCount - 1) * kStride + kWidth;
      _Pragma("GCC unroll 32") for (int i = 0; i < kInputs; ++i) {
        const Pairs x = inputs_at(in + i * s.input_column);
        _Pragma("GCC unroll 8") for (int o = 0; o < kCount; ++o) {
          const int k = i - o * kStride;
          if (k >= 0 && k < kWidth) Add(x, taps[k], acc[o]);
        }
      }
    } else {
      for (int64_t k = 0; k < s.columns; ++k) {
        const Pairs tap = taps_at(k);
        _Pragma("GCC unroll 8") for (int o = 0; o < kCount; ++o) {
          Add(inputs_at(in + k * s.input_column + o * s.input_output), tap, acc[o]);
        }
      }
    }
    in += 2 * s.input_row;
    w += 2 * s.weight_row;
  }
  for (int o = 0; o < kCount; ++o) Store(acc[o], s.sums + o * s.sums_stride + c);
}

// kWidth taps in a row and kStride as constants; 0 stands for any.
template <int kWidth, int kStride, int kCount>
void Span(const DepthwiseS8Span& s) {
  int64_t c = 0;
  for (; c + kLanes <= s.channels; c += kLanes) Channels<kWidth, kStride, kCount, false>(s, c);
  if (c < s.channels) Channels<kWidth, kStride, kCount, true>(s, c);
}

using SpanFunction = void (*)(const DepthwiseS8Span&);
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
    default:
      return Span<0, 0, kOutputs>;
  }
}

}  // namespace

void ByteRow(const ConvProblem& p, const ConvArguments& arguments, const DepthwiseS8Part& part) {
  DepthwiseS8Span s;
  s.sums_stride = part.sums_stride;
  s.weight_block = p.filter.taps() * kByteBlock;
  const SpanFunction wide = ChooseSpan(p.filter);
  auto run = [&](int64_t x, bool whole) HWY_ATTR {
    s.sums = part.sums + (x - part.first) * part.sums_stride;
    if (whole) {
      wide(s);
    } else {
      Span<0, 0, 1>(s);
    }
  };
  ForEachRun(p, arguments, part.row, part.first, part.last, kByteBlock, s, run);
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(ByteRow);

namespace {

int64_t SumsStride(const ConvFilter& f) {
  return CeilDiv(f.output_channels, kByteBlock) * kByteBlock;
}

// Outputs whose sums are made before the epilogue takes them: they stay in the cache until then,
// and it has enough of them.
int64_t OutputsAtOnce(const ConvProblem& p) {
  constexpr int64_t kSums = 4096;
  return std::min(p.output[2], std::max<int64_t>(4, kSums / SumsStride(p.filter) / 4 * 4));
}

size_t WorkerBytes(const ConvProblem& p) {
  return CeilDiv(OutputsAtOnce(p) * SumsStride(p.filter) * sizeof(int32_t), 64) * 64;
}

}  // namespace

std::optional<Refusal> DepthwiseS8Refuses(const ConvFilter& f) { return DepthwiseRefuses(f); }

size_t DepthwiseS8PackedBytes(const ConvFilter& f) { return SumsStride(f) * f.taps(); }

void DepthwiseS8Pack(const ConvFilter& f, const void* filter, void* target, Executor&) {
  const int8_t* weights = As<int8_t>(filter);
  int8_t* packed = As<int8_t>(target);
  for (int64_t first = 0; first < f.output_channels; first += kByteBlock) {
    for (int64_t tap = 0; tap < f.taps(); ++tap, packed += kByteBlock) {
      for (int64_t c = 0; c < kByteBlock; ++c) {
        const bool inside = first + c < f.output_channels;
        packed[c] = inside ? weights[tap * f.output_channels + first + c] : int8_t{0};
      }
    }
  }
}

size_t DepthwiseS8WorkspaceBytes(const ConvProblem& p, int width) { return WorkerBytes(p) * width; }

void DepthwiseS8Run(const ConvProblem& p, const ConvArguments& arguments, Executor& executor) {
  const int64_t rows = p.batch * p.output[0] * p.output[1];
  if (rows == 0 || p.output[2] == 0) return;
  const auto run_row = HWY_DYNAMIC_DISPATCH(ByteRow);
  const int64_t at_once = OutputsAtOnce(p);
  // A multiply-add is a quarter of a simple operation, which loads and stores.
  const auto work = static_cast<int64_t>(p.multiply_adds() / 4);
  const int64_t tasks = std::min(rows, TaskCount(work, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    DepthwiseS8Part part;
    part.sums = reinterpret_cast<int32_t*>(static_cast<std::byte*>(arguments.workspace) +
                                           WorkerBytes(p) * worker);
    part.sums_stride = SumsStride(p.filter);
    const Range range = Part(rows, tasks, task);
    for (part.row = range.begin; part.row < range.end; ++part.row) {
      for (part.first = 0; part.first < p.output[2]; part.first = part.last) {
        part.last = std::min(p.output[2], part.first + at_once);
        run_row(p, arguments, part);
        (*arguments.epilogue.finish)({part.row * p.output[2] + part.first, part.last - part.first,
                                      0, p.filter.output_channels, part.sums, part.sums_stride},
                                     worker);
      }
    }
  });
}

double DepthwiseS8Cost(const ConvProblem& p) {
  // Loads that widen, and the pairs' two halves; and the epilogue.
  const auto results =
      static_cast<double>(p.rows()) * static_cast<double>(p.filter.output_channels);
  return 1.2 * DepthwiseCost(p) + 2 * results;
}

}  // namespace graft::cpu
#endif  // HWY_ONCE
