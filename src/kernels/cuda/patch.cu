// Convolutions whose windows overlap, of 16-bit floats by wgmma (9.0), sums in f32, with an
// element-wise epilogue: strides of one, and a result of the input's size. As wgmma.cu, but what a
// tile's windows read lies in shared memory once for all taps of the kernel.
//
// Images are seen as one long list of positions: the lines of an image one after the other, each
// with as many zeros behind it as windows reach past its edge, and so many lines of zeros behind an
// image. A zero behind a line is also the one before the next line. A tile is BM positions, those
// of zeros among them, whose results nobody stores; a tap of all its windows is a run of as many
// positions, shifted: rows of 64 channels in shared memory, from some row on. The copy engine
// brings whole lines, zeros with them, 64 channels a time (a patch), and the weights, a slice for
// each tap, through a ring of STAGES buffers. There is one patch: while it comes, a
// multiprocessor's other blocks compute.
//
// Input, filter, result and the epilogue's operands lie at multiples of 16 bytes, in rows that do;
// the operands are the same in every row.
//
// Class: BM, BN, GROUPS, STAGES, MIN_BLOCKS (to a multiprocessor), B_CONSTANT (1: no kernel of the
// run writes b), BFLOAT (1: factors are bf16), STAGED (0, or as staged.cuh wants it),
// EACH_OPERAND, and what product.cuh wants.
#define SPLIT 0
#define B_DEPTH_FIRST 0
#define INTEGERS 0
#define ROW_BYTES 128
// Eights of an epilogue's operand that a thread has under way.
#define AT_ONCE (MIN_BLOCKS > 1 ? 2 : 4)
#include "wgmma.cuh"
#if STAGED
#include "staged.cuh"
#else
constexpr int kStagedBytes = 0;
#endif

constexpr int kStagedAt = STAGES * B_BYTES;  // behind the weights
constexpr int kBarriersAt = kStagedAt + CONSUMERS / 32 * kStagedBytes;
constexpr int kPatchAt = (kBarriersAt + 16 * (STAGES + 1) + 1023) / 1024 * 1024;

__device__ inline void CopyLine(u32 to, const TensorMap& map, u32 barrier, i32 channel, i32 h,
                                i32 n) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, 0, %4, %5}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(channel), "r"(h), "r"(n)
      : "memory");
}

__device__ inline i32 Most(i32 a, i32 b) { return a > b ? a : b; }
struct Image {
  i32 line, lines;  // with the zeros
  i32 before;       // positions from a window's first one to that of its result
  i32 patch_lines;  // that a tile's windows reach
  __device__ explicit Image(const Params& p) {
    const i32 kh = (i32)p.kernel[1], pad_h = (i32)p.pad[1];
    const i32 kw = (i32)p.kernel[2], pad_w = (i32)p.pad[2];
    line = (i32)p.out[2] + Most(pad_w, kw - 1 - pad_w);
    lines = (i32)p.out[1] + Most(pad_h, kh - 1 - pad_h);
    before = pad_h * line + pad_w;
    patch_lines = kh + 1 + (BM + kw - 3) / line;  // the backend counts them as well
  }
  __device__ u32 tiles(const Params& p) const {
    const u32 images = (u32)p.rows / ((u32)p.out[1] * (u32)p.out[2]);
    return (images * lines * line + BM - 1) / BM * (((u32)p.columns + BN - 1) / BN);
  }
  // The line, counted from the first image's first, in which the windows of positions from
  // `position` on begin; perhaps before it.
  __device__ i32 FirstLine(i32 position) const {
    constexpr i32 kLinesBefore = 1 << 8;
    return (position - before + kLinesBefore * line) / line - kLinesBefore;
  }
  // The row of the result at a position, -1 for zeros.
  __device__ i32 RowAt(const Params& p, i32 position) const {
    const u32 at = (u32)position / (u32)line;
    const i32 w = position - (i32)at * line;
    const i32 n = (i32)(at / (u32)lines), h = (i32)at - n * lines;
    const i32 row = (n * (i32)p.out[1] + h) * (i32)p.out[2] + w;
    return w < (i32)p.out[2] && h < (i32)p.out[1] && row < (i32)p.rows ? row : -1;
  }
};

// The rows of positions from `first` on, every `step`th.
struct PositionRows {
  const Params& p;
  const Image& image;
  i32 first;
  int step;
  __device__ i32 operator()(int r) const { return image.RowAt(p, first + r * step); }
};

struct Shared {
  u32 weights, patch;
  u32 full, empty;              // of the weights' buffers
  u32 patch_full, patch_empty;
};

// The warp that has patches and weights brought.
__device__ inline void Produce(const Params& p, const Image& image, const Shared& at, u32 tiles,
                               i32 chunks, i32 taps) {
  if (!IsCopier(p)) return;
  int stage = 0;
  u32 parity = 1, patch_parity = 1;  // of the first round, in which all buffers are empty
  const auto copy_patch = [&](u32 tile, i32 chunk) {
    WaitFor(at.patch_empty, patch_parity);
    patch_parity ^= 1;
    u32 to = at.patch;
    Expect(at.patch_full, image.patch_lines * image.line * BK * 2);
    const i32 line = image.FirstLine(PlaceOf(p, tile).first);
    // The line before the first image's belongs to none.
    i32 n = line < 0 ? -1 : line / image.lines;
    i32 h = line - n * image.lines;
#pragma unroll 1
    for (i32 i = 0; i < image.patch_lines; ++i) {
      CopyLine(to, p.a_map, at.patch_full, chunk * BK, h, n);
      to += image.line * BK * 2;
      if (++h == image.lines) h = 0, ++n;
    }
    Arrive(at.patch_full);
  };
  int ahead = 0;  // slices of the first tile that are under way
#if B_CONSTANT
  // They do not wait for the kernel before.
  for (; ahead < STAGES && ahead < taps; ++ahead) {
    Expect(at.full + 8 * ahead, B_BYTES);
    CopyB(p, at.weights + ahead * B_BYTES, at.full + 8 * ahead, PlaceOf(p, blockIdx.x).column0, 0,
          ahead);
    Arrive(at.full + 8 * ahead);
  }
#endif
  WaitForPrevious();
  bool started = false;
  for (u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const Place place = PlaceOf(p, tile);
    for (i32 chunk = 0; chunk < chunks; ++chunk) {
      copy_patch(tile, chunk);
      for (i32 tap = 0; tap < taps; ++tap) {
        if (ahead > 0) {
          --ahead;
        } else {
          WaitFor(at.empty + 8 * stage, parity);
          Expect(at.full + 8 * stage, B_BYTES);
          CopyB(p, at.weights + stage * B_BYTES, at.full + 8 * stage, place.column0,
                chunk * BK, tap);
          Arrive(at.full + 8 * stage);
        }
        if (++stage == STAGES) stage = 0, parity ^= 1;
      }
      if (!started) StartNext();
      started = true;
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    patch(const __grid_constant__ Params p) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const int thread = threadIdx.x;
  const Image image(p);
  const i32 taps = (i32)(p.kernel[1] * p.kernel[2]);
  const u32 shared_at = SharedAddress(shared);
  Shared at;
  at.weights = shared_at;
  at.full = shared_at + kBarriersAt;
  at.empty = at.full + 8 * STAGES;
  at.patch_full = at.empty + 8 * STAGES;
  at.patch_empty = at.patch_full + 8;
  at.patch = shared_at + kPatchAt;
  const u32 tiles = image.tiles(p);
  const i32 chunks = ((i32)p.channels + BK - 1) / BK;
  if (thread < STAGES) {
    InitBarrier(at.full + 8 * thread, 1);
    InitBarrier(at.empty + 8 * thread, CONSUMERS / 32);
  }
  if (thread == 0) {
    InitBarrier(at.patch_full, 1);
    InitBarrier(at.patch_empty, CONSUMERS / 32);
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();

  if (thread >= CONSUMERS) {
    BeginCopying();
    if (TRADES && thread >= CONSUMERS + 32) return;
    Produce(p, image, at, tiles, chunks, taps);
    return;
  }

  const int first_row = BeginMultiplying();
  const int group = thread / 128;
  bool undefined = false;
  int stage = 0;
  u32 parity = 0, patch_parity = 0;
#pragma unroll 1
  for (u32 number = blockIdx.x; number < tiles; number += gridDim.x) {
    Acc sums[kParts][BN / 2];
    ClearSums(sums);
    const i32 position = PlaceOf(p, number).first;
    // Of the patch's rows: where the first window of the group begins.
    const i32 first =
        position - image.before - image.FirstLine(position) * image.line + group * kGroupRows;
#pragma unroll 1
    for (i32 chunk = 0; chunk < chunks; ++chunk) {
      WaitFor(at.patch_full, patch_parity);
      patch_parity ^= 1;
      u32 a_at = at.patch + first * (BK * 2);
      int before = -1;
      i32 kw = 0;
#pragma unroll 1
      for (i32 tap = 0; tap < taps; ++tap) {
        WaitFor(at.full + 8 * stage, parity);
        MultiplySlice(sums, a_at, at.weights + stage * B_BYTES);
        WaitForProducts<1>();
        if (before >= 0 && thread % 32 == 0) Arrive(at.empty + 8 * before);
        before = stage;
        if (++stage == STAGES) stage = 0, parity ^= 1;
        a_at += BK * 2;
        if (++kw == (i32)p.kernel[2]) kw = 0, a_at += (image.line - (i32)p.kernel[2]) * (BK * 2);
      }
      WaitForProducts<0>();
      if (thread % 32 == 0) {
        Arrive(at.empty + 8 * before);
        Arrive(at.patch_empty);
      }
    }
    WaitForProducts<0>();  // again: the assembler keeps sums in place only so
    KeepSums(sums);
    // Found anew: while products are formed, registers are scarce.
    u32 tile = number;
    asm volatile("" : "+r"(tile));
    const Place place = PlaceOf(p, tile);
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
#if STAGED
      const i32 first = place.first + first_row - thread % 32 / 4 + i * 64;
      StagedOperands operands;
      FinishStaged(p, sums[i], PositionRows{p, image, first, 1}, place.column0,
                   shared_at + kStagedAt + thread / 32 * kStagedBytes, &operands, false, undefined);
#else
      const PositionRows rows = {p, image, place.first + first_row + i * 64, 8};
      const i32 column0 = place.column0 + thread % 4 * 8;
      Operands operands;
      operands.Fetch(p, rows, column0, 0);
      FinishSums(p, sums[i], rows, column0, &operands, undefined);
#endif
    }
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
