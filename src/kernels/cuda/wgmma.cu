// Products of matrices of 16-bit floats by wgmma, the tensor cores' instructions of 9.0, sums in
// f32, with an element-wise epilogue; a convolution is the product of its input's windows with its
// filter, as in gemm.cu.
//
// A block computes tiles of BM by BN results, one after the other: GROUPS groups of four warps, each
// with its share of the rows. One more warp has the copy engine bring slices of both factors, 64
// deep, through STAGES buffers of shared memory, those of the next tile as well; barriers there say
// when a slice has come and when it may be overwritten. A slice lies within one tap of a
// convolution's kernel; what is outside of the image, and past the last channel, comes as zeros. For
// the epilogue neighbouring threads exchange their sums, so that each has eight neighbours.
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
// (1: factors are bf16), EACH_OPERAND, and what product.cuh wants.
#define TENSOR_MAPS 2
#define CONSUMERS (GROUPS * 128)
// Of a block that has the multiprocessor to itself, registers go from the copying warp to the
// others, in fours of warps.
#define TRADES (GROUPS == 2 && MIN_BLOCKS == 1)
#define THREADS (CONSUMERS + (TRADES ? 128 : 32))
// Eights of an epilogue's operand that a thread has under way.
#define AT_ONCE (GROUPS == 2 && !TRADES && BN > 64 ? 2 : 4)
#define COPY_REGISTERS 40
#define SUM_REGISTERS 232
#define BK 64
#define A_BYTES (BM * BK * 2)
#define B_BYTES (BN * BK * 2)
#define STAGE_BYTES (A_BYTES + B_BYTES)
// Where b's columns lie side by side, a slice is blocks of this many columns, 64 rows of them.
#define B_BLOCK (BN < 64 ? BN : 64)
#include "exchange.cuh"
#include "tile.cuh"

constexpr int kGroupRows = BM / GROUPS;
constexpr int kParts = kGroupRows / 64;  // products of 64 rows that a group computes
constexpr int kSumsAt = STAGES * STAGE_BYTES;  // with SPLIT: those that blocks are sent
constexpr int kBarriersAt = kSumsAt + (SPLIT ? (BM + 8) * SUM_ROW * 4 : 0);

__device__ inline void InitBarrier(u32 barrier, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
__device__ inline void Arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// The barrier's phase ends when so many bytes have come, and all arrivals.
__device__ inline void Expect(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
__device__ inline void WaitFor(u32 barrier, u32 parity) {
  u32 done;
  do {
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (!done);
}

__device__ inline void CopyMatrix(u32 to, const TensorMap& map, u32 barrier, i32 x, i32 y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(x), "r"(y)
      : "memory");
}
__device__ inline void CopyTaps(u32 to, const TensorMap& map, u32 barrier, i32 x, i32 y, i32 tap) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4, %5}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(x), "r"(y), "r"(tap)
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

__device__ inline u32 InBlock(u32 at, u32 block) {
  u32 there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(at), "r"(block));
  return there;
}
// Four floats to another block of the cluster; they count on its barrier.
__device__ inline void Send(u32 to, u32 barrier, float a, float b, float c, float d) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%2, %3, %4, %5}, [%1];" ::
          "r"(to),
      "r"(barrier), "f"(a), "f"(b), "f"(c), "f"(d)
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

// Of a matrix in shared memory: rows of 128 bytes (`swizzle` 1) or 64 (2), groups of eight of them
// `group_bytes` apart; `block_bytes` between blocks of columns where they are not along the depth.
__device__ inline u64 Describe(u32 at, u32 block_bytes, u32 group_bytes, u64 swizzle) {
  return (u64)((at & 0x3ffff) >> 4) | (u64)(block_bytes >> 4) << 16 |
         (u64)(group_bytes >> 4) << 32 | swizzle << 62;
}

#if BFLOAT
#define TYPES ".f32.bf16.bf16 "
#else
#define TYPES ".f32.f16.f16 "
#endif
#define SUMS4(i) "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3])
#define SUMS16(i) SUMS4(i), SUMS4(i + 4), SUMS4(i + 8), SUMS4(i + 12)
#define SUMS64(i) SUMS16(i), SUMS16(i + 16), SUMS16(i + 32), SUMS16(i + 48)
#define NAMES0 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define NAMES16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define NAMES32                                                                              \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53" \
  ",%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define NAMES64                                                                              \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85" \
  ",%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105"   \
  ",%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122"    \
  ",%123,%124,%125,%126,%127"
// 64 rows of a times BN columns of b, 16 deep.
__device__ inline void Multiply(float* sums, u64 a, u64 b) {
#if BN == 32
  asm volatile("wgmma.mma_async.sync.aligned.m64n32k16" TYPES "{" NAMES0 "}, %16, %17, 1, 1, 1, 0, %18;"
               : SUMS16(0)
               : "l"(a), "l"(b), "n"(!B_DEPTH_FIRST));
#elif BN == 64
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16" TYPES "{" NAMES0 NAMES16
               "}, %32, %33, 1, 1, 1, 0, %34;"
               : SUMS16(0), SUMS16(16)
               : "l"(a), "l"(b), "n"(!B_DEPTH_FIRST));
#elif BN == 128
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k16" TYPES "{" NAMES0 NAMES16 NAMES32
               "}, %64, %65, 1, 1, 1, 0, %66;"
               : SUMS64(0)
               : "l"(a), "l"(b), "n"(!B_DEPTH_FIRST));
#else
  static_assert(BN == 256, "");
  asm volatile("wgmma.mma_async.sync.aligned.m64n256k16" TYPES "{" NAMES0 NAMES16 NAMES32 NAMES64
               "}, %128, %129, 1, 1, 1, 0, %130;"
               : SUMS64(0), SUMS64(64)
               : "l"(a), "l"(b), "n"(!B_DEPTH_FIRST));
#endif
}
__device__ inline void CommitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kUnderWay>
__device__ inline void WaitForProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kUnderWay) : "memory");
}

struct Place {
  i32 row0, column0;
};
__device__ inline Place PlaceOf(const Params& p, u32 tile) {
  const u32 column_tiles = ((u32)p.columns + BN - 1) / BN;
  const u32 row_tile = tile / column_tiles;
  return {(i32)(row_tile * BM), (i32)((tile - row_tile * column_tiles) * BN)};
}

// A thread's two rows of the 16 that a warp computes.
struct RowPair {
  i32 rows, first;
  __device__ i32 operator()(int r) const {
    return first + r * 8 < rows ? first + r * 8 : -1;
  }
};

// The warp that has the slices brought.
__device__ inline void Produce(const Params& p, u32 slices_at, u32 full, u32 empty, u32 tiles,
                               i32 first_slice, i32 slices) {
  if (threadIdx.x % 32 != 0) {
    WaitForPrevious();
    return;
  }
  asm volatile("prefetch.tensormap [%0];" ::"l"(&p.a_map));
  asm volatile("prefetch.tensormap [%0];" ::"l"(&p.b_map));
  const auto copy_b = [&](int stage, const Place& place, const Slice& slice) {
    const u32 to = slices_at + stage * STAGE_BYTES + A_BYTES;
#if B_DEPTH_FIRST
    CopyTaps(to, p.b_map, full + 8 * stage, slice.channel, place.column0, slice.tap);
#else
#pragma unroll
    for (int j = 0; j < BN; j += B_BLOCK)
      CopyTaps(to + j * BK * 2, p.b_map, full + 8 * stage, place.column0 + j, slice.channel,
               slice.tap);
#endif
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
    const Pixel pixel = FindPixel(p, place.row0);
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
      CopyMatrix(to, p.a_map, full + 8 * stage, slice.channel, place.row0);
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
  const int own_rows = (BM + blocks - 1) / blocks;  // room for the rows that a block finishes
  if (thread == 0) {
    InitBarrier(sent, 1);
    Expect(sent, blocks * ((BM - rank + blocks - 1) / blocks) * BN * 4);
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
#if TRADES
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COPY_REGISTERS));
    if (thread >= CONSUMERS + 32) return;
#endif
    Produce(p, slices_at, full, empty, tiles, first_slice, slices);
#if SPLIT
    __syncwarp();
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
    return;
  }

#if TRADES
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(SUM_REGISTERS));
#endif
  WaitForPrevious();  // the epilogue reads and writes
  const int group = thread / 128;
  const int first_row = group * kGroupRows + thread % 128 / 32 * 16 + thread % 32 / 4;
  bool undefined = false;
  int stage = 0;
  u32 parity = 0;
#pragma unroll 1
  for (u32 number = blockIdx.x; number < tiles; number += gridDim.x) {
#if !SPLIT
    Operands operands;
    if (kParts * BN <= 64) {
      const Place place = PlaceOf(p, number);
      operands.Fetch(p, RowPair{(i32)p.rows, place.row0 + first_row},
                     place.column0 + thread % 4 * 8, 0);
    }
#endif
    float sums[kParts][BN / 2];
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
#pragma unroll
      for (int j = 0; j < BN / 2; ++j) sums[i][j] = 0;
    }
    int before = 0;
#pragma unroll 1
    for (int s = 0; s < slices; ++s) {
      WaitFor(full + 8 * stage, parity);
      const u32 a_at = slices_at + stage * STAGE_BYTES + group * (kGroupRows * BK * 2);
      const u32 b_at = slices_at + stage * STAGE_BYTES + A_BYTES;
      asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
      for (int k = 0; k < BK / 16; ++k) {
#if B_DEPTH_FIRST
        const u64 b = Describe(b_at + k * 32, 16, 1024, 1);
#else
        const u64 b = Describe(b_at + k * 16 * B_BLOCK * 2, B_BLOCK * BK * 2, 8 * B_BLOCK * 2,
                               B_BLOCK < 64 ? 2 : 1);
#endif
#pragma unroll
        for (int i = 0; i < kParts; ++i)
          Multiply(sums[i], Describe(a_at + i * 64 * BK * 2 + k * 32, 16, 1024, 1), b);
      }
      CommitProducts();
      WaitForProducts<1>();
      if (s > 0 && thread % 32 == 0) Arrive(empty + 8 * before);
      before = stage;
      if (++stage == STAGES) stage = 0, parity ^= 1;
    }
    WaitForProducts<0>();
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
#pragma unroll
      for (int j = 0; j < BN / 2; ++j) asm volatile("" : "+f"(sums[i][j])::"memory");
    }
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
    // The others' blocks have begun.
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
    // Neighbouring threads exchange pairs, and each has four sums of one of the two rows.
    const bool odd = thread % 2 == 1;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      const int row = first_row + i * 64 + (odd ? 8 : 0);
      const int to_block = row % blocks;
      const u32 to = InBlock(
          slices_at + kSumsAt +
              ((rank * own_rows + row / blocks) * SUM_ROW + thread % 4 / 2 * 4) * 4, to_block);
      const u32 barrier = InBlock(sent, to_block);
#pragma unroll
      for (int j = 0; j < BN / 8; ++j) {
        const float* const s = sums[i] + 4 * j;
        const float x = __shfl_xor_sync(~0u, odd ? s[0] : s[2], 1);
        const float y = __shfl_xor_sync(~0u, odd ? s[1] : s[3], 1);
        if (odd) Send(to + j * 32, barrier, x, y, s[2], s[3]);
        else Send(to + j * 32, barrier, s[0], s[1], x, y);
      }
    }
    const float* const parts = (const float*)(shared + kSumsAt);
    const auto sum = [&](int row, int column, float* total) {
#pragma unroll
      for (int j = 0; j < VECTOR; ++j) total[j] = 0;
#pragma unroll 4
      for (int b = 0; b < blocks; ++b) {
        const float4* const part = (const float4*)(parts + (b * own_rows + row) * SUM_ROW + column);
        const float4 low = part[0], high = part[1];
        total[0] += low.x, total[1] += low.y, total[2] += low.z, total[3] += low.w;
        total[4] += high.x, total[5] += high.y, total[6] += high.z, total[7] += high.w;
      }
    };
    FinishRows(p, own_rows, Rows{0, 0, place.row0, place.column0, blocks, rank}, thread, CONSUMERS,
               [&] { WaitFor(sent, 0); }, sum, undefined);
#else
    const i32 column0 = place.column0 + thread % 4 * 8;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      const RowPair rows = {(i32)p.rows, place.row0 + first_row + i * 64};
      if (i > 0 || kParts * BN > 64) operands.Fetch(p, rows, column0, 0);
      FinishSums(p, sums[i], rows, column0, &operands, undefined);
    }
#endif
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
