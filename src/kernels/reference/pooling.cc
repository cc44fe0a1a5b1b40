#include "kernels/reference/kernels.h"
#include "kernels/reference/window.h"

namespace graft::reference {
namespace {

template <class T>
void Pool(const PoolProblem& p, const ConstArray& x, const Array& y) {
  const Spatial in = ImageSize(x.dims);
  const Spatial out = ImageSize(y.dims);
  const Spatial window = ToSpatial(p.window, 1);
  const Spatial stride = ToSpatial(p.strides, 1);
  const Spatial pad = ToSpatial(p.pads_before, 0);
  const int64_t channels = y.dims.back();
  const bool in_depth = p.window.size() == 3;
  for (int64_t n = 0; n < x.dims[0]; ++n) {
    ForEachSpatial(out, [&](const Spatial& o) {
      T* result = y.Row<T>(n * out.count() + out.Index(o));
      for (int64_t c = 0; c < channels; ++c) {
        T largest = std::numeric_limits<T>::lowest();
        Accumulator<T> sum = 0;
        int64_t cells = 0;
        ForEachSpatial(window, [&](const Spatial& k) {
          const Spatial i{o.d * stride.d - pad.d + k.d, o.h * stride.h - pad.h + k.h,
                          o.w * stride.w - pad.w + k.w};
          if (!in.Contains(i)) return;
          const T value = x.Row<T>(n * in.count() + in.Index(i))[c];
          // NaN is never larger; in three dimensions TensorFlow spreads it, and knows -infinity.
          if (in_depth ? cells == 0 || value > largest || value != value : value > largest)
            largest = value;
          sum += static_cast<Accumulator<T>>(value);
          ++cells;
        });
        if (!p.average) {
          result[c] = largest;
        } else {
          const int64_t divisor = p.count_padding ? window.count() : cells;
          if constexpr (kIsFloat<T>) {
            result[c] = static_cast<T>(sum / static_cast<double>(divisor));
          } else {
            result[c] = divisor == 0 ? T(0) : static_cast<T>(static_cast<int64_t>(sum) / divisor);
          }
        }
      }
    });
  }
}

}  // namespace

void Run(const PoolProblem& problem, Inputs in, Outputs out) {
  if (out[0].elements() == 0) return;
  VisitDType(kNumberTypes, in[0].dtype,
             [&](auto type) { Pool<decltype(type)>(problem, in[0], out[0]); });
}

}  // namespace graft::reference
