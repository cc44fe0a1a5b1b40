// The f32 softmax of one row, vectorised.
#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax/vector_softmax.cc"
#include <hwy/foreach_target.h>
// After foreach_target, which includes this file again.
#include <hwy/highway.h>

#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/softmax/softmax.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace {

// Calls full(i) for every whole vector of the row, then partial(i, first lanes).
template <class Full, class Partial>
HWY_INLINE void ForVectors(int64_t columns, const Full& full, const Partial& partial) {
  const F32 d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) full(i);
  if (i < columns) partial(i, hn::FirstN(d, columns - i));
}

template <bool kLog>
void Row(const void* x_data, void* y_data, int64_t columns) {
  const F32 d;
  const float* x = static_cast<const float*>(x_data);
  float* y = static_cast<float*>(y_data);

  VF maximum = Splat(-HUGE_VALF);
  VF nan = hn::Zero(d);  // becomes NaN where x is, which Max does not keep
  ForVectors(
      columns,
      [&](int64_t i) HWY_ATTR {
        const VF v = hn::LoadU(d, x + i);
        maximum = hn::Max(maximum, v);
        nan = hn::IfThenElse(hn::IsNaN(v), v, nan);
      },
      [&](int64_t i, hn::Mask<F32> first) HWY_ATTR {
        const VF v = hn::IfThenElse(first, hn::MaskedLoad(first, d, x + i), Splat(-HUGE_VALF));
        maximum = hn::Max(maximum, v);
        nan = hn::IfThenElse(hn::IsNaN(v), v, nan);
      });
  const bool any_nan = !hn::AllTrue(d, hn::Eq(nan, hn::Zero(d)));
  const VF shift = any_nan ? Splat(NAN) : hn::MaxOfLanes(d, maximum);

  VF sum = hn::Zero(d);
  ForVectors(
      columns,
      [&](int64_t i) HWY_ATTR {
        const VF e = Exp(hn::Sub(hn::LoadU(d, x + i), shift));
        sum = hn::Add(sum, e);
        if constexpr (!kLog) hn::StoreU(e, d, y + i);
      },
      [&](int64_t i, hn::Mask<F32> first) HWY_ATTR {
        const VF e = Exp(hn::Sub(hn::MaskedLoad(first, d, x + i), shift));
        sum = hn::Add(sum, hn::IfThenElseZero(first, e));
        if constexpr (!kLog) hn::BlendedStore(e, first, d, y + i);
      });
  const VF total = hn::SumOfLanes(d, sum);
  const VF scale = kLog ? Log(total) : hn::Div(Splat(1.f), total);

  // With log: x - max - ln Σ; without: e^(x - max) / Σ.
  const auto finish = [&](VF v) HWY_ATTR {
    return kLog ? hn::Sub(hn::Sub(v, shift), scale) : hn::Mul(v, scale);
  };
  const float* source = kLog ? x : y;
  ForVectors(
      columns, [&](int64_t i) HWY_ATTR { hn::StoreU(finish(hn::LoadU(d, source + i)), d, y + i); },
      [&](int64_t i, hn::Mask<F32> first) HWY_ATTR {
        hn::BlendedStore(finish(hn::MaskedLoad(first, d, source + i)), first, d, y + i);
      });
}

}  // namespace

SoftmaxRow ChooseSoftmaxRow(bool log) { return log ? Row<true> : Row<false>; }

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(ChooseSoftmaxRow);
SoftmaxRow F32SoftmaxRow(bool log) { return HWY_DYNAMIC_DISPATCH(ChooseSoftmaxRow)(log); }

}  // namespace graft::cpu
#endif
