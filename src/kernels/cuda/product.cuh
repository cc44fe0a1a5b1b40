// What products of matrices share: their parameter, their epilogue one sum at a time, and the kernel
// that adds the parts of split sums.
//
// Class: A, B (of the factors' elements), Sum (the dtype of sums, the epilogue's register 0), Acc, Y,
// EPILOGUE_OPERANDS, CALL(first, load) with load(operand, type). TENSOR_MAPS: the kernel's own file
// defines it where factors are described for the copy engine.
#pragma once
#define BATCH_RANK 4
#include "epilogue.cuh"

#ifdef TENSOR_MAPS
// The driver's description of a tensor for the copy engine (CUtensorMap).
struct alignas(64) TensorMap {
  u64 words[16];
};
#endif

struct Params {
#ifdef TENSOR_MAPS
  TensorMap a_map, b_map;
#endif
  const A* a;
  const B* b;
  Y* y;
  i64 rows, columns, depth;
  i64 a_row, a_depth;         // strides of a; of a pixel where it is an image
  i64 b_tap, b_depth, b_column;
  i64 y_row;
  i64 batch_dims[BATCH_RANK];
  i64 a_batch[BATCH_RANK], b_batch[BATCH_RANK], y_batch[BATCH_RANK];
  // Convolutions, as three spatial axes.
  i64 channels;  // of the depth, for each tap of the kernel
  i64 in[3], out[3], kernel[3], stride[3], dilation[3], pad[3];
  // Epilogue: the result's axes.
  i64 dims[EPILOGUE_RANK];
  // Batch element z's first row and column for the epilogue are z times these.
  i64 batch_rows, batch_columns;
  i64 first_batch;  // of this launch
  Acc* parts;  // workspace [splits, batch elements, rows, columns]
  i64 batches, splits, split_depth;
  ErrorRecord* error;
  i64 step;
  EpilogueOperand e[EPILOGUE_OPERANDS];
};

// The epilogue of one sum of batch element `element`, and the result's store.
__device__ inline void Finish(const Params& p, i64 element, i64 y_first, i64 row, i64 column,
                              Acc sum, bool& undefined) {
  const Sum first = Sum(sum);
  const i64 e_row = element * p.batch_rows + row;
  const i64 e_column = element * p.batch_columns + column;
#define LOAD(o, Type) Load<Type>(p.e[o].data, EpilogueOffset(p.e[o], p.dims, e_row, e_column))
  p.y[y_first + row * p.y_row + column] = CALL(first, LOAD);
#undef LOAD
  (void)e_row, (void)e_column;
}

// Adds the parts [splits, batch elements, rows, columns] in their order.
__device__ inline void CombineParts(const Params& p) {
  bool undefined = false;
  const i64 count = p.batches * p.rows * p.columns;
  for (i64 n = ThreadIndex(); n < count; n += GridThreads()) {
    const i64 column = n % p.columns;
    const i64 row = n / p.columns % p.rows;
    const i64 element = n / (p.columns * p.rows);
    Acc sum = p.parts[n];
    for (i64 split = 1; split < p.splits; ++split) sum += p.parts[split * count + n];
    i64 y_first = 0;
    i64 batch = element;
#pragma unroll
    for (int i = BATCH_RANK - 1; i >= 0; --i) {
      y_first += batch % p.batch_dims[i] * p.y_batch[i];
      batch /= p.batch_dims[i];
    }
    Finish(p, element, y_first, row, column, sum, undefined);
  }
  if (undefined) Report(p.error, kUndefinedInteger, p.step, 0, 0);
}
