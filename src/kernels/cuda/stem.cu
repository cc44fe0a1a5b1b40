// The first convolution of a network, of 16-bit floats with up to four channels, on the tensor
// cores, sums in f32, with its epilogue. A block keeps the filter in shared memory, and goes from
// tile to tile of TH by TW pixels: the patch of the image that their windows read is brought there
// once, four channels a pixel, so that a line of a window is one run of it. The next tile's patch
// is on its way meanwhile.
//
// Result and the epilogue's operands lie at multiples of 16 bytes, in rows that do.
//
// Class: CHANNELS, KH, KW, SH, SW (the kernel and its strides), TH, TW (their product is 128), BN
// (32 or 64), B_CONSTANT (1: no kernel of the run writes b), BFLOAT (1: factors are bf16), STAGED
// (0, or as staged.cuh wants it), EACH_OPERAND, and what product.cuh wants.
#define AT_ONCE 4
#include "exchange.cuh"
#include "fragments.cuh"
#if STAGED
#include "staged.cuh"
#endif

#define THREADS 128
#define B_CHUNKS (BN / 8)
constexpr int kLine = (KW + 3) / 4 * 16;  // of a line of the kernel: elements with the padding
constexpr int kDepth = KH * kLine;
constexpr int kPatchW = (TW - 1) * SW + kLine / 4;
constexpr int kPatchH = (TH - 1) * SH + KH;
constexpr int kPixels = (kPatchH * kPatchW + THREADS - 1) / THREADS;  // a thread's
static_assert(TH * TW == THREADS, "");

struct Tile {
  i32 image, h, w;  // of its first pixel
};
__device__ inline Tile FindTile(const Params& p, u32 number) {
  const u32 tiles_w = ((u32)p.out[2] + TW - 1) / TW, tiles_h = ((u32)p.out[1] + TH - 1) / TH;
  const u32 line = number / tiles_w, image = line / tiles_h;
  return {(i32)image, (i32)(line - image * tiles_h) * TH, (i32)(number - line * tiles_w) * TW};
}

// This thread's pixels of the tile's patch.
__device__ inline void LoadPatch(const Params& p, const Tile& tile, uint2* pixels) {
  const i32 h0 = tile.h * SH - (i32)p.pad[1], w0 = tile.w * SW - (i32)p.pad[2];
  const u16* const first = (const u16*)p.a + (i64)tile.image * p.in[1] * p.in[2] * p.a_row;
#pragma unroll
  for (int i = 0; i < kPixels; ++i) {
    const int n = threadIdx.x + i * THREADS;
    const i32 h = h0 + n / kPatchW, w = w0 + n % kPatchW;
    const bool inside =
        n < kPatchH * kPatchW && (u32)h < (u32)p.in[1] && (u32)w < (u32)p.in[2];
    const u16* const pixel = first + (i64)(h * (i32)p.in[2] + w) * p.a_row;
    u32 channels[4];
#pragma unroll
    for (int c = 0; c < 4; ++c) channels[c] = inside && c < CHANNELS ? (u32)__ldg(pixel + c) : 0;
    pixels[i] = make_uint2(channels[0] | channels[1] << 16, channels[2] | channels[3] << 16);
  }
}

// The rows of the result of a tile's pixels from `first` on, of its 128, every `step`th.
struct PixelRows {
  i32 out_h, out_w;
  Tile tile;
  int first, step;
  __device__ i32 operator()(int r) const {
    const i32 h = tile.h + (first + r * step) / TW, w = tile.w + (first + r * step) % TW;
    return h < out_h && w < out_w ? (tile.image * out_h + h) * out_w + w : -1;
  }
};

extern "C" __global__ void __launch_bounds__(THREADS, 4) stem(const __grid_constant__ Params p) {
  extern __shared__ __align__(128) unsigned char shared[];
  u16* const filter = (u16*)shared;
  u16* const patch = filter + kDepth * BN;
#if STAGED
  const u32 staged_at = ((u32)__cvta_generic_to_shared(patch + kPatchH * kPatchW * 4) + 15) & ~15u;
#endif
  const int thread = threadIdx.x, lane = thread % 32;
  const i32 column0 = (i32)blockIdx.y * BN;
  if (!B_CONSTANT) WaitForPrevious();
#pragma unroll 7
  for (int n = thread; n < kDepth * B_CHUNKS; n += THREADS) {
    const int k = n / B_CHUNKS, chunk = n % B_CHUNKS;
    const int kh = k / kLine, kw = k % kLine / 4, channel = k % 4;
    const bool inside = kw < KW && channel < CHANNELS && column0 + chunk * 8 < (i32)p.columns;
    const i64 at = ((kh * KW + kw) * CHANNELS + channel) * p.b_depth + column0 + chunk * 8;
    uint4 eight = make_uint4(0, 0, 0, 0);
    if (inside) eight = __ldg((const uint4*)(p.b + at));
    ((uint4*)filter)[Place<B_CHUNKS>(k, chunk)] = eight;
  }
  if (B_CONSTANT) WaitForPrevious();
  StartNext();
  const u32 tiles = (u32)p.rows / ((u32)p.out[1] * (u32)p.out[2]) *
                    (((u32)p.out[1] + TH - 1) / TH) * (((u32)p.out[2] + TW - 1) / TW);
  bool undefined = false;
  uint2 pixels[kPixels];
  if (blockIdx.x < tiles) LoadPatch(p, FindTile(p, blockIdx.x), pixels);
#pragma unroll 1
  for (u32 number = blockIdx.x; number < tiles; number += gridDim.x) {
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const int n = thread + i * THREADS;
      if (n < kPatchH * kPatchW) ((uint2*)patch)[n] = pixels[i];
    }
    __syncthreads();
    if (number + gridDim.x < tiles) LoadPatch(p, FindTile(p, number + gridDim.x), pixels);

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
          LoadMatricesTransposed(
              (u32)__cvta_generic_to_shared(filter + Place<B_CHUNKS>(row, chunk) * 8), right[j]);
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
    __syncthreads();  // the next patch may come
    const Tile tile = FindTile(p, number);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#if STAGED
      const PixelRows rows = {(i32)p.out[1], (i32)p.out[2], tile, row0 - lane / 4 + i * 16, 1};
      StagedOperands operands;
      FinishStaged(p, &sums[i][0][0], rows, column0, staged_at + thread / 32 * kStagedBytes,
                   &operands, false, undefined);
#else
      const PixelRows rows = {(i32)p.out[1], (i32)p.out[2], tile, row0 + i * 16, 8};
      Operands operands;
      operands.Fetch(p, rows, column0 + lane % 4 * 8, 0);
      FinishSums(p, &sums[i][0][0], rows, column0 + lane % 4 * 8, &operands, undefined);
#endif
    }
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
