// The f32 pooling loops, vectorised over channels.
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pool/vector_pool.cc"
#include <hwy/foreach_target.h>
// After foreach_target, which includes this file again.
#include <hwy/highway.h>

#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/pool/pool.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace {

template <Pooling kPooling>
HWY_INLINE VF Join(VF a, VF x) {
  if constexpr (kPooling == Pooling::kAverage) {
    return hn::Add(a, x);
  } else if constexpr (kPooling == Pooling::kMax) {
    // Max gives its second operand, which is never NaN, when either is.
    return hn::Max(x, a);
  } else {
    // Max gives x when either is NaN: only a NaN in `a` has to be kept.
    return hn::IfThenElse(hn::IsNaN(a), a, hn::Max(a, x));
  }
}

// kVectors neighbouring vectors at once, so that their additions overlap.
template <Pooling kPooling, int kVectors, class Load, class Store>
HWY_INLINE void PoolVectors(const PoolWindow& w, const Load& load, const Store& store) {
  VF a[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    switch (kPooling) {
      case Pooling::kMax:
        a[v] = Splat(std::numeric_limits<float>::lowest());
        break;
      case Pooling::kMaxOrNan:
        a[v] = Splat(-HUGE_VALF);
        break;
      case Pooling::kAverage:
        a[v] = hn::Zero(F32());
        break;
    }
  }
  const float* x = reinterpret_cast<const float*>(w.x);
  for (int64_t i = 0; i < w.count[0]; ++i) {
    for (int64_t j = 0; j < w.count[1]; ++j) {
      const float* cell = x + i * w.strides[0] + j * w.strides[1];
      // A sum of the lines' sums is nearer to the truth than one sum of all cells.
      VF line[kVectors];
      for (int v = 0; v < kVectors; ++v)
        line[v] = kPooling == Pooling::kAverage ? hn::Zero(F32()) : a[v];
      for (int64_t k = 0; k < w.count[2]; ++k, cell += w.strides[2]) {
        for (int v = 0; v < kVectors; ++v) line[v] = Join<kPooling>(line[v], load(cell, v));
      }
      for (int v = 0; v < kVectors; ++v)
        a[v] = kPooling == Pooling::kAverage ? hn::Add(a[v], line[v]) : line[v];
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    if constexpr (kPooling == Pooling::kAverage) {
      a[v] = hn::Div(a[v], Splat(static_cast<float>(w.divisor)));
    }
    store(a[v], v);
  }
}

template <Pooling kPooling>
void PoolChannels(const PoolWindow& window, int64_t channels) {
  const F32 d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  PoolWindow w = window;
  const auto load = [&](const float* cell, int v)
                        HWY_ATTR { return hn::LoadU(d, cell + v * lanes); };
  const auto store = [&](VF a, int v)
                         HWY_ATTR { hn::StoreU(a, d, reinterpret_cast<float*>(w.y) + v * lanes); };
  auto skip = [&](int64_t count) { w.x += count * sizeof(float), w.y += count * sizeof(float); };
  for (; channels >= 4 * lanes; channels -= 4 * lanes) {
    PoolVectors<kPooling, 4>(w, load, store);
    skip(4 * lanes);
  }
  for (; channels >= lanes; channels -= lanes) {
    PoolVectors<kPooling, 1>(w, load, store);
    skip(lanes);
  }
  if (channels == 0) return;
  const auto first = hn::FirstN(d, channels);
  PoolVectors<kPooling, 1>(
      w, [&](const float* cell, int) HWY_ATTR { return hn::MaskedLoad(first, d, cell); },
      [&](VF a, int) HWY_ATTR { hn::BlendedStore(a, first, d, reinterpret_cast<float*>(w.y)); });
}

}  // namespace

PoolLoop ChoosePoolLoop(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMax:
      return PoolChannels<Pooling::kMax>;
    case Pooling::kMaxOrNan:
      return PoolChannels<Pooling::kMaxOrNan>;
    case Pooling::kAverage:
      break;
  }
  return PoolChannels<Pooling::kAverage>;
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(ChoosePoolLoop);
PoolLoop F32PoolLoop(Pooling pooling) { return HWY_DYNAMIC_DISPATCH(ChoosePoolLoop)(pooling); }

}  // namespace graft::cpu
#endif
