// Local response normalisation, vectorised over channels.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lrn/vector_lrn.cc"
#include <hwy/foreach_target.h>
// After foreach_target, which includes this file again.
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/lrn/lrn.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace {

void Row(const LrnProblem& p, const float* x, float* y, float* squares) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  std::fill_n(squares, p.radius, 0.f);
  for (int64_t c = 0; c < p.channels; ++c) squares[p.radius + c] = x[c] * x[c];
  std::fill_n(squares + p.radius + p.channels, p.radius + lanes, 0.f);
  for (int64_t c = 0; c < p.channels; c += lanes) {
    VF sum = hn::LoadU(d, squares + c);
    for (int64_t k = 1; k <= 2 * p.radius; ++k) sum = hn::Add(sum, hn::LoadU(d, squares + c + k));
    const VF base = hn::MulAdd(Splat(p.alpha), sum, Splat(p.bias));
    const VF factor = Exp(hn::Mul(Splat(-p.beta), Log(base)));
    const auto first = hn::FirstN(d, std::min(lanes, p.channels - c));
    hn::BlendedStore(hn::Mul(hn::MaskedLoad(first, d, x + c), factor), first, d, y + c);
  }
}

}  // namespace

LrnRow ChooseLrnRow() { return Row; }

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(ChooseLrnRow);
LrnRow F32LrnRow() { return HWY_DYNAMIC_DISPATCH(ChooseLrnRow)(); }

}  // namespace graft::cpu
#endif
