// Products of matrices with an element-wise epilogue, one tile of the result a block, on the
// ordinary arithmetic units. The left matrix is read through an address function, so that a
// convolution is the product of its input's windows (never stored) with its filter.
//
// Where there are few tiles and the depth is large, blocks share a tile: each sums a part of the depth
// into the workspace, and a second kernel adds the parts in their order, so that the bits are the
// same every run.
//
// Class: SPLIT (1: parts), SOURCE (0 matmul, 1 convolution, 2 transposed convolution), BM, BN, TM, TN (the
// tile and each thread's part of it; (BM / TM) · (BN / TN) = 256), B_DEPTH_FIRST (1: b's elements
// along the depth lie side by side), and what product.cuh wants.
#define BK 16
#define THREADS 256
#include "product.cuh"

// A row of the result as the pixel that it is.
struct Pixel {
  i64 image;  // first pixel of it
  i32 at[3];  // in the input, of the kernel's first tap
};

extern "C" __global__ void __launch_bounds__(THREADS) gemm(const __grid_constant__ Params p) {
  Begin();
  __shared__ __align__(16) Acc a_tile[BK][BM + 4];
  __shared__ __align__(16) Acc b_tile[BK][BN + 4];
  const int thread = threadIdx.x;
  const i64 row0 = (i64)blockIdx.x * BM;
  const i64 column0 = (i64)blockIdx.y * BN;

  i64 a_first = 0, b_first = 0, y_first = 0;
#if SPLIT
  const i64 split = blockIdx.z % p.splits;
  const i64 element = p.first_batch + blockIdx.z / p.splits;
  const i64 first_k = split * p.split_depth;
  const i64 last_k = first_k + p.split_depth < p.depth ? first_k + p.split_depth : p.depth;
#else
  const i64 element = p.first_batch + blockIdx.z;
  const i64 first_k = 0, last_k = p.depth;
#endif
  i64 batch = element;
#pragma unroll
  for (int i = BATCH_RANK - 1; i >= 0; --i) {
    const i64 index = batch % p.batch_dims[i];
    batch /= p.batch_dims[i];
    a_first += index * p.a_batch[i];
    b_first += index * p.b_batch[i];
    y_first += index * p.y_batch[i];
  }
  const A* const a = p.a + a_first;
  const B* const b = p.b + b_first;

  // Each thread loads one column of the tile of a, every 16th row.
  constexpr int kRows = BM * BK / THREADS;
  const int a_k = thread % BK;
  const int a_m = thread / BK;
#if SOURCE != 0
  Pixel pixels[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    i64 row = row0 + a_m + i * (THREADS / BK);
    if (row >= p.rows) row = 0;
    const i32 w = (i32)(row % p.out[2]);
    const i32 h = (i32)(row / p.out[2] % p.out[1]);
    const i64 nd = row / (p.out[2] * p.out[1]);
    const i32 d = (i32)(nd % p.out[0]);
    pixels[i].image = nd / p.out[0] * p.in[0] * p.in[1] * p.in[2];
#if SOURCE == 1
    pixels[i].at[0] = d * (i32)p.stride[0] - (i32)p.pad[0];
    pixels[i].at[1] = h * (i32)p.stride[1] - (i32)p.pad[1];
    pixels[i].at[2] = w * (i32)p.stride[2] - (i32)p.pad[2];
#else
    pixels[i].at[0] = d + (i32)p.pad[0];
    pixels[i].at[1] = h + (i32)p.pad[1];
    pixels[i].at[2] = w + (i32)p.pad[2];
#endif
  }
#endif

  Acc sums[TM][TN];
#pragma unroll
  for (int i = 0; i < TM; ++i) {
#pragma unroll
    for (int j = 0; j < TN; ++j) sums[i][j] = Acc(0);
  }
  const int tx = thread % (BN / TN);
  const int ty = thread / (BN / TN);

  for (i64 k0 = first_k; k0 < last_k; k0 += BK) {
    {
      const i64 k = k0 + a_k;
#if SOURCE == 0
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int m = a_m + i * (THREADS / BK);
        const bool inside = k < last_k && row0 + m < p.rows;
        a_tile[a_k][m] = inside ? Acc(a[(row0 + m) * p.a_row + k * p.a_depth]) : Acc(0);
      }
#else
      const i32 tap = (i32)(k / p.channels);
      const i32 channel = (i32)(k - tap * p.channels);
      const i32 kw = tap % (i32)p.kernel[2];
      const i32 kdh = tap / (i32)p.kernel[2];
      const i32 kh = kdh % (i32)p.kernel[1];
      const i32 kd = kdh / (i32)p.kernel[1];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int m = a_m + i * (THREADS / BK);
        bool inside = k < last_k && row0 + m < p.rows;
#if SOURCE == 1
        const i32 d = pixels[i].at[0] + kd * (i32)p.dilation[0];
        const i32 h = pixels[i].at[1] + kh * (i32)p.dilation[1];
        const i32 w = pixels[i].at[2] + kw * (i32)p.dilation[2];
#else
        const i32 sd = pixels[i].at[0] - kd * (i32)p.dilation[0];
        const i32 sh = pixels[i].at[1] - kh * (i32)p.dilation[1];
        const i32 sw = pixels[i].at[2] - kw * (i32)p.dilation[2];
        const i32 d = sd / (i32)p.stride[0];
        const i32 h = sh / (i32)p.stride[1];
        const i32 w = sw / (i32)p.stride[2];
        inside = inside && d * (i32)p.stride[0] == sd && h * (i32)p.stride[1] == sh &&
                 w * (i32)p.stride[2] == sw;
#endif
        inside = inside && d >= 0 && d < p.in[0] && h >= 0 && h < p.in[1] && w >= 0 && w < p.in[2];
        const i64 at = (pixels[i].image + ((i64)d * p.in[1] + h) * p.in[2] + w) * p.a_row + channel;
        a_tile[a_k][m] = inside ? Acc(a[at]) : Acc(0);
      }
#endif
    }
#pragma unroll
    for (int i = thread; i < BK * BN; i += THREADS) {
#if B_DEPTH_FIRST
      const int bk = i % BK, n = i / BK;
#else
      const int n = i % BN, bk = i / BN;
#endif
      const i64 k = k0 + bk;
      const bool inside = k < last_k && column0 + n < p.columns;
#if SOURCE == 0
      const i64 at = k * p.b_depth + (column0 + n) * p.b_column;
#else
      const i64 tap = k / p.channels;
      const i64 at = tap * p.b_tap + (k - tap * p.channels) * p.b_depth + (column0 + n) * p.b_column;
#endif
      b_tile[bk][n] = inside ? Acc(b[at]) : Acc(0);
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < BK; ++k) {
      Acc left[TM], right[TN];
#pragma unroll
      for (int i = 0; i < TM; ++i) left[i] = a_tile[k][ty * TM + i];
#pragma unroll
      for (int j = 0; j < TN; ++j) right[j] = b_tile[k][tx * TN + j];
#pragma unroll
      for (int i = 0; i < TM; ++i) {
#pragma unroll
        for (int j = 0; j < TN; ++j) {
          sums[i][j] = MultiplyAdd(left[i], right[j], sums[i][j]);
        }
      }
    }
    __syncthreads();
  }

  bool undefined = false;
#pragma unroll
  for (int i = 0; i < TM; ++i) {
    const i64 row = row0 + ty * TM + i;
    if (row >= p.rows) break;
#pragma unroll
    for (int j = 0; j < TN; ++j) {
      const i64 column = column0 + tx * TN + j;
      if (column >= p.columns) break;
#if SPLIT
      p.parts[((split * p.batches + element) * p.rows + row) * p.columns + column] = sums[i][j];
#else
      Finish(p, element, y_first, row, column, sums[i][j], undefined);
#endif
    }
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}

#if SPLIT
extern "C" __global__ void __launch_bounds__(256) gemm_combine(const __grid_constant__ Params p) {
  Begin();
  CombineParts(p);
}
#endif
