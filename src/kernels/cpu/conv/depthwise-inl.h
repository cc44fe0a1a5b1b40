// A row of a depthwise convolution's outputs, for each of Highway's targets.
#if defined(GRAFT_KERNELS_CPU_CONV_DEPTHWISE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_KERNELS_CPU_CONV_DEPTHWISE_INL_H
#undef GRAFT_KERNELS_CPU_CONV_DEPTHWISE_INL_H
#else
#define GRAFT_KERNELS_CPU_CONV_DEPTHWISE_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/cpu/conv/depthwise.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

// Outputs that a kernel computes at once where all their taps lie inside the image.
constexpr int kOutputs = 4;

// Sets all that spans of row `row` of all images' outputs have in common: input and weights at the
// first row of taps inside the image, column 0. Weights of neighbouring taps lie tap_step apart.
template <class T>
HWY_INLINE void SetRow(const ConvProblem& p, const ConvArguments& arguments, int64_t row,
                       int64_t tap_step, DepthwiseTaps<T>& s) {
  const ConvFilter& f = p.filter;
  const int64_t n = row / p.output[1];
  const int64_t y0 = row % p.output[1] * f.stride[1] - p.pad[1];
  const TapRange rows = TapsInside(p, 1, y0);
  const int64_t image_row = p.input[2] * p.input_stride;
  s.rows = rows.count();
  s.input_row = f.dilation[1] * image_row;
  s.input_column = f.dilation[2] * p.input_stride;
  s.input_output = f.stride[2] * p.input_stride;
  s.weight_row = f.kernel[2] * tap_step;
  s.channels = f.output_channels;
  s.input = As<T>(arguments.input) + (n * p.input[1] + y0 + rows.first * f.dilation[1]) * image_row;
  s.weights = As<T>(arguments.weights) + rows.first * s.weight_row;
}

// Outputs [first, last) of that row, for a filter of any kind: sets the taps, and calls
// run(x, whole) with the first output's position; kOutputs follow where `whole` says so, else one
// does.
template <class T, class Run>
HWY_INLINE void ForEachRun(const ConvProblem& p, const ConvArguments& arguments, int64_t row,
                           int64_t first, int64_t last, int64_t tap_step, DepthwiseTaps<T>& s,
                           Run&& run) {
  const ConvFilter& f = p.filter;
  SetRow(p, arguments, row, tap_step, s);
  const T* const input = s.input;
  const T* const weights = s.weights;
  const int64_t extent = (f.kernel[2] - 1) * f.dilation[2];
  for (int64_t x = first; x < last;) {
    const int64_t x0 = x * f.stride[2] - p.pad[2];
    const int64_t last_x = x0 + (kOutputs - 1) * f.stride[2] + extent;
    const bool whole = x + kOutputs <= last && x0 >= 0 && last_x < p.input[2];
    const TapRange columns = whole ? TapRange{0, f.kernel[2]} : TapsInside(p, 2, x0);
    s.columns = columns.count();
    s.input = input + (x0 + columns.first * f.dilation[2]) * p.input_stride;
    s.weights = weights + columns.first * tap_step;
    run(x, whole);
    x += whole ? kOutputs : 1;
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
