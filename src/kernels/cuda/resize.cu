// Resizes of images, and of boxes cut out of them. A thread computes one element of the result.
// Positions are single precision, each operation rounded as TensorFlow rounds it: they decide which
// pixels are read.
//
// Class: MODE (0 nearest, 1 bilinear, 2 bicubic, 3 area), ALIGN, HALF, T, Y; or CROP, with MODE 0
// or 1, T.
__device__ inline i64 Clamp(i64 i, i64 low, i64 high) { return i < low ? low : i > high ? high : i; }

#if !defined(CROP)
struct Params {
  const T* x;
  Y* y;
  i64 count;
  i64 channels, x_row, y_row;
  i64 in[2], out[2];
};

__device__ inline float ScaleOf(i64 in, i64 out) {
  return ALIGN && out > 1 ? (float)(in - 1) / (float)(out - 1) : (float)in / (float)out;
}
__device__ inline i64 Nearest(i64 i, i64 in, float scale) {
  const float at = ((float)i + (HALF ? 0.5f : 0.0f)) * scale;
  const float rounded = ALIGN ? roundf(at) : floorf(at);
  return Clamp((i64)rounded, 0, in - 1);
}
__device__ inline float Position(i64 i, float scale) {
  return HALF ? ((float)i + 0.5f) * scale - 0.5f : (float)i * scale;
}

// The pixels along an axis of which one of the result is the weighted sum.
struct Taps {
  i64 first;
  int count;
  float cubic[4];
  float begin, end, scale;
};
#if MODE == 2
// Cubic convolution with positions rounded to 1/1024: Keys' -1/2 with half-pixel centres, where
// pixels outside do not count; -3/4 without, where the edge stands for them.
__device__ inline Taps TapsOf(i64 i, i64 in, float scale) {
  Taps taps;
  const double a = HALF ? -0.5 : -0.75;
  const float at = Position(i, scale);
  const i64 floor = (i64)floorf(at);
  const float part = rintf((at - (float)floor) * 1024.0f) / 1024.0f;
  float sum = 0;
  taps.first = floor - 1;
  taps.count = 4;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const double x = fabs((double)(k - 1) - (double)part);
    double weight =
        x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    const i64 pixel = floor + k - 1;
    if (HALF && (pixel < 0 || pixel >= in)) weight = 0;
    taps.cubic[k] = (float)weight;
    sum += taps.cubic[k];
  }
  if (HALF && fabsf(sum) >= 1000 * 1.17549435e-38f) {
#pragma unroll
    for (int k = 0; k < 4; ++k) taps.cubic[k] /= sum;
  }
  return taps;
}
__device__ inline float WeightOf(const Taps& taps, int k) {
  return k == 0 ? taps.cubic[0] : k == 1 ? taps.cubic[1] : k == 2 ? taps.cubic[2] : taps.cubic[3];
}
#elif MODE == 3
// The share of each pixel in what lies under [i, i + 1) · scale.
__device__ inline Taps TapsOf(i64 i, i64, float scale) {
  Taps taps;
  taps.begin = (float)i * scale;
  taps.end = (float)(i + 1) * scale;
  taps.scale = scale;
  taps.first = (i64)floorf(taps.begin);
  const i64 last = (i64)ceilf(taps.end);
  taps.count = last > taps.first + 1 ? (int)(last - taps.first) : 1;
  return taps;
}
__device__ inline float WeightOf(const Taps& taps, int k) {
  const float pixel = (float)(taps.first + k);
  return (fminf(taps.end, pixel + 1) - fmaxf(taps.begin, pixel)) / taps.scale;
}
#endif

extern "C" __global__ void __launch_bounds__(256) resize(const __grid_constant__ Params p) {
  Begin();
  const float down = ScaleOf(p.in[0], p.out[0]);
  const float across = ScaleOf(p.in[1], p.out[1]);
  for (i64 n = ThreadIndex(); n < p.count; n += GridThreads()) {
    const i64 c = n % p.channels;
    const i64 row = n / p.channels;
    const i64 w = row % p.out[1];
    const i64 h = row / p.out[1] % p.out[0];
    const i64 image = row / (p.out[1] * p.out[0]);
#define PIXEL(i, j) p.x[((image * p.in[0] + (i)) * p.in[1] + (j)) * p.x_row + c]
    Y* const to = p.y + row * p.y_row + c;
#if MODE == 0
    *to = PIXEL(Nearest(h, p.in[0], down), Nearest(w, p.in[1], across));
#elif MODE == 1
    const float v = Position(h, down), u = Position(w, across);
    const float top = floorf(v), left = floorf(u);
    const i64 i0 = Clamp((i64)top, 0, p.in[0] - 1), j0 = Clamp((i64)left, 0, p.in[1] - 1);
    const i64 i_last = (i64)ceilf(v), j_last = (i64)ceilf(u);
    const i64 i1 = i_last < p.in[0] - 1 ? i_last : p.in[0] - 1;
    const i64 j1 = j_last < p.in[1] - 1 ? j_last : p.in[1] - 1;
    const float du = u - left, dv = v - top;
    const float a = (float)PIXEL(i0, j0), b = (float)PIXEL(i0, j1);
    const float d = (float)PIXEL(i1, j0), e = (float)PIXEL(i1, j1);
    const float upper = a + (b - a) * du;
    const float lower = d + (e - d) * du;
    *to = Y(upper + (lower - upper) * dv);
#else
    const Taps vertical = TapsOf(h, p.in[0], down);
    const Taps horizontal = TapsOf(w, p.in[1], across);
    double sum = 0;
    for (int i = 0; i < vertical.count; ++i) {
      const i64 at_i = Clamp(vertical.first + i, 0, p.in[0] - 1);
      const float down_weight = WeightOf(vertical, i);
      for (int j = 0; j < horizontal.count; ++j) {
        const i64 at_j = Clamp(horizontal.first + j, 0, p.in[1] - 1);
        sum += (double)down_weight * (double)WeightOf(horizontal, j) * (double)PIXEL(at_i, at_j);
      }
    }
    *to = Y(sum);
#endif
  }
}

#else
struct Params {
  const T* x;
  const float* boxes;
  const i32* images;
  float* y;
  i64 count;
  i64 image_count, channels, x_row, y_row;
  i64 in[2], out[2];
  f64 extrapolation;
  ErrorRecord* error;
  i64 step;
};

__device__ inline float CropPosition(float first, float last, i64 i, i64 out, i64 in) {
  if (out == 1) return (float)(0.5 * (double)(first + last) * (double)(in - 1));
  const float scale = (last - first) * (float)(in - 1) / (float)(out - 1);
  return first * (float)(in - 1) + (float)i * scale;
}

extern "C" __global__ void __launch_bounds__(256) crop(const __grid_constant__ Params p) {
  Begin();
  for (i64 n = ThreadIndex(); n < p.count; n += GridThreads()) {
    const i64 c = n % p.channels;
    const i64 row = n / p.channels;
    const i64 w = row % p.out[1];
    const i64 h = row / p.out[1] % p.out[0];
    const i64 b = row / (p.out[1] * p.out[0]);
    const float* box = p.boxes + b * 4;
    const i64 image = p.images[b];
    float* const to = p.y + row * p.y_row + c;
    bool bad = false;
    for (int k = 0; k < 4; ++k) bad = bad || !kIsFinite(box[k]);
    if (bad) Report(p.error, kBadBox, p.step, b, 0);
    if (image < 0 || image >= p.image_count) {
      Report(p.error, kIndexOutOfRange, p.step, image, p.image_count);
      bad = true;
    }
    const float v = CropPosition(box[0], box[2], h, p.out[0], p.in[0]);
    const float u = CropPosition(box[1], box[3], w, p.out[1], p.in[1]);
    if (bad || !(v >= 0 && v <= (float)(p.in[0] - 1) && u >= 0 && u <= (float)(p.in[1] - 1))) {
      *to = (float)p.extrapolation;
      continue;
    }
#define PIXEL(i, j) (float)p.x[((image * p.in[0] + (i64)(i)) * p.in[1] + (i64)(j)) * p.x_row + c]
#if MODE == 0
    *to = PIXEL(roundf(v), roundf(u));
#else
    const float top = floorf(v), bottom = ceilf(v), left = floorf(u), right = ceilf(u);
    const float a = PIXEL(top, left), d = PIXEL(bottom, left);
    const float upper = a + (PIXEL(top, right) - a) * (u - left);
    const float lower = d + (PIXEL(bottom, right) - d) * (u - left);
    *to = upper + (lower - upper) * (v - top);
#endif
  }
}
#endif
