// What kernels for wgmma (9.0) share: the copy engine, barriers of shared memory, products, and
// sums that the blocks of a cluster send each other.
//
// Class: SPLIT, BM, BN (32, 64, 128 or 256), GROUPS of four warps, B_DEPTH_FIRST (1: b's elements
// along the depth lie side by side), BFLOAT, INTEGERS, ROW_BYTES (a slice's depth), AT_ONCE
// (exchange.cuh), EACH_OPERAND, and what product.cuh wants.
#pragma once
#define TENSOR_MAPS 2
#include "exchange.cuh"
#include "tile.cuh"

#define CONSUMERS (GROUPS * 128)
// Of a block that has the multiprocessor to itself, registers go from the copying warp to the
// others, in fours of warps.
#define TRADES (GROUPS == 2 && MIN_BLOCKS == 1)
#define THREADS (CONSUMERS + (TRADES ? 128 : 32))
#define COPY_REGISTERS 40
#define SUM_REGISTERS 232
#define ELEMENT (INTEGERS ? 1 : 2)  // bytes
#define BK (ROW_BYTES / ELEMENT)
#define B_BYTES (BN * ROW_BYTES)
// Where b's columns lie side by side, a slice is blocks of this many columns, 64 rows of them.
#define B_BLOCK (BN < 64 ? BN : 64)
constexpr int kGroupRows = BM / GROUPS;
constexpr int kParts = kGroupRows / 64;  // products of 64 rows that a group computes

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

__device__ inline void CopyTaps(u32 to, const TensorMap& map, u32 barrier, i32 x, i32 y, i32 tap) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4, %5}], [%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(x), "r"(y), "r"(tap)
      : "memory");
}
__device__ inline u32 InBlock(u32 at, u32 block) {
  u32 there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(at), "r"(block));
  return there;
}
// Four sums to another block of the cluster; they count on its barrier.
__device__ inline void Send(u32 to, u32 barrier, Acc a, Acc b, Acc c, Acc d) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%2, %3, %4, %5}, [%1];" ::
          "r"(to),
      "r"(barrier), "r"(ToBits(a)), "r"(ToBits(b)), "r"(ToBits(c)), "r"(ToBits(d))
      : "memory");
}

// Of a matrix in shared memory: rows of 128 bytes (`swizzle` 1) or 64 (2), groups of eight of them
// `group_bytes` apart; `block_bytes` between blocks of columns where they are not along the depth.
// It may begin with any row: the unit finds a row's permuted chunks by their addresses, as the copy
// engine does. (The base offset, for patterns that begin elsewhere, stays zero.)
__device__ inline u64 Describe(u32 at, u32 block_bytes, u32 group_bytes, u64 swizzle) {
  return (u64)((at & 0x3ffff) >> 4) | (u64)(block_bytes >> 4) << 16 |
         (u64)(group_bytes >> 4) << 32 | swizzle << 62;
}

// The instruction for 32 bytes of the depth, of 64 rows of a times BN columns of b.
#if INTEGERS
#define SHAPE(n) "wgmma.mma_async.sync.aligned.m64n" #n "k32.s32.s8.s8 "
#define FLAGS(i) ", 1;"
#define TRANSPOSED
#define SUM_REGISTER "+r"
#else
#if BFLOAT
#define SHAPE(n) "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 "
#else
#define SHAPE(n) "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.f16.f16 "
#endif
#define FLAGS(i) ", 1, 1, 1, 0, %" #i ";"
#define TRANSPOSED , "n"(!B_DEPTH_FIRST)
#define SUM_REGISTER "+f"
#endif
#define SUMS4(i)                                                               \
  SUM_REGISTER(sums[i]), SUM_REGISTER(sums[i + 1]), SUM_REGISTER(sums[i + 2]), \
      SUM_REGISTER(sums[i + 3])
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
__device__ inline void Multiply(Acc* sums, u64 a, u64 b) {
  static_assert(!INTEGERS || B_DEPTH_FIRST, "");
#if BN == 32
  asm volatile(SHAPE(32) "{" NAMES0 "}, %16, %17" FLAGS(18)
               : SUMS16(0)
               : "l"(a), "l"(b) TRANSPOSED);
#elif BN == 64
  asm volatile(SHAPE(64) "{" NAMES0 NAMES16 "}, %32, %33" FLAGS(34)
               : SUMS16(0), SUMS16(16)
               : "l"(a), "l"(b) TRANSPOSED);
#elif BN == 128
  asm volatile(SHAPE(128) "{" NAMES0 NAMES16 NAMES32 "}, %64, %65" FLAGS(66)
               : SUMS64(0)
               : "l"(a), "l"(b) TRANSPOSED);
#else
  static_assert(BN == 256, "");
  asm volatile(SHAPE(256) "{" NAMES0 NAMES16 NAMES32 NAMES64 "}, %128, %129" FLAGS(130)
               : SUMS64(0), SUMS64(64)
               : "l"(a), "l"(b) TRANSPOSED);
#endif
}
__device__ inline void CommitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kUnderWay>
__device__ inline void WaitForProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kUnderWay) : "memory");
}

// A tile: its first row, or position, and its first column.
struct Place {
  i32 first, column0;
};
__device__ inline Place PlaceOf(const Params& p, u32 tile) {
  const u32 column_tiles = ((u32)p.columns + BN - 1) / BN;
  const u32 first_tile = tile / column_tiles;
  return {(i32)(first_tile * BM), (i32)((tile - first_tile * column_tiles) * BN)};
}

// The threads past those that multiply begin so. Those past the first warp then end.
__device__ inline void BeginCopying() {
#if TRADES
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COPY_REGISTERS));
#endif
}
// Of that warp one thread copies; false: it is another.
__device__ inline bool IsCopier(const Params& p) {
  if (threadIdx.x % 32 != 0) {
    WaitForPrevious();
    return false;
  }
  asm volatile("prefetch.tensormap [%0];" ::"l"(&p.a_map));
  asm volatile("prefetch.tensormap [%0];" ::"l"(&p.b_map));
  return true;
}
// The others begin so. Gives the first of the thread's rows in a tile.
__device__ inline int BeginMultiplying() {
#if TRADES
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(SUM_REGISTERS));
#endif
  WaitForPrevious();  // the epilogue reads and writes
  const int thread = threadIdx.x;
  return thread / 128 * kGroupRows + thread % 128 / 32 * 16 + thread % 32 / 4;
}

// A slice of b from `channel` of the tap on.
__device__ inline void CopyB(const Params& p, u32 to, u32 barrier, i32 column0, i32 channel,
                             i32 tap) {
#if B_DEPTH_FIRST
  CopyTaps(to, p.b_map, barrier, channel, column0, tap);
#else
#pragma unroll
  for (int j = 0; j < BN; j += B_BLOCK)
    CopyTaps(to + j * ROW_BYTES, p.b_map, barrier, column0 + j, channel, tap);
#endif
}

// The product of a slice: a group's rows of a from a_at on, ROW_BYTES each, and b.
__device__ inline void MultiplySlice(Acc (*sums)[BN / 2], u32 a_at, u32 b_at) {
  constexpr u32 kGroupBytes = 8 * ROW_BYTES, kSwizzle = ROW_BYTES < 128 ? 2 : 1;
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
  for (int k = 0; k < ROW_BYTES / 32; ++k) {
#if B_DEPTH_FIRST
    const u64 b = Describe(b_at + k * 32, 16, kGroupBytes, kSwizzle);
#else
    const u64 b = Describe(b_at + k * 16 * B_BLOCK * 2, B_BLOCK * BK * 2, 8 * B_BLOCK * 2,
                           B_BLOCK < 64 ? 2 : 1);
#endif
#pragma unroll
    for (int i = 0; i < kParts; ++i)
      Multiply(sums[i], Describe(a_at + i * 64 * ROW_BYTES + k * 32, 16, kGroupBytes, kSwizzle), b);
  }
  CommitProducts();
}
__device__ inline void ClearSums(Acc (*sums)[BN / 2]) {
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
#pragma unroll
    for (int j = 0; j < BN / 2; ++j) sums[i][j] = 0;
  }
}
// When all products have been formed: no sum is read before.
__device__ inline void KeepSums(Acc (*sums)[BN / 2]) {
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
#pragma unroll
    for (int j = 0; j < BN / 2; ++j) asm volatile("" : SUM_REGISTER(sums[i][j])::"memory");
  }
}

#if SPLIT
// Room for the sums that a block is sent, and for the rows that it finishes.
constexpr int kSumsBytes = (BM + 8) * SUM_ROW * 4;
__device__ inline int OwnRows(int blocks) { return (BM + blocks - 1) / blocks; }
__device__ inline u32 SentBytes(int blocks, int rank) {
  return blocks * ((BM - rank + blocks - 1) / blocks) * BN * 4;
}
// Every blocks'th row, from the block's rank on, is finished by it: the others send it their sums.
// parts: where they come to. place: with `blocks`, `rank`, and RowOf of the rows so counted.
template <class Place>
__device__ inline void FinishShared(const Params& p, const Acc (*sums)[BN / 2], int first_row,
                                    const Place& place, u32 parts_at, const Acc* parts, u32 sent,
                                    bool& undefined) {
  const int thread = threadIdx.x, blocks = place.blocks, rank = place.rank;
  const int own_rows = OwnRows(blocks);
  // The others' blocks have begun.
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  // Neighbouring threads exchange pairs, and each has four sums of one of the two rows.
  const bool odd = thread % 2 == 1;
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
    const int row = first_row + i * 64 + (odd ? 8 : 0);
    const int to_block = row % blocks;
    const u32 to = InBlock(
        parts_at +
            ((rank * own_rows + row / blocks) * SUM_ROW + thread % 4 / 2 * 4) * 4, to_block);
    const u32 barrier = InBlock(sent, to_block);
#pragma unroll
    for (int j = 0; j < BN / 8; ++j) {
      const Acc* const s = sums[i] + 4 * j;
      const Acc x = __shfl_xor_sync(~0u, odd ? s[0] : s[2], 1);
      const Acc y = __shfl_xor_sync(~0u, odd ? s[1] : s[3], 1);
      if (odd) Send(to + j * 32, barrier, x, y, s[2], s[3]);
      else Send(to + j * 32, barrier, s[0], s[1], x, y);
    }
  }
  const auto sum = [&](int row, int column, Acc* total) {
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) total[j] = 0;
#pragma unroll 4
    for (int b = 0; b < blocks; ++b) {
      const uint4* const part = (const uint4*)(parts + (b * own_rows + row) * SUM_ROW + column);
      const uint4 low = part[0], high = part[1];
      total[0] += FromBits(low.x), total[1] += FromBits(low.y);
      total[2] += FromBits(low.z), total[3] += FromBits(low.w);
      total[4] += FromBits(high.x), total[5] += FromBits(high.y);
      total[6] += FromBits(high.z), total[7] += FromBits(high.w);
    }
  };
  FinishRows(p, own_rows, place, thread, CONSUMERS, [&] { WaitFor(sent, 0); }, sum, undefined);
}
#endif
