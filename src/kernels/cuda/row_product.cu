// The product of one row with a matrix of 16-bit floats, which is a matter of reading the matrix:
// for dense layers at batch 1, on cards of 9.0 and later.
//
// A block computes BN columns; those of a cluster share their depth. A thread reads every kLines'th
// row of eight columns, AHEAD of them under way together, the first ones while the kernel before
// still runs; its sums are added to those of the block's other threads, and the blocks', in a fixed
// order.
//
// b's columns lie side by side, at multiples of 16 bytes.
//
// Class: B_CONSTANT (1: no kernel of the run writes b), EACH_OPERAND, and what product.cuh wants.
#define SPLIT 1
#define BM 1
#define BN 64
#include "tile.cuh"

#define THREADS 256
#define AHEAD 8
constexpr int kChunks = BN / VECTOR;
constexpr int kLines = THREADS / kChunks;  // rows of b that a block reads at a time

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    row_product(const __grid_constant__ Params p) {
  __shared__ __align__(16) Acc warps[THREADS / 32][BN];
  __shared__ __align__(16) Acc tile[SUM_ROW];
  const int thread = threadIdx.x, lane = thread % 32;
  const int split = (int)blockIdx.z, splits = (int)p.splits;
  const i64 column0 = (i64)blockIdx.x * BN, column = column0 + thread % kChunks * VECTOR;
  const i32 first = split * (i32)p.split_depth;
  const i32 end = first + Clip(p.depth - first, (int)p.split_depth);
  const bool inside = column < p.columns;
  Packed<B> right[AHEAD];
  const auto fetch = [&](i32 k) {
#pragma unroll
    for (int i = 0; i < AHEAD; ++i)
      right[i] = LoadWords(p.b + (k + i * kLines) * p.b_depth + column,
                           inside && k + i * kLines < end);
  };
  i32 k = first + thread / kChunks;
#if B_CONSTANT
  fetch(k);
  WaitForPrevious();
#else
  WaitForPrevious();
  fetch(k);
#endif
  StartNext();
  Acc sums[VECTOR] = {};
  while (k < end) {
    Acc left[AHEAD];
#pragma unroll
    for (int i = 0; i < AHEAD; ++i)
      left[i] = k + i * kLines < end ? (Acc)p.a[k + i * kLines] : Acc(0);
#pragma unroll
    for (int i = 0; i < AHEAD; ++i) {
#pragma unroll
      for (int j = 0; j < VECTOR; ++j) sums[j] = fma(left[i], (Acc)right[i].Get(j), sums[j]);
    }
    k += AHEAD * kLines;
    if (k < end) fetch(k);
  }
#pragma unroll
  for (int j = 0; j < VECTOR; ++j) {
#pragma unroll
    for (int step = kChunks; step < 32; step *= 2)
      sums[j] += __shfl_xor_sync(~0u, sums[j], step);
    if (lane < kChunks) warps[thread / 32][lane * VECTOR + j] = sums[j];
  }
  __syncthreads();
  if (thread < BN) {
    Acc sum = 0;
#pragma unroll
    for (int warp = 0; warp < THREADS / 32; ++warp) sum += warps[warp][thread];
    tile[thread] = sum;
  }
  bool undefined = false;
  FinishTile(p, tile, TilePlace{0, 0, 0, column0}, thread * splits + split, THREADS * splits,
             WaitForCluster, undefined);
  WaitForCluster();  // a block's shared memory lives until the others have read it
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
