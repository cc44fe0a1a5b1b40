// The first convolution of a network, of 16-bit floats with up to four channels, on the tensor
// cores, sums in f32, with its epilogue. A block keeps the filter in shared memory, and goes from
// tile to tile of TH by TW pixels: the patch of the image that their windows read is brought there
// once, four channels a pixel, so that a line of a window is one run of it.
//
// Class: CHANNELS, KH, KW, SH, SW (the kernel and its strides), TH, TW (their product is 128), BN (32
// or 64), B_CONSTANT (1: no kernel of the run writes b), BFLOAT (1: factors are bf16), EACH_OPERAND,
// and what product.cuh wants.
#define SPLIT 0
#define BM 128
#include "fragments.cuh"
#include "tile.cuh"

#define THREADS 128
#define B_CHUNKS (BN / 8)
constexpr int kLine = (KW + 3) / 4 * 16;  // of a line of the kernel: elements with the padding
constexpr int kDepth = KH * kLine;
constexpr int kPatchW = (TW - 1) * SW + kLine / 4;
constexpr int kPatchH = (TH - 1) * SH + KH;
constexpr int kFilterAt = BM * SUM_ROW * 4;
constexpr int kPatchAt = kFilterAt + kDepth * BN * 2;
static_assert(TH * TW == BM, "");

struct Place2d {
  i64 element, y_first;
  i64 row0, column0;
  i32 h, w;  // of the tile's first pixel in its image, to which row0 belongs
  __device__ i64 RowOf(const Params& p, int row) const {
    const i32 dh = row / TW, dw = row % TW;
    return h + dh < p.out[1] && w + dw < p.out[2] ? dh * p.out[2] + dw : -1;
  }
};

extern "C" __global__ void __launch_bounds__(THREADS, 3) stem(const __grid_constant__ Params p) {
  extern __shared__ __align__(128) unsigned char shared[];
  u16* const filter = (u16*)(shared + kFilterAt);
  u16* const patch = (u16*)(shared + kPatchAt);
  const int thread = threadIdx.x, lane = thread % 32;
  const i64 column0 = (i64)blockIdx.y * BN;
  if (!B_CONSTANT) WaitForPrevious();
#pragma unroll 1
  for (int n = thread; n < kDepth * BN; n += THREADS) {
    const int k = n / BN, column = n % BN;
    const int kh = k / kLine, kw = k % kLine / 4, channel = k % 4;
    const bool inside = kw < KW && channel < CHANNELS && column0 + column < p.columns;
    const i64 at = ((kh * KW + kw) * CHANNELS + channel) * p.b_depth + column0 + column;
    filter[Place<B_CHUNKS>(k, column / 8) * 8 + column % 8] =
        inside ? ((const u16*)p.b)[at] : (u16)0;
  }
  if (B_CONSTANT) WaitForPrevious();
  StartNext();
  const u32 tiles_w = ((u32)p.out[2] + TW - 1) / TW, tiles_h = ((u32)p.out[1] + TH - 1) / TH;
  const u32 images = (u32)p.rows / ((u32)p.out[1] * (u32)p.out[2]);
  bool undefined = false;
#pragma unroll 1
  for (u32 number = blockIdx.x; number < images * tiles_h * tiles_w; number += gridDim.x) {
    const u32 line = number / tiles_w, image = line / tiles_h;
    const i32 h = (i32)(line - image * tiles_h) * TH, w = (i32)(number - line * tiles_w) * TW;
    const i32 h0 = h * SH - (i32)p.pad[1], w0 = w * SW - (i32)p.pad[2];
    const u16* const first = (const u16*)p.a + (i64)image * p.in[1] * p.in[2] * p.a_row;
#pragma unroll 4
    for (int n = thread; n < kPatchH * kPatchW; n += THREADS) {
      const i32 ph = n / kPatchW, pw = n - ph * kPatchW;
      const i32 at_h = h0 + ph, at_w = w0 + pw;
      const bool inside = (u32)at_h < (u32)p.in[1] && (u32)at_w < (u32)p.in[2];
      const u16* const pixel = first + (i64)(at_h * (i32)p.in[2] + at_w) * p.a_row;
      u32 channels[4];
#pragma unroll
      for (int c = 0; c < 4; ++c) channels[c] = inside && c < CHANNELS ? (u32)__ldg(pixel + c) : 0;
      ((uint2*)patch)[n] = make_uint2(channels[0] | channels[1] << 16,
                                      channels[2] | channels[3] << 16);
    }
    __syncthreads();

    float sums[2][BN / 8][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < BN / 8; ++j) {
#pragma unroll
        for (int k = 0; k < 4; ++k) sums[i][j][k] = 0;
      }
    }
    const int row0 = thread / 32 * 32 + lane / 4;
    // Of two rows in each of the fragments, the first pixel of their windows.
    const u16* windows[2][2];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = row0 + i * 8;
      windows[i / 2][i % 2] = patch + ((row / TW) * SH * kPatchW + row % TW * SW) * 4 + lane % 4 * 2;
    }
#pragma unroll 1
    for (int kh = 0; kh < KH; ++kh) {
#pragma unroll
      for (int k = 0; k < kLine; k += 16) {
        u32 right[BN / 16][4];
#pragma unroll
        for (int j = 0; j < BN / 16; ++j) {
          const int row = kh * kLine + k + lane % 16, chunk = j * 2 + lane / 16;
          LoadMatricesTransposed(SharedAddress(filter + Place<B_CHUNKS>(row, chunk) * 8), right[j]);
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          u32 left[4];
#pragma unroll
          for (int r = 0; r < 4; ++r) {
            const int at = k + r / 2 * 8;
            // Past the kernel's line lie other pixels, perhaps infinite ones.
            const bool inside = at / 4 + lane % 4 / 2 < KW;
            const u16* const from = windows[i][r % 2] + kh * kPatchW * 4 + at;
            left[r] = inside ? *(const u32*)from : 0;
          }
#pragma unroll
          for (int j = 0; j < BN / 8; ++j)
            Multiply(sums[i][j], left, right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
        }
      }
    }
    float* const tile = (float*)shared;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < BN / 8; ++j) {
        float* const to = tile + (row0 + i * 16) * SUM_ROW + j * 8 + lane % 4 * 2;
        *(float2*)to = make_float2(sums[i][j][0], sums[i][j][1]);
        *(float2*)(to + 8 * SUM_ROW) = make_float2(sums[i][j][2], sums[i][j][3]);
      }
    }
    const i64 row = ((i64)image * p.out[1] + h) * p.out[2] + w;
    FinishTile(p, tile, Place2d{0, 0, row, column0, h, w}, thread, THREADS, [] { __syncthreads(); },
               undefined);
    // The next patch may come: the windows have been read. The sums have been only after its
    // barrier.
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
