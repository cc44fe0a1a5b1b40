// Products of matrices of 16-bit floats on the tensor cores, sums in f32, with an element-wise
// epilogue; a convolution is the product of its input's windows with its filter, as in gemm.cu.
//
// A block computes a tile of BM by BN results, each warp a part of WM by WN of it. Slices of both
// factors, BK deep, pass through STAGES buffers of shared memory, copied while earlier ones are
// multiplied. The sums go through shared memory to the epilogue, which has eight neighbouring
// results a thread.
//
// With SPLIT, blocks share a tile, each with a part of the depth. Where there are clusters (9.0 on)
// the blocks of a tile are one, and each reads a share of the tile's sums from the others' shared
// memory, in their order; else parts go to the workspace and gemm_combine adds them. The bits are
// the same every run.
//
// Class: SPLIT, SOURCE (0 matmul, 1 convolution of one or two dimensions), BATCHED (0: one product),
// BM, BN, WM, WN, BK (32 or 64), STAGES, A_WIDTH and B_WIDTH (neighbours that are copied at once
// where the factor lies at a multiple of 16 bytes: 8, 4, 2 or 1), A_LINES (1: the pixels that a line
// of a convolution's kernel reads lie side by side, and A_WIDTH is of that line), B_DEPTH_FIRST (1:
// b's elements along the depth lie side by side), B_CONSTANT (1: no kernel of the run writes b),
// BFLOAT (1: factors are bf16), VECTOR (results of a row that a thread finishes together: 8, or 4
// where rows are of fours), EACH_OPERAND, and what product.cuh wants.
#include "fragments.cuh"
#include "tile.cuh"

#define WARPS_N (BN / WN)
#define THREADS (BM / WM * WARPS_N * 32)
#define A_CHUNKS (BK / 8)  // of a row of the tile
#if B_DEPTH_FIRST
#define B_ROWS BN
#define B_CHUNKS (BK / 8)
#else
#define B_ROWS BK
#define B_CHUNKS (BN / 8)
#endif
#define A_BYTES (BM * BK * 2)
#define B_BYTES (BN * BK * 2)
// Blocks to a multiprocessor: one computes while another waits. Gathering single elements takes
// registers.
#define GATHERS (A_WIDTH == 1 || B_WIDTH == 1)
#define MIN_BLOCKS (THREADS > 128 ? 2 - GATHERS : GATHERS || WM * WN > 2048 ? 2 : 3)

// Copies `bytes` (up to WIDTH elements; 0: none) and fills up with zeros.
template <int kWidth>
__device__ inline void CopyAsync(u32 to, const void* from, int bytes) {
  if constexpr (kWidth == 8) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
  } else if constexpr (kWidth == 4) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from), "r"(bytes));
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes));
  }
}

// The rows of a's tile of which this thread copies chunks.
constexpr int kRowStep = THREADS / A_CHUNKS;
constexpr int kRows = BM / kRowStep;
struct Row {
#if SOURCE == 1
  i32 pixel;  // number of the window's first
  i32 at;     // its h and w, 16 bits each; far outside for rows past the last
  __device__ i32 h() const { return at >> 16; }
  __device__ i32 w() const { return (i16)at; }
#else
  const A* first;
  bool inside;
#endif
};
__device__ inline Row FindRow(const Params& p, const A* a, i64 row0, int i) {
  const u32 number = (u32)row0 + threadIdx.x / A_CHUNKS + i * kRowStep;
  Row row;
#if SOURCE == 1
  const u32 rest = number / (u32)p.out[2];
  const i32 w = (i32)(number - rest * (u32)p.out[2]);
  const u32 n = rest / (u32)p.out[1];
  const i32 h = (i32)(rest - n * (u32)p.out[1]);
  const i32 first_w = w * (i32)p.stride[2] - (i32)p.pad[2];
  const i32 first_h = h * (i32)p.stride[1] - (i32)p.pad[1];
  row.pixel = (i32)((n * p.in[1] + first_h) * p.in[2] + first_w);
  row.at = number < p.rows ? first_h << 16 | (first_w & 0xffff) : (i32)0x80000000;
#else
  row.inside = number < p.rows;
  row.first = a + number * p.a_row;
#endif
  return row;
}

// Elements [k, k + kWidth) of the row: where they lie, and how many there are.
template <int kWidth>
__device__ inline const A* Locate(const Params& p, const A* a, const Row& row, i64 k, i64 last,
                                  int* count) {
  (void)a;
#if SOURCE == 1
  const i32 channels = (i32)p.channels;
#if A_LINES
  const i32 line = (i32)p.kernel[2] * channels;
  const i32 kh = (i32)k / line;
  const i32 at = (i32)k - kh * line;
  const i32 dh = kh * (i32)p.dilation[1];
  const bool inside = k < last && (u32)(row.h() + dh) < (u32)p.in[1] &&
                      (u32)(row.w() * channels + at) < (u32)((i32)p.in[2] * channels);
  *count = inside ? kWidth : 0;
  return inside ? a + (i64)(row.pixel + dh * (i32)p.in[2]) * p.a_row + at : p.a;
#else
  const i32 tap = (i32)k / channels;
  const i32 channel = (i32)k - tap * channels;
  const i32 kh = tap / (i32)p.kernel[2];
  const i32 dh = kh * (i32)p.dilation[1];
  const i32 dw = (tap - kh * (i32)p.kernel[2]) * (i32)p.dilation[2];
  const bool inside = k < last && (u32)(row.h() + dh) < (u32)p.in[1] &&
                      (u32)(row.w() + dw) < (u32)p.in[2];
  *count = inside ? kWidth : 0;
  return inside ? a + (i64)(row.pixel + dh * (i32)p.in[2] + dw) * p.a_row + channel : p.a;
#endif
#else
  *count = row.inside ? Clip(last - k, kWidth) : 0;
  return *count ? row.first + k : p.a;
#endif
}

template <int kWidth>
__device__ inline void CopyA(const Params& p, const A* a, const Row* rows, u16* tile, i64 k0,
                             i64 last) {
  const int chunk = threadIdx.x % A_CHUNKS;
  const int row0 = threadIdx.x / A_CHUNKS;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    u16* const to = tile + Place<A_CHUNKS>(row0 + i * kRowStep, chunk) * 8;
    u16 elements[8];
#pragma unroll
    for (int j = 0; j < 8; j += kWidth) {
      int count;
      const A* const from = Locate<kWidth>(p, a, rows[i], k0 + chunk * 8 + j, last, &count);
      if constexpr (kWidth == 1) elements[j] = count ? *(const u16*)from : (u16)0;
      else CopyAsync<kWidth>(SharedAddress(to + j), from, count * 2);
    }
    if constexpr (kWidth == 1) {
#pragma unroll
      for (int j = 0; j < 4; ++j)
        ((u32*)to)[j] = (u32)elements[2 * j] | (u32)elements[2 * j + 1] << 16;
    }
  }
}

// Where the depth of a convolution is in its kernel, walked from slice to slice; the division that
// Locate needs costs more than the copy.
#define WALKS (SOURCE == 1 && !A_LINES && A_WIDTH == 8)
#if WALKS
struct Tap {
  i32 k, h, w, channel;
};
__device__ inline Tap FindTap(const Params& p, i64 k0) {
  Tap tap;
  tap.k = (i32)k0 + (int)threadIdx.x % A_CHUNKS * 8;
  const i32 at = tap.k / (i32)p.channels;
  tap.channel = tap.k - at * (i32)p.channels;
  tap.h = at / (i32)p.kernel[2];
  tap.w = at - tap.h * (i32)p.kernel[2];
  return tap;
}
__device__ inline void CopyAWalking(const Params& p, const A* a, const Row* rows, u16* tile,
                                    i64 last, Tap* tap) {
  const int chunk = threadIdx.x % A_CHUNKS;
  const int row0 = threadIdx.x / A_CHUNKS;
  const i32 dh = tap->h * (i32)p.dilation[1];
  const i32 dw = tap->w * (i32)p.dilation[2];
  const i32 offset = dh * (i32)p.in[2] + dw;
  a += tap->channel;
  const bool more = tap->k < last;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const Row& row = rows[i];
    const bool inside = more && (u32)(row.h() + dh) < (u32)p.in[1] &&
                        (u32)(row.w() + dw) < (u32)p.in[2];
    CopyAsync<8>(SharedAddress(tile + Place<A_CHUNKS>(row0 + i * kRowStep, chunk) * 8),
                 inside ? a + (i64)(row.pixel + offset) * p.a_row : p.a, inside ? 16 : 0);
  }
  tap->k += BK;
  tap->channel += BK;
  while (tap->channel >= (i32)p.channels) {
    tap->channel -= (i32)p.channels;
    if (++tap->w < (i32)p.kernel[2]) continue;
    tap->w = 0;
    ++tap->h;
  }
}
#endif

// The rows of b's tile of which this thread copies a chunk each.
constexpr int kBStep = THREADS / B_CHUNKS;
static_assert(THREADS % B_CHUNKS == 0, "");

// The first chunk of this thread's in the slice at k0.
__device__ inline const B* FindB(const Params& p, const B* b, i64 column0, i64 k0) {
  const int row = threadIdx.x / B_CHUNKS, chunk = threadIdx.x % B_CHUNKS;
#if B_DEPTH_FIRST
  return b + (column0 + row) * p.b_column + k0 + chunk * 8;
#else
  return b + (k0 + row) * p.b_depth + column0 + chunk * 8;
#endif
}

template <int kWidth>
__device__ inline void CopyB(const Params& p, const B* first, u16* tile, i64 column0, i64 k0,
                             i64 last) {
  const int chunk = threadIdx.x % B_CHUNKS;
#if B_DEPTH_FIRST
  const i64 step = kBStep * p.b_column;
  const int left = Clip(last - k0 - chunk * 8, 8);
  const int rows = Clip(p.columns - column0, B_ROWS);
#else
  const i64 step = kBStep * p.b_depth;
  const int left = Clip(p.columns - column0 - chunk * 8, 8);
  const int rows = Clip(last - k0, B_ROWS);
#endif
#pragma unroll
  for (int i = 0; i < (B_ROWS + kBStep - 1) / kBStep; ++i) {
    const int row = threadIdx.x / B_CHUNKS + i * kBStep;
    if (B_ROWS % kBStep != 0 && row >= B_ROWS) break;
    u16* const to = tile + Place<B_CHUNKS>(row, chunk) * 8;
    const B* const line = first + i * step;
#pragma unroll
    for (int j = 0; j < 8; j += kWidth) {
      const int count = row < rows ? Clip(left - j, kWidth) : 0;
      if constexpr (kWidth == 1) to[j] = count ? ((const u16*)line)[j] : (u16)0;
      else CopyAsync<kWidth>(SharedAddress(to + j), count ? line + j : p.b, count * 2);
    }
  }
}

// Where factors do not lie at multiples of 16 bytes; seldom, so that the code is to be small.
__device__ inline void CopyAUnaligned(const Params& p, const A* a, u16* tile, i64 row0, i64 k0,
                                      i64 last) {
  const int chunk = threadIdx.x % A_CHUNKS;
#pragma unroll 1
  for (int i = 0; i < kRows; ++i) {
    const Row row = FindRow(p, a, row0, i);
    u16* const to =
        tile + Place<A_CHUNKS>((int)threadIdx.x / A_CHUNKS + i * kRowStep, chunk) * 8;
#pragma unroll 1
    for (int j = 0; j < 8; ++j) {
      int count;
      const A* const from = Locate<1>(p, a, row, k0 + chunk * 8 + j, last, &count);
      to[j] = count ? *(const u16*)from : (u16)0;
    }
  }
}
__device__ inline void CopyBUnaligned(const Params& p, const B* b, u16* tile, i64 column0, i64 k0,
                                      i64 last) {
#pragma unroll 1
  for (int n = threadIdx.x; n < BN * BK; n += THREADS) {
    const int row = n / (B_CHUNKS * 8), at = n % (B_CHUNKS * 8);
    const i64 k = k0 + (B_DEPTH_FIRST ? at : row);
    const i64 column = column0 + (B_DEPTH_FIRST ? row : at);
    const bool inside = k < last && column < p.columns;
    const i64 offset = k * p.b_depth + column * p.b_column;
    tile[Place<B_CHUNKS>(row, at / 8) * 8 + at % 8] =
        inside ? ((const u16*)b)[offset] : (u16)0;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    mma(const __grid_constant__ Params p) {
  extern __shared__ __align__(128) unsigned char shared[];
  const int thread = threadIdx.x;
  const int lane = thread % 32;
  const int warp_m = thread / 32 / WARPS_N * WM;
  const int warp_n = thread / 32 % WARPS_N * WN;
  const u32 column_tiles = ((u32)p.columns + BN - 1) / BN;
  const u32 row_tile = blockIdx.x / column_tiles;
  const i64 row0 = (i64)row_tile * BM;
  const i64 column0 = (i64)(blockIdx.x - row_tile * column_tiles) * BN;

#if SPLIT
  const u32 splits = (u32)p.splits;
  const i64 element = p.first_batch + blockIdx.z / splits;
  const i64 split = blockIdx.z % splits;
  const i64 first_k = split * p.split_depth;
  const i64 last_k = first_k + p.split_depth < p.depth ? first_k + p.split_depth : p.depth;
#else
  const i64 element = p.first_batch + blockIdx.z;
  const i64 first_k = 0, last_k = p.depth;
#endif
  i64 a_first = 0, b_first = 0, y_first = 0;
#if BATCHED
  {
    u32 batch = (u32)element;
#pragma unroll
    for (int i = BATCH_RANK - 1; i >= 0; --i) {
      const u32 rest = batch / (u32)p.batch_dims[i];
      const i64 index = batch - rest * (u32)p.batch_dims[i];
      batch = rest;
      a_first += index * p.a_batch[i];
      b_first += index * p.b_batch[i];
      y_first += index * p.y_batch[i];
    }
  }
#endif

  const A* const a = p.a + a_first;
  Row rows[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) rows[i] = FindRow(p, a, row0, i);
  u16* const tiles = (u16*)shared;
#if WALKS
  Tap tap = FindTap(p, first_k);
#endif
  // Slices come one after the other.
  const auto copy_a = [&](int stage, i64 k0) {
    u16* const tile = tiles + stage * ((A_BYTES + B_BYTES) / 2);
#if A_WIDTH > 1
    if ((u64)p.a % 16 != 0) return CopyAUnaligned(p, a, tile, row0, k0, last_k);
#endif
#if WALKS
    CopyAWalking(p, a, rows, tile, last_k, &tap);
#else
    CopyA<A_WIDTH>(p, a, rows, tile, k0, last_k);
#endif
  };
  const B* const b = p.b + b_first;
  const B* next_b = FindB(p, b, column0, first_k);
  const auto copy_b = [&](int stage, i64 k0) {
    u16* const tile = tiles + stage * ((A_BYTES + B_BYTES) / 2) + A_BYTES / 2;
    const B* const first = next_b;
    next_b += B_DEPTH_FIRST ? BK : BK * p.b_depth;
#if B_WIDTH > 1
    if ((u64)p.b % 16 != 0) return CopyBUnaligned(p, b, tile, column0, k0, last_k);
#endif
    CopyB<B_WIDTH>(p, first, tile, column0, k0, last_k);
  };

  float sums[WM / 16][WN / 8][4];
#pragma unroll
  for (int i = 0; i < WM / 16; ++i) {
#pragma unroll
    for (int j = 0; j < WN / 8; ++j) {
#pragma unroll
      for (int k = 0; k < 4; ++k) sums[i][j][k] = 0;
    }
  }

  const int slices = last_k > first_k ? (int)((last_k - first_k + BK - 1) / BK) : 0;
  constexpr int kAhead = STAGES - 1;
#if B_CONSTANT
  // The weights do not wait for the kernel before.
#pragma unroll 1
  for (int s = 0; s < kAhead && s < slices; ++s) copy_b(s, first_k + s * BK);
#endif
  WaitForPrevious();
#pragma unroll 1
  for (int s = -kAhead; s < slices; ++s) {
    if (s >= 0) {
      asm volatile("cp.async.wait_group %0;" ::"n"(kAhead - 1));
      __syncthreads();
    }
    const int next = s + kAhead;
    if (next < slices) {
      copy_a(next % STAGES, first_k + next * BK);
      if (!B_CONSTANT || s >= 0) copy_b(next % STAGES, first_k + next * BK);
    }
    asm volatile("cp.async.commit_group;");
    if (s == -1) StartNext();
    if (s < 0) continue;
    const u16* const a_tile = tiles + s % STAGES * ((A_BYTES + B_BYTES) / 2);
    const u16* const b_tile = a_tile + A_BYTES / 2;
#pragma unroll
    for (int k = 0; k < BK / 16; ++k) {
      u32 right[WN / 16][4];
#pragma unroll
      for (int j = 0; j < WN / 16; ++j) {
#if B_DEPTH_FIRST
        const int row = warp_n + j * 16 + lane % 8 + lane / 16 * 8;
        LoadMatrices(SharedAddress(b_tile + Place<B_CHUNKS>(row, k * 2 + lane / 8 % 2) * 8),
                     right[j]);
#else
        const int row = k * 16 + lane % 16;
        const int chunk = (warp_n + j * 16) / 8 + lane / 16;
        LoadMatricesTransposed(SharedAddress(b_tile + Place<B_CHUNKS>(row, chunk) * 8), right[j]);
#endif
      }
#pragma unroll
      for (int i = 0; i < WM / 16; ++i) {
        const int row = warp_m + i * 16 + lane % 16;
        u32 left[4];
        LoadMatrices(SharedAddress(a_tile + Place<A_CHUNKS>(row, k * 2 + lane / 16) * 8), left);
#pragma unroll
        for (int j = 0; j < WN / 8; ++j)
          Multiply(sums[i][j], left, right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
      }
    }
  }
  asm volatile("cp.async.wait_all;");
  __syncthreads();

  float* const tile = (float*)shared;
#pragma unroll
  for (int i = 0; i < WM / 16; ++i) {
#pragma unroll
    for (int j = 0; j < WN / 8; ++j) {
      float* const to =
          tile + (warp_m + i * 16 + lane / 4) * SUM_ROW + warp_n + j * 8 + lane % 4 * 2;
      *(float2*)to = make_float2(sums[i][j][0], sums[i][j][1]);
      *(float2*)(to + 8 * SUM_ROW) = make_float2(sums[i][j][2], sums[i][j][3]);
    }
  }
  bool undefined = false;
#if SPLIT && !CLUSTERS
  constexpr int kChunks = BN / VECTOR;
  __syncthreads();
  for (int n = thread; n < BM * kChunks; n += THREADS) {
    const int row = n / kChunks, column = n % kChunks * VECTOR;
    if (row0 + row >= p.rows) continue;
    const int count = Clip(p.columns - column0 - column, VECTOR);
    Acc* const to = p.parts + ((split * p.batches + element) * p.rows + row0 + row) * p.columns +
                    column0 + column;
    for (int j = 0; j < count; ++j) to[j] = tile[row * SUM_ROW + column + j];
  }
#elif CLUSTERS
  FinishTile(p, tile, TilePlace{element, y_first, row0, column0},
             thread + THREADS * (int)split, THREADS * (int)splits, WaitForCluster, undefined);
  WaitForCluster();  // a block's shared memory lives until the others have read it
#else
  FinishTile(p, tile, TilePlace{element, y_first, row0, column0}, thread, THREADS,
             [] { __syncthreads(); }, undefined);
#endif
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}

#if SPLIT && __CUDA_ARCH__ < 900
extern "C" __global__ void __launch_bounds__(256) gemm_combine(const __grid_constant__ Params p) {
  WaitForPrevious();
  StartNext();
  CombineParts(p);
}
#endif
