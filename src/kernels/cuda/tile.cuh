// The end of products on tensor cores: a tile of sums in shared memory goes through the epilogue to
// the result, VECTOR neighbours (eight or four) a thread.
//
// Class: BM, BN (the tile), SPLIT (1: blocks share a tile), and what product.cuh and vector.cuh want.
#pragma once
#include "product.cuh"
#include "vector.cuh"

#define CLUSTERS (SPLIT && __CUDA_ARCH__ >= 900)
#define SUM_ROW (BN + 8)  // sums; so far apart that rows meet in few banks

__device__ inline u32 SharedAddress(const void* pointer) {
  return (u32)__cvta_generic_to_shared(pointer);
}

__device__ inline int Clip(i64 elements, int width) {
  return elements >= width ? width : elements < 0 ? 0 : (int)elements;
}

// A sum (f32 or u32) of its 32 bits.
__device__ inline Acc FromBits(u32 bits) {
  static_assert(sizeof(Acc) == 4, "");
  Acc sum;
  memcpy(&sum, &bits, 4);
  return sum;
}

__device__ inline u32 ToBits(Acc sum) {
  u32 bits;
  memcpy(&bits, &sum, 4);
  return bits;
}

// All threads of the cluster's blocks.
__device__ inline void WaitForCluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
                   : "memory");
#endif
}

// Of eight results from `column` on, as many as the row has.
__device__ inline void FinishRow(const Params& p, i64 element, i64 y_first, i64 row, i64 column,
                                 const Acc* sums, bool& undefined) {
  const int count = Clip(p.columns - column, VECTOR);
  if (row >= p.rows || count == 0) return;
  Y* const to = p.y + y_first + row * p.y_row + column;
  Y results[VECTOR];
  {
    const i64* const dims = p.dims;
    const EpilogueOperand* const operands = p.e;
    (void)element;
    row += element * p.batch_rows;
    column += element * p.batch_columns;
    (void)dims, (void)operands;
    EACH_OPERAND(GRAFT_DECLARE)
#define LOAD(o, Type) operand##o[j]
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) {
      const Sum first = Sum(j < count ? sums[j] : sums[0]);
      results[j] = CALL(first, LOAD);
    }
#undef LOAD
  }
  StoreNeighbours(results, count, to);
}

// Eight sums of a row of the tile, of all the blocks that share it, in their order.
__device__ inline void SumOf(const Params& p, const Acc* at, Acc* total) {
#if CLUSTERS
  const u32 own = SharedAddress(at);
#pragma unroll
  for (int j = 0; j < VECTOR; ++j) total[j] = 0;
#pragma unroll 4
  for (int s = 0; s < (int)p.splits; ++s) {
    u32 from;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(from) : "r"(own), "r"(s));
    u32 bits[VECTOR];
#pragma unroll
    for (int j = 0; j < VECTOR; j += 4) {
      asm volatile("ld.shared::cluster.v4.b32 {%0,%1,%2,%3}, [%4];"
                   : "=r"(bits[j]), "=r"(bits[j + 1]), "=r"(bits[j + 2]), "=r"(bits[j + 3])
                   : "r"(from + 4 * j));
    }
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) total[j] += FromBits(bits[j]);
  }
#else
  (void)p;
#pragma unroll
  for (int j = 0; j < VECTOR; j += 4) {
    const uint4 bits = *(const uint4*)(at + j);
    total[j] = FromBits(bits.x), total[j + 1] = FromBits(bits.y);
    total[j + 2] = FromBits(bits.z), total[j + 3] = FromBits(bits.w);
  }
#endif
}

// Where a tile lies in the result: of which batch element, where that begins, and its place there.
struct TilePlace {
  i64 element, y_first;
  i64 row0, column0;
  // Of a row of the tile, counted from row0; -1 for one that is outside.
  __device__ i64 RowOf(const Params& p, int row) const { return row0 + row < p.rows ? row : -1; }
};

// Of `rows` rows of the tile, every `step`th eight from `first` on. `wait` gives back when the sums
// are there; what the epilogue reads is under way for several eights, first while they are not.
// place.RowOf: a row's place in the result; sum(row, column, total): eight of its sums.
template <class Place, class Wait, class SumOf>
__device__ inline void FinishRows(const Params& p, int rows, const Place& place, int first,
                                  int step, Wait wait, SumOf sum, bool& undefined) {
  constexpr int kChunks = BN / VECTOR;
  constexpr int kAtOnce = CLUSTERS ? 1 : 4;
  const i64 row0 = place.row0, column0 = place.column0;
  const i64 e_row = place.element * p.batch_rows + row0;
  const i64 e_column = place.element * p.batch_columns + column0;
  Y* const y = p.y + place.y_first + row0 * p.y_row + column0;
  bool fetched = p.columns % VECTOR == 0 && IsAligned<Y>(p.y) &&
                 place.y_first * sizeof(Y) % kWordBytes<Y> == 0 &&
                 p.y_row * sizeof(Y) % kWordBytes<Y> == 0;
#define CHECK(o, Type, along) fetched = fetched && IsFetched<Type, along>(p.e[o]);
  EACH_OPERAND(CHECK)
#undef CHECK
#define DECLARE(o, Type, along) Fetched<Type, along> operand##o[kAtOnce];
  EACH_OPERAND(DECLARE)
#undef DECLARE
  // -1: nothing is to be done.
  const auto row_of = [&](int n) -> i64 {
    const bool inside = n < rows * kChunks && column0 + n % kChunks * VECTOR < p.columns;
    return inside ? place.RowOf(p, n / kChunks) : -1;
  };
  int n = first;
  const auto fetch = [&] {
#define FETCH(o, Type, along)                                                         \
  _Pragma("unroll") for (int u = 0; u < kAtOnce; ++u) {                               \
    const int m = n + u * step;                                                       \
    const i64 row = row_of(m);                                                        \
    operand##o[u].Fetch(p.e[o], e_row + row, e_column + m % kChunks * VECTOR,         \
                        row >= 0);                                                    \
  }
    EACH_OPERAND(FETCH)
#undef FETCH
    (void)e_row, (void)e_column;
  };
  if (fetched) fetch();
  wait();
  while (n < rows * kChunks) {
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int m = n + u * step;
      const i64 row = row_of(m);
      if (row < 0) continue;
      const int column = m % kChunks * VECTOR;
      Acc total[VECTOR];
      sum(m / kChunks, column, total);
      if (!fetched) {
        FinishRow(p, place.element, place.y_first, row0 + row, column0 + column, total, undefined);
        continue;
      }
      Packed<Y> results = {};
#define LOAD(o, Type) operand##o[u].Get(j)
#pragma unroll
      for (int j = 0; j < VECTOR; ++j) {
        const Sum first = Sum(total[j]);
        results.Put(j, CALL(first, LOAD));
      }
#undef LOAD
      StoreWords(results, y + row * p.y_row + column);
    }
    n += kAtOnce * step;
    if (fetched) fetch();
  }
}

// The same of a whole tile of sums, or of a share of one that blocks have together.
template <class Place, class Wait>
__device__ inline void FinishTile(const Params& p, const Acc* tile, const Place& place, int first,
                                  int step, Wait wait, bool& undefined) {
  const auto sum = [&](int row, int column, Acc* total) {
    SumOf(p, tile + row * SUM_ROW + column, total);
  };
  FinishRows(p, BM, place, first, step, wait, sum, undefined);
}
