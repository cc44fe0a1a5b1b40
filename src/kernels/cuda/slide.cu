// Sliding windows over an image whose channels stay apart, as windows.cu, for windows of a known
// size: depthwise convolution with its epilogue, and pooling. A thread computes STRIP neighbouring
// pixels of VECTOR channels, and reads what their windows share once; with ROWS, also those of the
// rows below, and walks down the image's lines, each of which is read once. With LINES, what so
// many lines of a convolution's windows read is under way together: for grids of few threads, where
// nothing else hides how long that takes.
//
// Class: Index (u32 or u64: of strips times VECTORs), KIND (0 depthwise convolution, 1 maximum, 2
// average), KH, KW, SH, SW, DW (the window's size, its strides, and its dilation along the width),
// VECTOR, STRIP, ROWS (more than 1 only of depthwise convolutions without dilation), LINES (more
// than 0 only of depthwise convolutions with a STRIP and ROWS of 1), THREADS (of a block, at most)
// and MIN_BLOCKS (of a multiprocessor), T, Weight, Sum (the dtype of a convolution's sums), Y,
// EPILOGUE_OPERANDS, EACH_OPERAND, CALL(first, load). Sums are formed in f32, which holds those of
// 8-bit integers exactly.
#include "epilogue.cuh"
#include "vector.cuh"

struct Params {
  const T* x;
  const Weight* w;  // [taps, channels]
  Y* y;
  i64 images, channels;
  i64 x_row, y_row;
  i64 in_h, in_w, out_h, out_w;
  i64 dilation_h, pad_h, pad_w;
  i64 count_padding;
  i64 dims[EPILOGUE_RANK];
  ErrorRecord* error;
  i64 step;
  EpilogueOperand e[EPILOGUE_OPERANDS];
};

// Pixels along the width that the windows of a strip reach.
constexpr int kReach = (STRIP - 1) * SW + (KW - 1) * DW + 1;
// Whether any of them reads the pixel.
__device__ constexpr bool IsRead(int i) {
  for (int s = 0; s < STRIP; ++s) {
    const int at = i - s * SW;
    if (at >= 0 && at % DW == 0 && at / DW < KW) return true;
  }
  return false;
}

// VECTOR elements, or zeros.
template <class T, bool kAligned>
__device__ inline Packed<T> LoadEight(const T* from, int count, bool inside) {
  if constexpr (kAligned) return LoadWords(from, inside);
  Packed<T> packed = {};
  if (!inside) return packed;
#pragma unroll
  for (int j = 0; j < VECTOR; ++j) packed.Put(j, from[j < count ? j : 0]);
  return packed;
}

// The sums (or maxima) of a strip's windows, and how many of their cells are inside.
template <bool kAligned>
__device__ inline void Slide(const Params& p, i64 image, i32 h0, i32 w0, i64 channel, int count,
                             float sums[STRIP][VECTOR], int* cells) {
#pragma unroll
  for (int s = 0; s < STRIP; ++s) {
    cells[s] = 0;
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) sums[s][j] = KIND == 1 ? (float)Traits<T>::lowest() : 0.0f;
  }
#if STRIP == 1 && KH * KW <= 9
#pragma unroll
#else
#pragma unroll 1
#endif
  for (int kh = 0; kh < KH; ++kh) {
    const i32 h = h0 + kh * (i32)p.dilation_h;
    const bool line = (u32)h < (u32)p.in_h;
#if KIND == 0
    Packed<Weight> weights[KW];
#pragma unroll
    for (int kw = 0; kw < KW; ++kw)
      weights[kw] = LoadEight<Weight, kAligned>(p.w + (kh * KW + kw) * p.channels + channel, count,
                                                true);
#endif
    const T* const row = p.x + ((image * p.in_h + h) * p.in_w + w0) * p.x_row + channel;
    Packed<T> pixels[kReach];
#pragma unroll
    for (int i = 0; i < kReach; ++i) {
      if (IsRead(i))
        pixels[i] = LoadEight<T, kAligned>(row + i * p.x_row, count,
                                           line && (u32)(w0 + i) < (u32)p.in_w);
    }
    if (!line) continue;
#pragma unroll
    for (int i = 0; i < kReach; ++i) {
      if (!IsRead(i) || (u32)(w0 + i) >= (u32)p.in_w) continue;
#pragma unroll
      for (int s = 0; s < STRIP; ++s) {
        const int at = i - s * SW;
        if (at < 0 || at % DW != 0 || at / DW >= KW) continue;
        ++cells[s];
#pragma unroll
        for (int j = 0; j < VECTOR; ++j) {
          const float value = (float)pixels[i].Get(j);
#if KIND == 0
          sums[s][j] = fma(value, (float)weights[at / DW].Get(j), sums[s][j]);
#elif KIND == 1
          sums[s][j] = value > sums[s][j] ? value : sums[s][j];
#else
          sums[s][j] += value;
#endif
        }
      }
    }
  }
}

#if LINES > 0
// The sums of a window, some lines of which are read at a time. What is outside counts as zeros.
__device__ inline void SlideTogether(const Params& p, i64 image, i32 h0, i32 w0, i64 channel,
                                     float (&sums)[VECTOR]) {
#pragma unroll
  for (int j = 0; j < VECTOR; ++j) sums[j] = 0;
#if KH * KW <= 25
#pragma unroll
#else
#pragma unroll 1
#endif
  for (int first = 0; first < KH; first += LINES) {
    Packed<Weight> weights[LINES][KW];
    Packed<T> pixels[LINES][KW];
#pragma unroll
    for (int line = 0; line < LINES; ++line) {
      if (first + line >= KH) break;
      const i32 h = h0 + (first + line) * (i32)p.dilation_h;
      const T* const row = p.x + ((image * p.in_h + h) * p.in_w + w0) * p.x_row + channel;
#pragma unroll
      for (int kw = 0; kw < KW; ++kw) {
        pixels[line][kw] =
            LoadWords(row + kw * DW * p.x_row,
                      (u32)h < (u32)p.in_h && (u32)(w0 + kw * DW) < (u32)p.in_w);
        weights[line][kw] =
            LoadWords(p.w + ((first + line) * KW + kw) * p.channels + channel);
      }
    }
#pragma unroll
    for (int line = 0; line < LINES; ++line) {
      if (first + line >= KH) break;
#pragma unroll
      for (int kw = 0; kw < KW; ++kw) {
#pragma unroll
        for (int j = 0; j < VECTOR; ++j)
          sums[j] = fma((float)pixels[line][kw].Get(j), (float)weights[line][kw].Get(j), sums[j]);
      }
    }
  }
}
#endif

#if ROWS > 1
// The sums of strips below one another. finish(row, sums): those of a row are there.
template <class Finish>
__device__ inline void Walk(const Params& p, i64 image, i32 h0, i32 w0, i64 channel,
                            Finish finish) {
  Packed<Weight> weights[KH * KW];
#pragma unroll
  for (int k = 0; k < KH * KW; ++k)
    weights[k] = LoadEight<Weight, true>(p.w + k * p.channels + channel, VECTOR, true);
  float sums[ROWS][STRIP][VECTOR];
  constexpr int kLines = (ROWS - 1) * SH + KH;
#pragma unroll
  for (int line = 0; line < kLines; ++line) {
    const i32 h = h0 + line;
    const T* const row = p.x + ((image * p.in_h + h) * p.in_w + w0) * p.x_row + channel;
    Packed<T> pixels[kReach];
#pragma unroll
    for (int i = 0; i < kReach; ++i) {
      if (IsRead(i))
        pixels[i] = LoadEight<T, true>(row + i * p.x_row, VECTOR,
                                       (u32)h < (u32)p.in_h && (u32)(w0 + i) < (u32)p.in_w);
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      const int kh = line - r * SH;
      if (kh < 0 || kh >= KH) continue;
#pragma unroll
      for (int s = 0; s < STRIP; ++s) {
#pragma unroll
        for (int j = 0; j < VECTOR; ++j) {
          if (kh == 0) sums[r][s][j] = 0;
#pragma unroll
          for (int kw = 0; kw < KW; ++kw)
            sums[r][s][j] = fma((float)pixels[s * SW + kw * DW].Get(j),
                                (float)weights[kh * KW + kw].Get(j), sums[r][s][j]);
        }
      }
      if (kh == KH - 1) finish(r, sums[r]);
    }
  }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) slide(const __grid_constant__ Params p) {
  Begin();
  bool undefined = false;
  const Index chunks = (Index)((p.channels + VECTOR - 1) / VECTOR);
  const Index strips = (Index)((p.out_w + STRIP - 1) / STRIP);
  const Index segments = (Index)((p.out_h + ROWS - 1) / ROWS);
  const Index all = (Index)p.images * segments * strips * chunks;
  for (Index n = (Index)ThreadIndex(); n < all; n += (Index)GridThreads()) {
    const Index strip = n / chunks;
    const i64 channel = (i64)(n - strip * chunks) * VECTOR;
    const Index segment = strip / strips;
    const i32 ow = (i32)(strip - segment * strips) * STRIP;
    const i64 image = segment / segments;
    const i32 oh = (i32)(segment - (Index)image * segments) * ROWS;
    const i32 h0 = oh * SH - (i32)p.pad_h;
    const i32 w0 = ow * SW - (i32)p.pad_w;
    const int count = p.channels - channel < VECTOR ? (int)(p.channels - channel) : VECTOR;
    int cells[STRIP];
    const auto finish = [&](int r, const float(&sums)[STRIP][VECTOR]) {
      if (ROWS > 1 && oh + r >= p.out_h) return;
#pragma unroll
      for (int s = 0; s < STRIP; ++s) {
        if (ow + s >= p.out_w) break;
        i64 row = (image * p.out_h + oh + r) * p.out_w + ow + s;
        i64 column = channel;
        Y* const to = p.y + row * p.y_row + channel;
        const i64* const dims = p.dims;
        const EpilogueOperand* const operands = p.e;
        (void)dims, (void)operands, (void)column;
        EACH_OPERAND(GRAFT_DECLARE)
        Y results[VECTOR];
#pragma unroll
        for (int j = 0; j < VECTOR; ++j) {
#if KIND == 0
          const Sum first = Sum(sums[s][j]);
#elif KIND == 1
          const T first = T(sums[s][j]);
#else
          const T first = T(sums[s][j] / (float)(p.count_padding ? KH * KW : cells[s]));
#endif
#define LOAD(o, Type) operand##o[j]
          results[j] = CALL(first, LOAD);
#undef LOAD
        }
        StoreNeighbours(results, count, to);
      }
    };
    // Whether pixels and weights lie so that VECTOR of their elements are words.
    const bool aligned = count == VECTOR && IsAligned<T>(p.x) && IsAligned<Weight>(p.w) &&
                         p.x_row * sizeof(T) % kWordBytes<T> == 0 &&
                         p.channels * sizeof(Weight) % kWordBytes<Weight> == 0;
#if ROWS > 1
    if (aligned) {
      Walk(p, image, h0, w0, channel, finish);
      continue;
    }
#endif
#pragma unroll 1
    for (int r = 0; r < ROWS; ++r) {
      float sums[STRIP][VECTOR];
#if LINES > 0
      if (aligned) SlideTogether(p, image, h0, w0, channel, sums[0]);
#else
      if (ROWS == 1 && aligned) Slide<true>(p, image, h0, w0, channel, count, sums, cells);
#endif
      else Slide<false>(p, image, h0 + r * SH, w0, channel, count, sums, cells);
      finish(r, sums);
    }
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
