// The blocked product of 8-bit integers, exact: added up in 32 bits that wrap around. The sums of a
// tile stay in the cache, where the epilogue's `finish` turns them into results; there is no matrix
// of sums.
//
// B is packed in panels of kPanel columns: for each step of k, 16 columns of 2 or 4 bytes; zero
// beyond the matrix.
#pragma once

#include "kernels/cpu/matmul/gemm.h"

namespace graft::cpu {

enum class IntegersForm : uint8_t {
  kPairs,  // products of 16-bit integers, two at a time: A is copied to tiles of such, so that s8
           // and u8 are one
  kQuads,  // products of bytes, four at a time: A's are in [0, 127], else two would not fit 16 bits
};

struct GemmS8Arguments {
  IntegersForm form = IntegersForm::kPairs;
  const int8_t* b = nullptr;  // PackIntegers
  Epilogue epilogue;          // with `finish`
  void* workspace = nullptr;  // GemmS8WorkspaceBytes, 64-byte aligned
};

// Writes A[row, row + rows) × [k, k_end) of a group to `tile`, rows kRowStride elements apart, as
// i16 for pairs and u8 for quads. It may write 15 elements more than a row holds.
using CopyWideTileFunction = FunctionRef<void(const TileRange& range, void* tile)>;

size_t GemmS8WorkspaceBytes(int width);
void GemmS8(const GemmProblem& problem, const GemmS8Arguments& arguments,
            CopyWideTileFunction copy_tile, Executor& executor);
// Cycles of one core, roughly.
double GemmS8Cost(const GemmProblem& problem, IntegersForm form);

// Bytes of B[k, columns] in panels.
int64_t IntegersSize(int64_t k, int64_t columns, IntegersForm form);
// B[k, columns], element (i, j) at b[i * row_stride + j * column_stride], into panels.
void PackIntegers(const int8_t* b, int64_t k, int64_t columns, int64_t row_stride,
                  int64_t column_stride, IntegersForm form, int8_t* panels, Executor& executor);

// The form that computes a kernel's products.
inline IntegersForm FormOf(const ElementTypes& types) {
  return types.seven_bits ? IntegersForm::kQuads : IntegersForm::kPairs;
}

}  // namespace graft::cpu
