// The first convolution of a network computed on 8-bit integers, of up to four channels, on the
// tensor cores (mma.sync), with its epilogue. As stem.cu: a block keeps the filter in shared memory,
// and goes from tile to tile of TH by TW pixels, whose patch of the image is brought there once, a
// word of four channels a pixel. Eight pixels of a line of the kernel are the depth of one product;
// what they have past the line, and past the last channel, meets weights of zero.
//
// Class: CHANNELS, KH, KW, SH, SW (the kernel and its strides), TH, TW (their product is 128), BN (32
// or 64), B_CONSTANT (1: no kernel of the run writes b), EACH_OPERAND, and what product.cuh wants.
#define SPLIT 0
#define BM 128
#include "tile.cuh"

#define THREADS 128
constexpr int kSteps = (KW + 7) / 8;  // products for a line of the kernel
constexpr int kPatchW = (TW - 1) * SW + kSteps * 8;
constexpr int kPatchH = (TH - 1) * SH + KH;
// The filter as the products' fragments: [line, step, eight columns, thread, half] of words.
constexpr int kFilterWords = KH * kSteps * (BN / 8) * 64;
constexpr int kFilterAt = BM * SUM_ROW * 4;
constexpr int kPatchAt = kFilterAt + kFilterWords * 4;
static_assert(TH * TW == BM, "");

__device__ inline void Multiply(Acc* sums, const u32* a, uint2 b) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

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
  u32* const filter = (u32*)(shared + kFilterAt);
  u32* const patch = (u32*)(shared + kPatchAt);
  const int thread = threadIdx.x, lane = thread % 32;
  const i64 column0 = (i64)blockIdx.y * BN;
  if (!B_CONSTANT) WaitForPrevious();
#pragma unroll 1
  for (int n = thread; n < kFilterWords; n += THREADS) {
    const int half = n % 2, of = n / 2 % 32, j = n / 64 % (BN / 8);
    const int step = n / 64 / (BN / 8), kh = step / kSteps;
    const int kw = step % kSteps * 8 + half * 4 + of % 4;
    const i64 column = column0 + j * 8 + of / 4;
    u32 word = 0;
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) {
      if (kw < KW && column < p.columns)
        word |= (u32)(u8)p.b[((kh * KW + kw) * CHANNELS + c) * p.b_depth + column] << 8 * c;
    }
    filter[n] = word;
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
    const u8* const first = (const u8*)p.a + (i64)image * p.in[1] * p.in[2] * p.a_row;
#pragma unroll 4
    for (int n = thread; n < kPatchH * kPatchW; n += THREADS) {
      const i32 ph = n / kPatchW, pw = n - ph * kPatchW;
      const i32 at_h = h0 + ph, at_w = w0 + pw;
      const bool inside = (u32)at_h < (u32)p.in[1] && (u32)at_w < (u32)p.in[2];
      const u8* const pixel = first + (i64)(at_h * (i32)p.in[2] + at_w) * p.a_row;
      u32 word = 0;
#pragma unroll
      for (int c = 0; c < CHANNELS; ++c) word |= inside ? (u32)__ldg(pixel + c) << 8 * c : 0;
      patch[n] = word;
    }
    __syncthreads();

    Acc sums[2][BN / 8][4] = {};
    const int row0 = thread / 32 * 32 + lane / 4;
    // Of two rows in each of the fragments, the first pixel of their windows.
    const u32* windows[2][2];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = row0 + i * 8;
      windows[i / 2][i % 2] = patch + row / TW * SH * kPatchW + row % TW * SW + lane % 4;
    }
#pragma unroll 1
    for (int kh = 0; kh < KH; ++kh) {
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        uint2 right[BN / 8];
#pragma unroll
        for (int j = 0; j < BN / 8; ++j)
          right[j] = ((const uint2*)filter)[((kh * kSteps + k) * (BN / 8) + j) * 32 + lane];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          u32 left[4];
#pragma unroll
          for (int r = 0; r < 4; ++r) left[r] = windows[i][r % 2][kh * kPatchW + k * 8 + r / 2 * 4];
#pragma unroll
          for (int j = 0; j < BN / 8; ++j) Multiply(sums[i][j], left, right[j]);
        }
      }
    }
    Acc* const tile = (Acc*)shared;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < BN / 8; ++j) {
        Acc* const to = tile + (row0 + i * 16) * SUM_ROW + j * 8 + lane % 4 * 2;
        *(uint2*)to = make_uint2(sums[i][j][0], sums[i][j][1]);
        *(uint2*)(to + 8 * SUM_ROW) = make_uint2(sums[i][j][2], sums[i][j][3]);
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
