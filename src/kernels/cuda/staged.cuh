// The epilogue of sums as the tensor cores leave them: of 16 rows of a warp, each thread finishes
// the two neighbours that it has of every eight columns. Results, which are of 16 bits, are put
// into whole rows by way of shared memory, and operands that differ from row to row, of 16 bits
// too, come the same way. (To exchange the sums takes several times the instructions.)
//
// Class: BN (columns of sums), STAGED (those of a row that are under way together: 32 or 64), and
// what product.cuh and vector.cuh want. Result and operands lie so that eight are moved as words,
// in rows that do; EACH_OPERAND tells columns apart.
#pragma once
#include "product.cuh"
#include "vector.cuh"

// A warp's results that are under way: 16 rows, in words of eight.
constexpr int kStagedWords = STAGED / 8;
constexpr int kStagedBytes = 16 * STAGED * 2;
// Words are permuted, so that those of eight rows, and those of neighbours, lie in all banks.
__device__ inline u32 StagedAt(int row, int word) {
  const int permuted = word ^ (kStagedWords == 8 ? row % 8 : row / 2 % 4);
  return (u32)(row * kStagedWords + permuted) * 16;
}

template <class T>
__device__ inline T FromHalfWord(u32 word, int e) {
  const u16 bits = (u16)(word >> e * 16);
  T element;
  memcpy(&element, &bits, 2);
  return element;
}

// Two neighbours of an operand that is the same in every row.
template <class T, int along>
struct OfTwo {
  T two[2];
  __device__ void Fetch(const EpilogueOperand& e, i32 column, bool inside) {
    const T* const from = (const T*)e.data + (along == kOne ? 0 : column);
    two[0] = two[1] = T(0);
    if (along == kOne) {
      two[0] = two[1] = Load<T>(e.data, 0);
    } else if constexpr (sizeof(T) == 4) {
      const uint2 words = inside ? __ldg((const uint2*)from) : make_uint2(0, 0);
      memcpy(two, &words, 8);
    } else if constexpr (sizeof(T) == 2) {
      const u32 words = inside ? __ldg((const u32*)from) : 0;
      memcpy(two, &words, 4);
    } else if (inside) {
      two[0] = Load<T>(from, 0), two[1] = Load<T>(from, 1);
    }
  }
};

// An operand's elements for the results that a thread finishes: pair j of row r.
constexpr int kRowsAtOnce = 32 / kStagedWords;  // that a warp moves
template <class T, int along>
struct Staged {
  OfTwo<T, along> pairs[kStagedWords];
  template <class Rows>
  __device__ void Fetch(const Params&, const EpilogueOperand&, const Rows&, i32) {}
  __device__ void Spread(const Params& p, const EpilogueOperand& e, i32 first, u32) {
#pragma unroll
    for (int j = 0; j < kStagedWords; ++j) {
      const i32 column = first + j * 8 + threadIdx.x % 4 * 2;
      pairs[j].Fetch(e, column, column < (i32)p.columns);
    }
  }
  __device__ T Get(int j, int, int element) const { return pairs[j].two[element]; }
};
template <class T>
struct Staged<T, kNeighbours> {
  uint4 rows[16 / kRowsAtOnce];
  u32 pairs[kStagedWords][2];
  template <class Rows>
  __device__ void Fetch(const Params& p, const EpilogueOperand& e, const Rows& row_of, i32 first) {
    static_assert(sizeof(T) == 2, "");
    const int lane = threadIdx.x % 32;
    const i32 column = first + lane % kStagedWords * 8;
#pragma unroll
    for (int i = 0; i < 16 / kRowsAtOnce; ++i) {
      const i32 row = row_of(i * kRowsAtOnce + lane / kStagedWords);
      rows[i] = make_uint4(0, 0, 0, 0);
      if (row >= 0 && column < (i32)p.columns)
        rows[i] = __ldg((const uint4*)((const T*)e.data + row * e.row_stride + column));
    }
  }
  __device__ void Spread(const Params&, const EpilogueOperand&, i32, u32 staged_at) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 16 / kRowsAtOnce; ++i) {
      const int row = i * kRowsAtOnce + lane / kStagedWords;
      asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(
                       staged_at + StagedAt(row, lane % kStagedWords)),
                   "r"(rows[i].x), "r"(rows[i].y), "r"(rows[i].z), "r"(rows[i].w)
                   : "memory");
    }
    __syncwarp();
#pragma unroll
    for (int j = 0; j < kStagedWords; j += 2) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(pairs[j][0]), "=r"(pairs[j][1]), "=r"(pairs[j + 1][0]),
                     "=r"(pairs[j + 1][1])
                   : "r"(staged_at + StagedAt(lane % 16, j + lane / 16))
                   : "memory");
    }
    __syncwarp();
  }
  __device__ T Get(int j, int r, int element) const {
    return FromHalfWord<T>(pairs[j][r], element);
  }
};

// Those of a part of a warp's results, STAGED of them: Fetch has what differs between rows
// under way.
struct StagedOperands {
#define DECLARE(o, Type, along) Staged<Type, along> operand##o;
  EACH_OPERAND(DECLARE)
#undef DECLARE
  template <class Rows>
  __device__ void Fetch(const Params& p, const Rows& row_of, i32 first) {
#define FETCH(o, Type, along) operand##o.Fetch(p, p.e[o], row_of, first);
    EACH_OPERAND(FETCH)
#undef FETCH
    (void)p, (void)row_of, (void)first;
  }
  __device__ void Spread(const Params& p, i32 first, u32 staged_at) {
#define SPREAD(o, Type, along) operand##o.Spread(p, p.e[o], first, staged_at);
    EACH_OPERAND(SPREAD)
#undef SPREAD
    (void)p, (void)first, (void)staged_at;
  }
};

// row_of: the row of the result to which each of the warp's 16 belongs, -1 for one that is outside;
// column0: of the first sum; staged_at: the warp's kStagedBytes of shared memory; fetched: the
// operands of the first part are under way.
template <class Rows>
__device__ inline void FinishStaged(const Params& p, const Acc* sums, const Rows& row_of,
                                    i32 column0, u32 staged_at, StagedOperands* operands,
                                    bool fetched, bool& undefined) {
  static_assert(sizeof(Y) == 2, "");
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int part = 0; part < BN / STAGED; ++part) {
    const i32 first = column0 + part * STAGED;
    if (first >= (i32)p.columns) break;
    if (part > 0 || !fetched) operands->Fetch(p, row_of, first);
    operands->Spread(p, first, staged_at);
    u32 words[kStagedWords][2];
#pragma unroll
    for (int j = 0; j < kStagedWords; ++j) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const Acc* const own = sums + part * STAGED / 2 + j * 4 + r * 2;
        Y results[2];
#define LOAD(o, Type) operands->operand##o.Get(j, r, e)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const Sum first = Sum(own[e]);
          results[e] = CALL(first, LOAD);
        }
#undef LOAD
        memcpy(&words[j][r], results, 4);
      }
    }
#pragma unroll
    for (int j = 0; j < kStagedWords; j += 2) {
      asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                       staged_at + StagedAt(lane % 16, j + lane / 16)),
                   "r"(words[j][0]), "r"(words[j][1]), "r"(words[j + 1][0]), "r"(words[j + 1][1])
                   : "memory");
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 16; i += kRowsAtOnce) {
      const int at = i + lane / kStagedWords, word = lane % kStagedWords;
      uint4 eight;
      asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                   : "=r"(eight.x), "=r"(eight.y), "=r"(eight.z), "=r"(eight.w)
                   : "r"(staged_at + StagedAt(at, word))
                   : "memory");
      const i32 row = row_of(at), column = first + word * 8;
      if (row >= 0 && column < (i32)p.columns)
        *(uint4*)(p.y + (i64)row * p.y_row + column) = eight;
    }
    __syncwarp();
  }
}
