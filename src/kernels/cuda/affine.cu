// Element-wise programs over operands that lie anywhere: y[i] = program(x0[i · s0], x1[i · s1], …).
// With strides of 0 an operand is broadcast; without instructions it is a copy, which is what
// transposes, slices, tiles, concatenations and depth to space are.
//
// Class: RANK, OPERANDS, Index (i32 or i64), Y, CALL(load) with load(operand, type).
struct Operand {
  const void* data;
  i64 strides[RANK];
};
struct Params {
  i64 count;
  i64 dims[RANK];
  void* y;
  i64 y_strides[RANK];
  Operand x[OPERANDS];
  ErrorRecord* error;
  i64 step;
};

__device__ inline Index OffsetOf(const i64* strides, const Index* index) {
  Index offset = 0;
#pragma unroll
  for (int i = 0; i < RANK; ++i) offset += index[i] * (Index)strides[i];
  return offset;
}

extern "C" __global__ void __launch_bounds__(256) affine(const __grid_constant__ Params p) {
  Begin();
  bool undefined = false;
  for (i64 n = ThreadIndex(); n < p.count; n += GridThreads()) {
    Index index[RANK];
    Index rest = (Index)n;
#pragma unroll
    for (int i = RANK - 1; i > 0; --i) {
      const Index dim = (Index)p.dims[i];
      const Index quotient = rest / dim;
      index[i] = rest - quotient * dim;
      rest = quotient;
    }
    index[0] = rest;
#define LOAD(i, T) Load<T>(p.x[i].data, OffsetOf(p.x[i].strides, index))
    Store<Y>(p.y, OffsetOf(p.y_strides, index), CALL(LOAD));
#undef LOAD
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
