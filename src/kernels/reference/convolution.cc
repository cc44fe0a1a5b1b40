#include "kernels/reference/kernels.h"
#include "kernels/reference/window.h"

namespace graft::reference {
namespace {

template <class T>
void Convolve(const ConvProblem& p, const ConstArray& x, const ConstArray& w, const Array& y) {
  const Spatial in = ImageSize(x.dims);
  const Spatial out = ImageSize(y.dims);
  const Spatial kernel = ToSpatial(std::span(w.dims).first(w.dims.size() - 2), 1);
  const Spatial stride = ToSpatial(p.strides, 1);
  const Spatial dilation = ToSpatial(p.dilations, 1);
  const Spatial pad = ToSpatial(p.pads_before, 0);
  const int64_t outputs = y.dims.back();
  const int64_t inputs_per_group = w.dims[w.dims.size() - 2];
  const int64_t outputs_per_group = outputs / p.groups;
  std::vector<Accumulator<T>> sums(outputs);
  for (int64_t n = 0; n < x.dims[0]; ++n) {
    ForEachSpatial(out, [&](const Spatial& o) {
      std::fill(sums.begin(), sums.end(), 0);
      ForEachSpatial(kernel, [&](const Spatial& k) {
        const Spatial i{o.d * stride.d - pad.d + k.d * dilation.d,
                        o.h * stride.h - pad.h + k.h * dilation.h,
                        o.w * stride.w - pad.w + k.w * dilation.w};
        if (!in.Contains(i)) return;
        const T* pixel = x.Row<T>(n * in.count() + in.Index(i));
        for (int64_t g = 0; g < p.groups; ++g) {
          for (int64_t c = 0; c < inputs_per_group; ++c) {
            const auto value = static_cast<Accumulator<T>>(pixel[g * inputs_per_group + c]);
            const T* weights = w.Row<T>(kernel.Index(k) * inputs_per_group + c);
            for (int64_t m = g * outputs_per_group; m < (g + 1) * outputs_per_group; ++m)
              sums[m] += value * static_cast<Accumulator<T>>(weights[m]);
          }
        }
      });
      std::transform(sums.begin(), sums.end(), y.Row<T>(n * out.count() + out.Index(o)),
                     [](Accumulator<T> sum) { return static_cast<T>(sum); });
    });
  }
}

// Every pixel of dx gathers what the convolution would have spread it to.
template <class T>
void ConvolveTransposed(const ConvTransposeProblem& p, const ConstArray& dy, const ConstArray& w,
                        const Array& dx) {
  const Spatial in = ImageSize(dy.dims);
  const Spatial out = ImageSize(dx.dims);
  const Spatial kernel = ToSpatial(std::span(w.dims).first(w.dims.size() - 2), 1);
  const Spatial stride = ToSpatial(p.strides, 1);
  const Spatial dilation = ToSpatial(p.dilations, 1);
  const Spatial pad = ToSpatial(p.pads_before, 0);
  const int64_t channels = dx.dims.back();
  std::vector<Accumulator<T>> sums(channels);
  for (int64_t n = 0; n < dy.dims[0]; ++n) {
    ForEachSpatial(out, [&](const Spatial& o) {
      std::fill(sums.begin(), sums.end(), 0);
      ForEachSpatial(kernel, [&](const Spatial& k) {
        const Spatial scaled{o.d + pad.d - k.d * dilation.d, o.h + pad.h - k.h * dilation.h,
                             o.w + pad.w - k.w * dilation.w};
        if (scaled.d % stride.d || scaled.h % stride.h || scaled.w % stride.w) return;
        const Spatial i{scaled.d / stride.d, scaled.h / stride.h, scaled.w / stride.w};
        if (!in.Contains(i)) return;
        const T* pixel = dy.Row<T>(n * in.count() + in.Index(i));
        for (int64_t c = 0; c < channels; ++c) {
          const T* weights = w.Row<T>(kernel.Index(k) * channels + c);
          for (int64_t m = 0; m < dy.dims.back(); ++m) {
            sums[c] +=
                static_cast<Accumulator<T>>(pixel[m]) * static_cast<Accumulator<T>>(weights[m]);
          }
        }
      });
      std::transform(sums.begin(), sums.end(), dx.Row<T>(n * out.count() + out.Index(o)),
                     [](Accumulator<T> sum) { return static_cast<T>(sum); });
    });
  }
}

}  // namespace

Status Run(const ConvProblem& problem, Inputs in, Outputs out) {
  if (out[0].elements() == 0) return OkStatus();
  VisitDType(kNumberTypes, in[0].dtype,
             [&](auto type) { Convolve<decltype(type)>(problem, in[0], in[1], out[0]); });
  return ApplyEpilogue(problem.epilogue, out[0], in.subspan(2));
}

Status Run(const ConvTransposeProblem& problem, Inputs in, Outputs out) {
  if (out[0].elements() == 0) return OkStatus();
  VisitDType(kNumberTypes, in[0].dtype,
             [&](auto type) { ConvolveTransposed<decltype(type)>(problem, in[0], in[1], out[0]); });
  return ApplyEpilogue(problem.epilogue, out[0], in.subspan(2));
}

}  // namespace graft::reference
