// The epilogue of sums as the tensor cores leave them: of 16 rows of a warp, each of four
// neighbouring threads has two sums of every eight columns. They exchange them, so that each has
// eight neighbours.
//
// Class: BN (columns of sums: 32 or a multiple of it), AT_ONCE (eights of an operand that a thread
// has under way: 2 or 4), and what product.cuh and vector.cuh want. Result and operands lie so that
// eight are moved as words, in rows that do; EACH_OPERAND tells columns apart.
#pragma once
#include "product.cuh"
#include "vector.cuh"

// An operand of the epilogue for eight results: fetched ahead, or, where it is the same in every
// row, when they are there.
template <class T, int along>
using OfRow = Fetched<T, along == kColumns ? kAnywhere : along>;
template <class T, int along>
using OfColumns = Fetched<T, along == kColumns ? kNeighbours : kAnywhere>;
template <class T, int along>
__device__ inline T Get(const Fetched<T, along>& row, const Fetched<T, kAnywhere>&, int j) {
  return row.Get(j);
}
template <class T>
__device__ inline T Get(const Fetched<T, kAnywhere>&, const Fetched<T, kNeighbours>& columns,
                        int j) {
  return columns.Get(j);
}

// Of four threads side by side, each has two sums of each of four eights, and gets an eight.
__device__ inline void Exchange(const Acc* pairs, int stride, Acc* eight) {
  const int lane = threadIdx.x % 4;
  Acc v[4][2];
#pragma unroll
  for (int j = 0; j < 4; ++j) v[j][0] = pairs[j * stride], v[j][1] = pairs[j * stride + 1];
#pragma unroll
  for (int step = 1; step < 4; step *= 2) {
    const bool upper = lane & step;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (j & step) continue;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        // The lower thread keeps the lower eight's, and gets those of the upper thread.
        const Acc got = __shfl_xor_sync(~0u, upper ? v[j][e] : v[j | step][e], step);
        if (upper) v[j][e] = got;
        else v[j | step][e] = got;
      }
    }
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) eight[2 * j] = v[j][0], eight[2 * j + 1] = v[j][1];
}

// The epilogue of a warp's 16 rows of sums, in batches of eights. rows(0) and rows(1), found from
// rows.first, are the rows of the result to which a thread's two belong, -1 for one that is
// outside; column0 is its first column.
constexpr int kEights = BN / 32 * 2;  // a thread's
constexpr int kAtOnce = AT_ONCE < kEights ? AT_ONCE : kEights;
struct Operands {
#define DECLARE(o, Type, along) OfRow<Type, along> rows##o[kAtOnce];
  EACH_OPERAND(DECLARE)
#undef DECLARE
  template <class Rows>
  __device__ void Fetch(const Params& p, Rows rows, i32 column0, int batch) {
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int n = batch * kAtOnce + u;
      const i32 row = rows(n % 2), column = column0 + n / 2 * 32;
      const bool inside = row >= 0 && column < (i32)p.columns;
#define FETCH(o, Type, along) rows##o[u].Fetch(p.e[o], row, column, inside);
      EACH_OPERAND(FETCH)
#undef FETCH
      (void)inside;
    }
  }
};
template <class Rows>
__device__ inline void FinishSums(const Params& p, const Acc* sums, Rows rows, i32 column0,
                                  Operands* operands, bool& undefined) {
#pragma unroll
  for (int batch = 0; batch < kEights / kAtOnce; ++batch) {
    // Places are found anew for each batch: to keep all of them takes registers.
    asm volatile("" : "+r"(rows.first), "+r"(column0));
    if (batch > 0) operands->Fetch(p, rows, column0, batch);
#pragma unroll
    for (int u = 0; u < kAtOnce; u += 2) {
      const int n = batch * kAtOnce + u;
      const i32 column = column0 + n / 2 * 32;
      const bool inside = column < (i32)p.columns;
#define FETCH(o, Type, along)          \
  OfColumns<Type, along> columns##o; \
  columns##o.Fetch(p.e[o], 0, column, inside);
      EACH_OPERAND(FETCH)
#undef FETCH
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        Acc eight[VECTOR];
        Exchange(sums + n / 2 * 16 + r * 2, 4, eight);
        const i32 row = rows(r);
        if (!inside || row < 0) continue;
        Packed<Y> results = {};
#define LOAD(o, Type) Get(operands->rows##o[u + r], columns##o, j)
#pragma unroll
        for (int j = 0; j < VECTOR; ++j) {
          const Sum first = Sum(eight[j]);
          results.Put(j, CALL(first, LOAD));
        }
#undef LOAD
        StoreWords(results, p.y + (i64)row * p.y_row + column);
      }
    }
  }
}
