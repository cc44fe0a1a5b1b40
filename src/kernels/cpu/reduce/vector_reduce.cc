// The f32 reductions, vectorised.
#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/reduce/vector_reduce.cc"
#include <hwy/foreach_target.h>
// After foreach_target, which includes this file again.
#include <hwy/highway.h>

#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/reduce/reduce.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace {

template <ReduceKind kReduction>
constexpr float kIdentity = kReduction == ReduceKind::kSum    ? 0.f
                            : kReduction == ReduceKind::kProd ? 1.f
                            : kReduction == ReduceKind::kMax  ? -HUGE_VALF
                                                              : HUGE_VALF;

template <ReduceKind kReduction>
HWY_INLINE VF Join(VF a, VF x) {
  if constexpr (kReduction == ReduceKind::kSum) return hn::Add(a, x);
  if constexpr (kReduction == ReduceKind::kProd) return hn::Mul(a, x);
  // Max and Min give x when either is NaN: only a NaN in `a` has to be kept.
  if constexpr (kReduction == ReduceKind::kMax) {
    return hn::IfThenElse(hn::IsNaN(a), a, hn::Max(a, x));
  }
  if constexpr (kReduction == ReduceKind::kMin) {
    return hn::IfThenElse(hn::IsNaN(a), a, hn::Min(a, x));
  }
}

template <ReduceKind kReduction>
HWY_INLINE float Join(float x, float y) {
  if constexpr (kReduction == ReduceKind::kSum) return x + y;
  if constexpr (kReduction == ReduceKind::kProd) return x * y;
  if constexpr (kReduction == ReduceKind::kMax) return x > y || x != x ? x : y;
  if constexpr (kReduction == ReduceKind::kMin) return x < y || x != x ? x : y;
}

template <ReduceKind kReduction>
float JoinLanes(VF a) {
  const F32 d;
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(a, d, lanes);
  // In pairs: a balanced tree loses least.
  for (size_t n = hn::Lanes(d); n > 1; n /= 2) {
    for (size_t i = 0; i < n / 2; ++i) lanes[i] = Join<kReduction>(lanes[i], lanes[i + n / 2]);
  }
  return lanes[0];
}

// One contiguous run. Blocks are reduced for themselves first: a long sum stays accurate.
template <ReduceKind kReduction>
float ReduceRun(const float* x, int64_t count) {
  constexpr int64_t kBlock = 4096;
  const F32 d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  if (count > 0 && count < lanes) {
    // Shorter than a vector: its set-up would cost more than the work.
    float joined = x[0];
    for (int64_t i = 1; i < count; ++i) joined = Join<kReduction>(joined, x[i]);
    return joined;
  }
  const VF identity = Splat(kIdentity<kReduction>);
  VF total = identity;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(count, begin + kBlock);
    VF a = identity, b = identity, c = identity, e = identity;
    int64_t i = begin;
    for (; i + 4 * lanes <= end; i += 4 * lanes) {
      a = Join<kReduction>(a, hn::LoadU(d, x + i));
      b = Join<kReduction>(b, hn::LoadU(d, x + i + lanes));
      c = Join<kReduction>(c, hn::LoadU(d, x + i + 2 * lanes));
      e = Join<kReduction>(e, hn::LoadU(d, x + i + 3 * lanes));
    }
    for (; i + lanes <= end; i += lanes) a = Join<kReduction>(a, hn::LoadU(d, x + i));
    if (i < end) {
      const auto first = hn::FirstN(d, end - i);
      b = Join<kReduction>(b, hn::IfThenElse(first, hn::MaskedLoad(first, d, x + i), identity));
    }
    total =
        Join<kReduction>(total, Join<kReduction>(Join<kReduction>(a, b), Join<kReduction>(c, e)));
  }
  return JoinLanes<kReduction>(total);
}

// kRows rows into y, which holds what came before.
template <ReduceKind kReduction, int kRows>
HWY_INLINE void JoinRows(const float* x, int64_t stride, float* y, int64_t columns) {
  const F32 d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t c = 0;
  for (; c + lanes <= columns; c += lanes) {
    VF a = hn::LoadU(d, x + c);
    for (int r = 1; r < kRows; ++r) a = Join<kReduction>(a, hn::LoadU(d, x + r * stride + c));
    hn::StoreU(Join<kReduction>(hn::LoadU(d, y + c), a), d, y + c);
  }
  if (c == columns) return;
  const auto first = hn::FirstN(d, columns - c);
  VF a = hn::MaskedLoad(first, d, x + c);
  for (int r = 1; r < kRows; ++r) {
    a = Join<kReduction>(a, hn::MaskedLoad(first, d, x + r * stride + c));
  }
  hn::BlendedStore(Join<kReduction>(hn::MaskedLoad(first, d, y + c), a), first, d, y + c);
}

template <ReduceKind kReduction>
void Reduce(const ReduceBlock& b) {
  const float* x = static_cast<const float*>(b.x);
  float* y = static_cast<float*>(b.y);
  if (b.columns == 1 && b.stride == 1) {
    *y = ReduceRun<kReduction>(x, b.count);
  } else {
    // Eight rows at once: y is read and written once for all of them.
    constexpr int kRows = 8;
    std::fill_n(y, b.columns, kIdentity<kReduction>);
    int64_t r = 0;
    for (; r + kRows <= b.count; r += kRows) {
      JoinRows<kReduction, kRows>(x + r * b.stride, b.stride, y, b.columns);
    }
    for (; r < b.count; ++r) JoinRows<kReduction, 1>(x + r * b.stride, b.stride, y, b.columns);
  }
  if (b.divisor != 1) {
    const float divisor = static_cast<float>(b.divisor);
    for (int64_t c = 0; c < b.columns; ++c) y[c] /= divisor;
  }
}

}  // namespace

ReduceLoop ChooseReduceLoop(ReduceKind reduction) {
  switch (reduction) {
    case ReduceKind::kSum:
    case ReduceKind::kMean:
      return Reduce<ReduceKind::kSum>;
    case ReduceKind::kMax:
      return Reduce<ReduceKind::kMax>;
    case ReduceKind::kMin:
      return Reduce<ReduceKind::kMin>;
    case ReduceKind::kProd:
      return Reduce<ReduceKind::kProd>;
    default:
      return nullptr;
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(ChooseReduceLoop);
ReduceLoop F32ReduceLoop(ReduceKind reduction) {
  return HWY_DYNAMIC_DISPATCH(ChooseReduceLoop)(reduction);
}

}  // namespace graft::cpu
#endif
