// Operands of an epilogue over a result of rows of channels.
#pragma once
#define EPILOGUE_RANK 6

// Read at the result's row and column, or, where strides count, at its index in all axes.
struct EpilogueOperand {
  const void* data;
  i64 column_stride;
  i64 row_stride;
  i64 general;  // 1: strides count
  i64 strides[EPILOGUE_RANK];
};

// dims: the result's axes.
__device__ inline i64 EpilogueOffset(const EpilogueOperand& e, const i64* dims, i64 row,
                                     i64 column) {
  if (!e.general) return row * e.row_stride + column * e.column_stride;
  i64 offset = column * e.strides[EPILOGUE_RANK - 1];
#pragma unroll
  for (int i = EPILOGUE_RANK - 2; i >= 0; --i) {
    offset += row % dims[i] * e.strides[i];
    row /= dims[i];
  }
  return offset;
}
