// Average pooling over large windows (a whole image): several blocks share a window. In pool_parts
// a block sums its part of a window's cells for LANES neighbouring channels; pool_finish adds the
// parts in order. Sums of sums are also nearer to the truth than one long sum.
//
// Class: LANES (a power of two, at most 32), T, Acc, Y.
#include "prelude.cuh"

struct Params {
  const T* x;
  Acc* partial;  // [parts, rows, channels]
  Y* y;
  i64 rows;  // pixels of the result
  i64 channels;
  i64 parts;
  i64 x_row, y_row;
  i64 in[3], out[3], kernel[3], stride[3], pad[3];
  i64 count_padding;
};

// The cells of a window that are inside of the image.
struct Window {
  i64 image;     // its first pixel's row in x
  i32 begin[3];  // in the image
  i32 size[3];
  __device__ i32 cells() const { return size[0] * size[1] * size[2]; }
};
__device__ inline Window WindowOf(const Params& p, i64 row) {
  Window window;
  i32 at[3];
  i64 rest = row;
  for (int axis = 2; axis >= 0; --axis) {
    at[axis] = (i32)(rest % p.out[axis]);
    rest /= p.out[axis];
  }
  window.image = rest * p.in[0] * p.in[1] * p.in[2];
  for (int axis = 0; axis < 3; ++axis) {
    const i32 first = at[axis] * (i32)p.stride[axis] - (i32)p.pad[axis];
    const i32 last = first + (i32)p.kernel[axis];
    window.begin[axis] = first > 0 ? first : 0;
    const i32 end = last < (i32)p.in[axis] ? last : (i32)p.in[axis];
    window.size[axis] = end > window.begin[axis] ? end - window.begin[axis] : 0;
  }
  return window;
}

constexpr i32 kGroups = 256 / LANES;
constexpr i32 kChains = 4;  // sums of a thread, so that loads and additions overlap

extern "C" __global__ void __launch_bounds__(256) pool_parts(const __grid_constant__ Params p) {
  Begin();
  __shared__ Acc sums[256];
  const i32 lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
  const i64 row = blockIdx.x;
  const i64 channel = (i64)blockIdx.y * LANES + lane;
  const Window window = WindowOf(p, row);
  const i32 cells = window.cells();
  const i32 each = (cells + (i32)p.parts - 1) / (i32)p.parts;
  const i32 first = (i32)blockIdx.z * each;
  const i32 last = first + each < cells ? first + each : cells;
  Acc chains[kChains] = {};
  if (channel < p.channels) {
    for (i32 c = first + group; c < last; c += kChains * kGroups) {
#pragma unroll
      for (i32 k = 0; k < kChains; ++k) {
        const i32 cell = c + k * kGroups;
        if (cell >= last) break;
        const i32 line = cell / window.size[2];
        const i64 w = window.begin[2] + cell - line * window.size[2];
        const i64 h = window.begin[1] + line % window.size[1];
        const i64 d = window.begin[0] + line / window.size[1];
        const i64 pixel = window.image + (d * p.in[1] + h) * p.in[2] + w;
        chains[k] += Acc(p.x[pixel * p.x_row + channel]);
      }
    }
  }
  sums[threadIdx.x] = (chains[0] + chains[1]) + (chains[2] + chains[3]);
  __syncthreads();
  for (i32 half = kGroups / 2; half > 0; half /= 2) {
    if (group < half) sums[threadIdx.x] += sums[threadIdx.x + half * LANES];
    __syncthreads();
  }
  if (group == 0 && channel < p.channels)
    p.partial[((i64)blockIdx.z * p.rows + row) * p.channels + channel] = sums[lane];
}

extern "C" __global__ void __launch_bounds__(256) pool_finish(const __grid_constant__ Params p) {
  Begin();
  const i64 count = p.rows * p.channels;
  for (i64 n = ThreadIndex(); n < count; n += GridThreads()) {
    Acc sum = p.partial[n];
    for (i64 part = 1; part < p.parts; ++part) sum += p.partial[part * count + n];
    const i64 row = n / p.channels;
    const i64 divisor = p.count_padding ? p.kernel[0] * p.kernel[1] * p.kernel[2]
                                        : (i64)WindowOf(p, row).cells();
    p.y[row * p.y_row + n - row * p.channels] = Y(sum / Acc(divisor));
  }
}
