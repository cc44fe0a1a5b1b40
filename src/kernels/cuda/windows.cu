// Sliding windows over an image whose channels stay apart: depthwise convolution with its epilogue,
// and pooling. A thread computes one element of the result; neighbouring threads have neighbouring
// channels.
//
// Class: Index (u32 or u64: of the result's elements), KIND (0 depthwise convolution, 1 maximum, 2
// average), IN_DEPTH (a window of three axes), T, Weight, Sum (the dtype of a convolution's sums),
// Acc, Y, EPILOGUE_OPERANDS, CALL(first, load).
#include "epilogue.cuh"

struct Params {
  const T* x;
  const Weight* w;  // [taps, channels, multiplier]
  Y* y;
  i64 rows;      // pixels of the result
  i64 channels;  // of the result
  i64 multiplier;
  i64 x_row, y_row;
  i64 in[3], out[3], kernel[3], stride[3], dilation[3], pad[3];
  i64 count_padding;
  i64 dims[EPILOGUE_RANK];
  ErrorRecord* error;
  i64 step;
  EpilogueOperand e[EPILOGUE_OPERANDS];
};

constexpr int kAtOnce = 8;  // taps of a line whose pixels and weights are fetched together

extern "C" __global__ void __launch_bounds__(256) windows(const __grid_constant__ Params p) {
  Begin();
  bool undefined = false;
  const Index count = (Index)p.rows * (Index)p.channels;
  for (Index n = (Index)ThreadIndex(); n < count; n += (Index)GridThreads()) {
    const Index row = n / (Index)p.channels;
    const i32 channel = (i32)(n - row * (Index)p.channels);
    Index rest = row / (Index)p.out[2];
    const i32 ow = (i32)(row - rest * (Index)p.out[2]);
    const Index nd = rest / (Index)p.out[1];
    const i32 oh = (i32)(rest - nd * (Index)p.out[1]);
    rest = nd / (Index)p.out[0];
    const i32 od = (i32)(nd - rest * (Index)p.out[0]);
    const i64 image = (i64)rest * p.in[0];
    const i32 x_channel = KIND == 0 ? channel / (i32)p.multiplier : channel;
    const i32 d0 = od * (i32)p.stride[0] - (i32)p.pad[0];
    const i32 h0 = oh * (i32)p.stride[1] - (i32)p.pad[1];
    const i32 w0 = ow * (i32)p.stride[2] - (i32)p.pad[2];
    const i32 taps_w = (i32)p.kernel[2], dilation_w = (i32)p.dilation[2], in_w = (i32)p.in[2];
    Acc sum = Acc(0);
    T largest = Traits<T>::lowest();
    i64 cells = 0;
    i64 tap = 0;  // the first of a line
    for (i32 kd = 0; kd < (i32)p.kernel[0]; ++kd) {
      const i32 d = d0 + kd * (i32)p.dilation[0];
      for (i32 kh = 0; kh < (i32)p.kernel[1]; ++kh, tap += taps_w) {
        const i32 h = h0 + kh * (i32)p.dilation[1];
        if (d < 0 || d >= p.in[0] || h < 0 || h >= p.in[1]) continue;
        const T* const line = p.x + ((image + d) * p.in[1] + h) * p.in[2] * p.x_row + x_channel;
        Acc of_line = Acc(0);  // sums of sums are nearer to the truth than one long sum
        for (i32 first = 0; first < taps_w; first += kAtOnce) {
          T values[kAtOnce];
#if KIND == 0
          Weight weights[kAtOnce];
#endif
#pragma unroll
          for (int u = 0; u < kAtOnce; ++u) {
            const i32 kw = first + u, w = w0 + kw * dilation_w;
            const bool inside = kw < taps_w && (u32)w < (u32)in_w;
            values[u] = inside ? line[w * p.x_row] : T(0);
#if KIND == 0
            weights[u] = inside ? p.w[(tap + kw) * p.channels + channel] : Weight(0);
#endif
          }
#pragma unroll
          for (int u = 0; u < kAtOnce; ++u) {
            const i32 kw = first + u, w = w0 + kw * dilation_w;
            if (kw >= taps_w || (u32)w >= (u32)in_w) continue;
            const T value = values[u];
#if KIND == 0
            sum = MultiplyAdd(Acc(value), Acc(weights[u]), sum);
#elif KIND == 1
            // NaN is never larger; in three dimensions TensorFlow spreads it, and knows -infinity.
            if (IN_DEPTH ? cells == 0 || value > largest || value != value : value > largest)
              largest = value;
#else
            of_line += Acc(value);
#endif
            ++cells;
          }
        }
        if (KIND == 2) sum += of_line;
      }
    }
#if KIND == 0
    const Sum first = Sum(sum);
#elif KIND == 1
    const T first = largest;
#else
    const i64 divisor =
        p.count_padding ? p.kernel[0] * p.kernel[1] * p.kernel[2] : cells;
    T first;
    if constexpr (Traits<Acc>::is_float) first = T(sum / Acc(divisor));
    else first = divisor == 0 ? T(0) : T((i64)sum / divisor);
#endif
#define LOAD(o, Type) Load<Type>(p.e[o].data, EpilogueOffset(p.e[o], p.dims, (i64)row, channel))
    p.y[(i64)row * p.y_row + channel] = CALL(first, LOAD);
#undef LOAD
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
