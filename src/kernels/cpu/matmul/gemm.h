// The blocked product C = A · B over packed panels of B, which convolution, matmul and transposed
// convolution share. What A is, the caller says by copying its tiles.
#pragma once

#include <cstdint>

#include "base/executor.h"
#include "kernels/cpu/element_types.h"
#include "kernels/cpu/epilogue.h"

namespace graft::cpu {

// `groups` products of the same size. Group g's result begins at row g * group_row, column
// g * group_column of C, its panels at g * group_panels elements.
struct GemmProblem {
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t depth = 0;
  int64_t groups = 1;
  int64_t group_row = 0;
  int64_t group_column = 0;
  int64_t group_panels = 0;
};

struct GemmArguments {
  // PackPanels, of f32, f16 or bf16. 16-bit panels are widened a block at a time, in the cache.
  const void* b = nullptr;
  DType b_type = DType::kFloat32;
  float* c = nullptr;
  int64_t c_stride = 0;
  Epilogue epilogue;
  void* workspace = nullptr;  // GemmWorkspaceBytes, 64-byte aligned
};

// Writes A[row, row + rows) × [k, k_end) of a group to `tile`, rows kRowStride apart. It may write
// 15 floats more than a row holds.
struct TileRange {
  int64_t group;
  int64_t row;
  int rows;
  int64_t k;
  int64_t k_end;
};
using CopyTileFunction = FunctionRef<void(const TileRange& range, float* tile)>;

size_t GemmWorkspaceBytes(int width, DType b_type);
void Gemm(const GemmProblem& problem, const GemmArguments& arguments, CopyTileFunction copy_tile,
          Executor& executor);
// Cycles of one core, roughly.
double GemmCost(const GemmProblem& problem, DType b_type);

}  // namespace graft::cpu
