#include "kernels/cpu/fma_peak.h"

#include <algorithm>
#include <chrono>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/fma_peak.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Returns the floating-point operations done; `sum` keeps them from being optimised away.
double Multiply(int rounds, float* sum) {
  constexpr int kChains = 12;
  const hn::ScalableTag<float> d;
  hn::Vec<decltype(d)> chains[kChains];
  for (auto& chain : chains) chain = hn::Zero(d);
  const auto factor = hn::Set(d, *sum);
  for (int i = 0; i < rounds; ++i) {
    _Pragma("GCC unroll 16") for (int k = 0; k < kChains; ++k) {
      chains[k] = hn::MulAdd(factor, chains[k], factor);
    }
  }
  for (auto& chain : chains) *sum += hn::GetLane(chain);
  return 2.0 * rounds * kChains * static_cast<double>(hn::Lanes(d));
}

}  // namespace graft::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft {

HWY_EXPORT(Multiply);

double RunMultiplyAdds(int rounds) {
  float sum = 0.5f;
  const double operations = HWY_DYNAMIC_DISPATCH(Multiply)(rounds, &sum);
  // A result that nobody reads must still be made.
  asm volatile("" : : "m"(sum));
  return operations;
}

double MeasureFmaPeak() {
  double best = 0;
  for (int repeat = 0; repeat < 50; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    const double operations = RunMultiplyAdds(100'000);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::max(best, operations / time.count() * 1e-9);
  }
  return best;
}

}  // namespace graft
#endif  // HWY_ONCE
