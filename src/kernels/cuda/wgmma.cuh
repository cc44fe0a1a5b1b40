// What kernels for wgmma (9.0) share: the copy engine, barriers of shared memory, products, and
// sums that the blocks of a cluster send each other.
//
// Class: SPLIT, BM, BN (32, 64, 128 or 256), GROUPS of four warps, B_DEPTH_FIRST (1: b's elements
// along the depth lie side by side), BFLOAT, AT_ONCE (exchange.cuh), EACH_OPERAND, and what
// product.cuh wants.
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
#define BK 64
#define B_BYTES (BN * BK * 2)
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
// Four floats to another block of the cluster; they count on its barrier.
__device__ inline void Send(u32 to, u32 barrier, float a, float b, float c, float d) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%2, %3, %4, %5}, [%1];" ::
          "r"(to),
      "r"(barrier), "f"(a), "f"(b), "f"(c), "f"(d)
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

// A slice of b, 64 deep, from `channel` of the tap on.
__device__ inline void CopyB(const Params& p, u32 to, u32 barrier, i32 column0, i32 channel,
                             i32 tap) {
#if B_DEPTH_FIRST
  CopyTaps(to, p.b_map, barrier, channel, column0, tap);
#else
#pragma unroll
  for (int j = 0; j < BN; j += B_BLOCK)
    CopyTaps(to + j * BK * 2, p.b_map, barrier, column0 + j, channel, tap);
#endif
}

// The product of a slice: a group's rows of a from a_at on, 128 bytes each, and b.
__device__ inline void MultiplySlice(float (*sums)[BN / 2], u32 a_at, u32 b_at) {
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
}
__device__ inline void ClearSums(float (*sums)[BN / 2]) {
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
#pragma unroll
    for (int j = 0; j < BN / 2; ++j) sums[i][j] = 0;
  }
}
// When all products have been formed: no sum is read before.
__device__ inline void KeepSums(float (*sums)[BN / 2]) {
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
#pragma unroll
    for (int j = 0; j < BN / 2; ++j) asm volatile("" : "+f"(sums[i][j])::"memory");
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
__device__ inline void FinishShared(const Params& p, const float (*sums)[BN / 2], int first_row,
                                    const Place& place, u32 parts_at, const float* parts, u32 sent,
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
      const float* const s = sums[i] + 4 * j;
      const float x = __shfl_xor_sync(~0u, odd ? s[0] : s[2], 1);
      const float y = __shfl_xor_sync(~0u, odd ? s[1] : s[3], 1);
      if (odd) Send(to + j * 32, barrier, x, y, s[2], s[3]);
      else Send(to + j * 32, barrier, s[0], s[1], x, y);
    }
  }
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
  FinishRows(p, own_rows, place, thread, CONSUMERS, [&] { WaitFor(sent, 0); }, sum, undefined);
}
#endif
