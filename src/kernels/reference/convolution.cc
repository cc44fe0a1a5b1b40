#include "kernels/reference/sums.h"
#include "kernels/reference/window.h"

namespace graft::reference {
namespace {

template <class A>
std::vector<A> Convolve(const ConvProblem& p, const ConstArray& x, const ConstArray& w,
                        const Array& y) {
  const std::vector<A> image = Widened<A>(x);
  const std::vector<A> filter = Widened<A>(w);
  std::vector<A> all(y.elements());
  const Spatial in = ImageSize(x.dims);
  const Spatial out = ImageSize(y.dims);
  const Spatial kernel = ToSpatial(std::span(w.dims).first(w.dims.size() - 2), 1);
  const Spatial stride = ToSpatial(p.strides, 1);
  const Spatial dilation = ToSpatial(p.dilations, 1);
  const Spatial pad = ToSpatial(p.pads_before, 0);
  const int64_t outputs = y.dims.back();
  const int64_t inputs_per_group = w.dims[w.dims.size() - 2];
  const int64_t outputs_per_group = outputs / p.groups;
  for (int64_t n = 0; n < x.dims[0]; ++n) {
    ForEachSpatial(out, [&](const Spatial& o) {
      A* sums = &all[(n * out.count() + out.Index(o)) * outputs];
      ForEachSpatial(kernel, [&](const Spatial& k) {
        const Spatial i{o.d * stride.d - pad.d + k.d * dilation.d,
                        o.h * stride.h - pad.h + k.h * dilation.h,
                        o.w * stride.w - pad.w + k.w * dilation.w};
        if (!in.Contains(i)) return;
        const A* pixel = &image[(n * in.count() + in.Index(i)) * x.dims.back()];
        for (int64_t g = 0; g < p.groups; ++g) {
          for (int64_t c = 0; c < inputs_per_group; ++c) {
            const A value = pixel[g * inputs_per_group + c];
            const A* weights = &filter[(kernel.Index(k) * inputs_per_group + c) * outputs];
            for (int64_t m = g * outputs_per_group; m < (g + 1) * outputs_per_group; ++m)
              sums[m] += value * weights[m];
          }
        }
      });
    });
  }
  return all;
}

// Every pixel of dx gathers what the convolution would have spread it to.
template <class A>
std::vector<A> ConvolveTransposed(const ConvTransposeProblem& p, const ConstArray& dy,
                                  const ConstArray& w, const Array& dx) {
  const std::vector<A> image = Widened<A>(dy);
  const std::vector<A> filter = Widened<A>(w);
  std::vector<A> all(dx.elements());
  const Spatial in = ImageSize(dy.dims);
  const Spatial out = ImageSize(dx.dims);
  const Spatial kernel = ToSpatial(std::span(w.dims).first(w.dims.size() - 2), 1);
  const Spatial stride = ToSpatial(p.strides, 1);
  const Spatial dilation = ToSpatial(p.dilations, 1);
  const Spatial pad = ToSpatial(p.pads_before, 0);
  const int64_t channels = dx.dims.back();
  const int64_t depth = dy.dims.back();
  for (int64_t n = 0; n < dy.dims[0]; ++n) {
    ForEachSpatial(out, [&](const Spatial& o) {
      A* sums = &all[(n * out.count() + out.Index(o)) * channels];
      ForEachSpatial(kernel, [&](const Spatial& k) {
        const Spatial scaled{o.d + pad.d - k.d * dilation.d, o.h + pad.h - k.h * dilation.h,
                             o.w + pad.w - k.w * dilation.w};
        if (scaled.d % stride.d || scaled.h % stride.h || scaled.w % stride.w) return;
        const Spatial i{scaled.d / stride.d, scaled.h / stride.h, scaled.w / stride.w};
        if (!in.Contains(i)) return;
        const A* pixel = &image[(n * in.count() + in.Index(i)) * depth];
        for (int64_t c = 0; c < channels; ++c) {
          const A* weights = &filter[(kernel.Index(k) * channels + c) * depth];
          for (int64_t m = 0; m < depth; ++m) sums[c] += pixel[m] * weights[m];
        }
      });
    });
  }
  return all;
}

}  // namespace

Status Run(const ConvProblem& problem, Inputs in, Outputs out) {
  if (out[0].elements() == 0) return OkStatus();
  const DType sums = SumsOf(problem.accumulator, in[0].dtype);
  return WithAccumulator(sums, [&](auto type) {
    return FinishSums(Convolve<decltype(type)>(problem, in[0], in[1], out[0]), sums,
                      problem.epilogue, in.subspan(2), out[0]);
  });
}

Status Run(const ConvTransposeProblem& problem, Inputs in, Outputs out) {
  if (out[0].elements() == 0) return OkStatus();
  const DType sums = SumsOf(problem.accumulator, in[0].dtype);
  return WithAccumulator(sums, [&](auto type) {
    return FinishSums(ConvolveTransposed<decltype(type)>(problem, in[0], in[1], out[0]), sums,
                      problem.epilogue, in.subspan(2), out[0]);
  });
}

}  // namespace graft::reference
