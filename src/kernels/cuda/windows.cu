// Sliding windows over an image whose channels stay apart: depthwise convolution with its epilogue,
// and pooling. A thread computes one element of the result; neighbouring threads have neighbouring
// channels.
//
// Class: KIND (0 depthwise convolution, 1 maximum, 2 average), IN_DEPTH (a window of three axes), T, Weight, Sum (the dtype of a
// convolution's sums), Acc, Y, EPILOGUE_OPERANDS,
// CALL(first, load).
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

extern "C" __global__ void __launch_bounds__(256) windows(const __grid_constant__ Params p) {
  Begin();
  bool undefined = false;
  const i64 count = p.rows * p.channels;
  for (i64 n = ThreadIndex(); n < count; n += GridThreads()) {
    const i64 row = n / p.channels;
    const i32 channel = (i32)(n - row * p.channels);
    const i32 ow = (i32)(row % p.out[2]);
    const i64 rest = row / p.out[2];
    const i32 oh = (i32)(rest % p.out[1]);
    const i64 nd = rest / p.out[1];
    const i32 od = (i32)(nd % p.out[0]);
    const i64 image = nd / p.out[0] * p.in[0];
    const i32 x_channel = KIND == 0 ? channel / (i32)p.multiplier : channel;
    const i32 d0 = od * (i32)p.stride[0] - (i32)p.pad[0];
    const i32 h0 = oh * (i32)p.stride[1] - (i32)p.pad[1];
    const i32 w0 = ow * (i32)p.stride[2] - (i32)p.pad[2];
    Acc sum = Acc(0);
    T largest = Traits<T>::lowest();
    i64 cells = 0;
    i64 tap = 0;
    for (i32 kd = 0; kd < (i32)p.kernel[0]; ++kd) {
      const i32 d = d0 + kd * (i32)p.dilation[0];
      for (i32 kh = 0; kh < (i32)p.kernel[1]; ++kh) {
        const i32 h = h0 + kh * (i32)p.dilation[1];
        const bool line = d >= 0 && d < p.in[0] && h >= 0 && h < p.in[1];
        const i64 first = ((image + d) * p.in[1] + h) * p.in[2];
        Acc of_line = Acc(0);  // sums of sums are nearer to the truth than one long sum
        for (i32 kw = 0; kw < (i32)p.kernel[2]; ++kw, ++tap) {
          const i32 w = w0 + kw * (i32)p.dilation[2];
          if (!line || w < 0 || w >= p.in[2]) continue;
          const T value = p.x[(first + w) * p.x_row + x_channel];
#if KIND == 0
          const Acc weight = Acc(p.w[tap * p.channels + channel]);
          sum = MultiplyAdd(Acc(value), weight, sum);
#elif KIND == 1
          // NaN is never larger; in three dimensions TensorFlow spreads it, and knows -infinity.
          if (IN_DEPTH ? cells == 0 || value > largest || value != value : value > largest)
            largest = value;
#else
          of_line += Acc(value);
#endif
          ++cells;
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
#define LOAD(o, Type) Load<Type>(p.e[o].data, EpilogueOffset(p.e[o], p.dims, row, channel))
    p.y[row * p.y_row + channel] = CALL(first, LOAD);
#undef LOAD
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
