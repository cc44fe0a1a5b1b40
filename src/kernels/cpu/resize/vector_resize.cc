// Bilinear resizing of f32 images, vectorised over channels.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/resize/vector_resize.cc"
#include <hwy/foreach_target.h>
// After foreach_target, which includes this file again.
#include <hwy/highway.h>

#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/resize/resize.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace {

template <class Load>
HWY_INLINE VF Between(const ResizeRow& row, const ResizeTap& tap, int64_t channel, VF weight,
                      const Load& load) {
  const float* top = static_cast<const float*>(row.top) + channel;
  const float* bottom = static_cast<const float*>(row.bottom) + channel;
  const VF across = Splat(tap.weight);
  const VF top_left = load(top + tap.lower);
  const VF bottom_left = load(bottom + tap.lower);
  const VF above = hn::MulAdd(hn::Sub(load(top + tap.upper), top_left), across, top_left);
  const VF below = hn::MulAdd(hn::Sub(load(bottom + tap.upper), bottom_left), across, bottom_left);
  return hn::MulAdd(hn::Sub(below, above), weight, above);
}

void BilinearRow(const ResizeRow& row) {
  const F32 d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const VF weight = Splat(row.weight);
  for (int64_t pixel = 0; pixel < row.pixels; ++pixel) {
    const ResizeTap& tap = row.taps[pixel];
    float* y = row.y + pixel * row.y_stride;
    int64_t c = 0;
    for (; c + lanes <= row.channels; c += lanes) {
      const VF v =
          Between(row, tap, c, weight, [&](const float* x) HWY_ATTR { return hn::LoadU(d, x); });
      hn::StoreU(v, d, y + c);
    }
    if (c == row.channels) continue;
    const auto first = hn::FirstN(d, row.channels - c);
    const VF v = Between(row, tap, c, weight,
                         [&](const float* x) HWY_ATTR { return hn::MaskedLoad(first, d, x); });
    hn::BlendedStore(v, first, d, y + c);
  }
}

}  // namespace

ResizeLoop ChooseBilinearRow() { return BilinearRow; }

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(ChooseBilinearRow);
ResizeLoop F32ResizeLoop() { return HWY_DYNAMIC_DISPATCH(ChooseBilinearRow)(); }

}  // namespace graft::cpu
#endif
