// Element-wise programs, and copies, over rows of neighbours: y[row, i] = program(x0[row, i], …),
// where an operand's row may be one element for all. VECTOR elements a thread, eight or four.
//
// Class: VECTOR, Index (u32 or u64: of rows times VECTORs), OPERANDS, Y, EACH_OPERAND, CALL(load) with
// load(operand, type).
#include "epilogue.cuh"
#include "vector.cuh"

struct Operand {
  const void* data;
  i64 row_stride;
};
struct Params {
  i64 rows, columns;
  Y* y;
  i64 y_row;
  Operand x[OPERANDS];
  ErrorRecord* error;
  i64 step;
};

template <class T, int along>
__device__ inline void LoadRow(const Operand& x, i64 row, i64 column, int count, T* to) {
  const i64 first = row * x.row_stride + (along == kOne ? 0 : column);
  if constexpr (along == kNeighbours && !Same<T, bool>::value) {
    LoadNeighbours((const T*)x.data + first, count, to);
  } else {
#pragma unroll
    for (int j = 0; j < VECTOR; ++j)
      to[j] = Load<T>(x.data, along == kOne ? first : first + (j < count ? j : 0));
  }
}

extern "C" __global__ void __launch_bounds__(256) rowwise(const __grid_constant__ Params p) {
  Begin();
  bool undefined = false;
  const Index chunks = (Index)((p.columns + VECTOR - 1) / VECTOR);
  const Index all = (Index)p.rows * chunks;
  for (Index n = (Index)ThreadIndex(); n < all; n += (Index)GridThreads()) {
    const Index row = p.rows == 1 ? 0 : n / chunks;
    const i64 column = (i64)(n - row * chunks) * VECTOR;
    const int count = p.columns - column < VECTOR ? (int)(p.columns - column) : VECTOR;
#define DECLARE(o, Type, along) \
  Type operand##o[VECTOR];      \
  LoadRow<Type, along>(p.x[o], row, column, count, operand##o);
    EACH_OPERAND(DECLARE)
    Y results[VECTOR];
#define LOAD(o, Type) operand##o[j]
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) results[j] = CALL(LOAD);
#undef LOAD
    StoreNeighbours(results, count, p.y + row * p.y_row + column);
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
