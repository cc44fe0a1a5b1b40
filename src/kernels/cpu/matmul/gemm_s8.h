// The blocked product of 8-bit integers, exact: their products are formed in 32 bits, in pairs, and
// added up in 32 bits that wrap around. The sums of a tile stay in the cache, where the epilogue's
// `finish` turns them into results; there is no matrix of sums.
//
// B is packed in panels of kPanel columns: for each pair of k, 16 columns of 2 bytes; zero beyond
// the matrix. A is copied to tiles of 16-bit integers, kRowStride apart (gemm_tile.h), so that s8
// and u8 are one.
#pragma once

#include "kernels/cpu/matmul/gemm.h"

namespace graft::cpu {

struct GemmS8Arguments {
  const int8_t* b = nullptr;  // PackPairs
  Epilogue epilogue;          // with `finish`
  void* workspace = nullptr;  // GemmS8WorkspaceBytes, 64-byte aligned
};

// Writes A[row, row + rows) × [k, k_end) of a group to `tile`, as CopyTileFunction does.
using CopyWideTileFunction = FunctionRef<void(const TileRange& range, int16_t* tile)>;

size_t GemmS8WorkspaceBytes(int width);
void GemmS8(const GemmProblem& problem, const GemmS8Arguments& arguments,
            CopyWideTileFunction copy_tile, Executor& executor);
// Cycles of one core, roughly.
double GemmS8Cost(const GemmProblem& problem);

// Bytes of B[k, columns] in panels.
int64_t PairsSize(int64_t k, int64_t columns);
// B[k, columns], element (i, j) at b[i * row_stride + j * column_stride], into panels.
void PackPairs(const int8_t* b, int64_t k, int64_t columns, int64_t row_stride,
               int64_t column_stride, int8_t* panels, Executor& executor);

}  // namespace graft::cpu
