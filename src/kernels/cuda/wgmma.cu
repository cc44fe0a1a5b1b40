// Products of matrices of 16-bit floats with sums in f32, and of 8-bit integers with sums in 32
// bits, by wgmma, the tensor cores' instructions of 9.0, with an element-wise epilogue; a
// convolution is the product of its input's windows with its filter, as in gemm.cu.
//
// A block computes tiles of BM by BN results, one after the other: GROUPS groups of four warps, each
// with its share of the rows. One more warp has the copy engine bring slices of both factors, as
// deep as ROW_BYTES hold, through STAGES buffers of shared memory, those of the next tile as well;
// barriers there say when a slice has come and when it may be overwritten. A slice lies within one
// tap of a convolution's kernel; what is outside of the image, and past the last channel, comes as
// zeros. For the epilogue neighbouring threads exchange their sums, so that each has eight
// neighbours; with STAGED each finishes its own (staged.cuh).
//
// With SPLIT, the blocks of a cluster share a tile, each with a part of the slices. Each finishes
// every so many'th row, of which the others send it their sums; they are added in the blocks' order:
// the bits are the same every run.
//
// Factors, result and the epilogue's operands lie at multiples of 16 bytes, in rows that do.
//
// Class: SPLIT, BM (GROUPS times 64 or 128), BN (32, 64, 128 or 256), GROUPS, STAGES, MIN_BLOCKS (to
// a multiprocessor), WINDOWS (1: a convolution's windows, 0: rows of a matrix), B_DEPTH_FIRST (1: b's
// elements along the depth lie side by side), B_CONSTANT (1: no kernel of the run writes b), BFLOAT
// (1: factors are bf16), INTEGERS (1: factors are i8, and b's depth lies side by side), ROW_BYTES (a
// slice's depth in bytes: 128, of integers also 64), STAGED (0, or as staged.cuh wants it),
// EACH_OPERAND, and what product.cuh wants.

// Eights of an epilogue's operand that a thread has under way.
#define AT_ONCE (GROUPS == 2 && MIN_BLOCKS > 1 && BN > 64 ? 2 : 4)
#include "wgmma.cuh"
#if STAGED
#include "staged.cuh"
#endif

#define A_BYTES (BM * ROW_BYTES)
#define STAGE_BYTES (A_BYTES + B_BYTES)
constexpr int kSumsAt = STAGES * STAGE_BYTES;  // with SPLIT: those that blocks are sent
#if SPLIT
constexpr int kBarriersAt = kSumsAt + kSumsBytes;
#elif STAGED
constexpr int kBarriersAt = kSumsAt + CONSUMERS / 32 * kStagedBytes;  // and a warp's results
#else
constexpr int kBarriersAt = kSumsAt;
#endif

__device__ inline void CopyMatrix(u32 to, const TensorMap& map, u32 barrier, i32 x, i32 y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(x), "r"(y)
      : "memory");
}
__device__ inline void CopyWindows(u32 to, const TensorMap& map, u32 barrier, i32 channel, i32 w,
                                   i32 h, i32 n, u16 dw, u16 dh) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(channel), "r"(w), "r"(h), "r"(n), "h"(dw), "h"(dh)
      : "memory");
}

// A place in the depth: a tap of the kernel, and the first channel.
struct Slice {
  i32 tap, kh, kw, channel;
};
__device__ inline i32 TapDepth(const Params& p) { return (i32)(WINDOWS ? p.channels : p.depth); }
__device__ inline Slice FindSlice(const Params& p, i32 number) {
  const i32 chunks = (TapDepth(p) + BK - 1) / BK;
  Slice slice;
  slice.tap = number / chunks;
  slice.channel = (number - slice.tap * chunks) * BK;
  slice.kh = slice.tap / (i32)p.kernel[2];
  slice.kw = slice.tap - slice.kh * (i32)p.kernel[2];
  return slice;
}
__device__ inline void NextSlice(const Params& p, Slice* slice) {
  slice->channel += BK;
  if (slice->channel < TapDepth(p)) return;
  slice->channel = 0;
  ++slice->tap;
  if (++slice->kw < (i32)p.kernel[2]) return;
  slice->kw = 0;
  ++slice->kh;
}

// The first pixel of a row's window.
struct Pixel {
  i32 n, h, w;
};
__device__ inline Pixel FindPixel(const Params& p, i32 row) {
  const u32 rest = (u32)row / (u32)p.out[2];
  Pixel pixel;
  pixel.w = (i32)((u32)row - rest * (u32)p.out[2]) * (i32)p.stride[2] - (i32)p.pad[2];
  pixel.n = (i32)(rest / (u32)p.out[1]);
  pixel.h = (i32)(rest - (u32)pixel.n * (u32)p.out[1]) * (i32)p.stride[1] - (i32)p.pad[1];
  return pixel;
}

// A thread's two rows of the 16 that a warp computes.
struct RowPair {
  i32 rows, first;
  __device__ i32 operator()(int r) const {
    return first + r * 8 < rows ? first + r * 8 : -1;
  }
};

// A warp's 16 rows.
struct WarpRows {
  i32 rows, first;
  __device__ i32 operator()(int i) const { return first + i < rows ? first + i : -1; }
};

// The warp that has the slices brought.
__device__ inline void Produce(const Params& p, u32 slices_at, u32 full, u32 empty, u32 tiles,
                               i32 first_slice, i32 slices) {
  if (!IsCopier(p)) return;
  const auto copy_b = [&](int stage, const Place& place, const Slice& slice) {
    CopyB(p, slices_at + stage * STAGE_BYTES + A_BYTES, full + 8 * stage, place.column0,
          slice.channel, slice.tap);
  };
  int stage = 0;
  u32 parity = 1;  // of the first round, in which all stages are empty
  int ahead = 0;   // slices of the first tile whose weights are under way
#if B_CONSTANT
  // They do not wait for the kernel before.
  Slice next = FindSlice(p, first_slice);
  for (; ahead < STAGES && ahead < slices; ++ahead) {
    Expect(full + 8 * ahead, STAGE_BYTES);
    copy_b(ahead, PlaceOf(p, blockIdx.x), next);
    NextSlice(p, &next);
  }
#endif
  WaitForPrevious();
  bool started = false;
  for (u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const Place place = PlaceOf(p, tile);
#if WINDOWS
    const Pixel pixel = FindPixel(p, place.first);
#endif
    Slice slice = FindSlice(p, first_slice);
    for (int s = 0; s < slices; ++s) {
      if (ahead > 0) {
        --ahead;
      } else {
        WaitFor(empty + 8 * stage, parity);
        Expect(full + 8 * stage, STAGE_BYTES);
        copy_b(stage, place, slice);
      }
      const u32 to = slices_at + stage * STAGE_BYTES;
#if WINDOWS
      CopyWindows(to, p.a_map, full + 8 * stage, slice.channel, pixel.w, pixel.h, pixel.n,
                  (u16)(slice.kw * (i32)p.dilation[2]), (u16)(slice.kh * (i32)p.dilation[1]));
#else
      CopyMatrix(to, p.a_map, full + 8 * stage, slice.channel, place.first);
#endif
      Arrive(full + 8 * stage);
      NextSlice(p, &slice);
      if (++stage == STAGES) stage = 0, parity ^= 1;
      if (!started && (s == STAGES - 1 || s == slices - 1)) {
        StartNext();
        started = true;
      }
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    wgmma(const __grid_constant__ Params p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const int thread = threadIdx.x;
  const u32 slices_at = SharedAddress(shared);
  const u32 full = slices_at + kBarriersAt, empty = full + 8 * STAGES;
  const u32 tiles = (u32)(((p.rows + BM - 1) / BM) * ((p.columns + BN - 1) / BN));
  const i32 chunks = (TapDepth(p) + BK - 1) / BK;
  const i32 all = WINDOWS ? (i32)(p.kernel[1] * p.kernel[2]) * chunks : chunks;
#if SPLIT
  const i32 first_slice = (i32)blockIdx.z * (i32)p.split_depth;
  const i32 slices = Clip(all - first_slice, (int)p.split_depth);
#else
  const i32 first_slice = 0, slices = all;
#endif
  if (thread < STAGES) {
    InitBarrier(full + 8 * thread, 1);
    InitBarrier(empty + 8 * thread, CONSUMERS / 32);
  }
#if SPLIT
  const int blocks = (int)p.splits, rank = (int)blockIdx.z;
  const u32 sent = empty + 8 * STAGES;
  if (thread == 0) {
    InitBarrier(sent, 1);
    Expect(sent, SentBytes(blocks, rank));
    Arrive(sent);
  }
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
#if SPLIT
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif

  if (thread >= CONSUMERS) {
    BeginCopying();
    if (TRADES && thread >= CONSUMERS + 32) return;
    Produce(p, slices_at, full, empty, tiles, first_slice, slices);
#if SPLIT
    __syncwarp();
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
    return;
  }

  const int first_row = BeginMultiplying();
  const int group = thread / 128;
  bool undefined = false;
  int stage = 0;
  u32 parity = 0;
#pragma unroll 1
  for (u32 number = blockIdx.x; number < tiles; number += gridDim.x) {
#if STAGED
    constexpr bool kAhead = kParts * BN <= 64;  // the epilogue's operands
    StagedOperands operands;
    const int warp_row = first_row - thread % 32 / 4;
    if (kAhead) {
      const Place place = PlaceOf(p, number);
      operands.Fetch(p, WarpRows{(i32)p.rows, place.first + warp_row}, place.column0);
    }
#elif !SPLIT
    Operands operands;
    if (kParts * BN <= 64) {
      const Place place = PlaceOf(p, number);
      operands.Fetch(p, RowPair{(i32)p.rows, place.first + first_row},
                     place.column0 + thread % 4 * 8, 0);
    }
#endif
    Acc sums[kParts][BN / 2];
    ClearSums(sums);
    int before = 0;
#pragma unroll 1
    for (int s = 0; s < slices; ++s) {
      WaitFor(full + 8 * stage, parity);
      const u32 a_at = slices_at + stage * STAGE_BYTES + group * (kGroupRows * ROW_BYTES);
      const u32 b_at = slices_at + stage * STAGE_BYTES + A_BYTES;
      MultiplySlice(sums, a_at, b_at);
      WaitForProducts<1>();
      if (s > 0 && thread % 32 == 0) Arrive(empty + 8 * before);
      before = stage;
      if (++stage == STAGES) stage = 0, parity ^= 1;
    }
    WaitForProducts<0>();
    KeepSums(sums);
    if (slices > 0 && thread % 32 == 0) Arrive(empty + 8 * before);
    // Found anew: while products are formed, registers are scarce.
    u32 tile = number;
    asm volatile("" : "+r"(tile));
    const Place place = PlaceOf(p, tile);
#if SPLIT
    struct Rows {
      i64 element, y_first, row0, column0;
      int blocks, rank;
      __device__ i64 RowOf(const Params& p, int row) const {
        row = row * blocks + rank;
        return row < BM && row0 + row < p.rows ? row : -1;
      }
    };
    FinishShared(p, sums, first_row, Rows{0, 0, place.first, place.column0, blocks, rank},
                 slices_at + kSumsAt, (const Acc*)(shared + kSumsAt), sent, undefined);
#elif STAGED
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      FinishStaged(p, sums[i], WarpRows{(i32)p.rows, place.first + warp_row + i * 64},
                   place.column0, slices_at + kSumsAt + thread / 32 * kStagedBytes, &operands,
                   kAhead, undefined);
    }
#else
    const i32 column0 = place.column0 + thread % 4 * 8;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      const RowPair rows = {(i32)p.rows, place.first + first_row + i * 64};
      if (i > 0 || kParts * BN > 64) operands.Fetch(p, rows, column0, 0);
      FinishSums(p, sums[i], rows, column0, &operands, undefined);
    }
#endif
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
