// What convolution and matmul do to their sums before those leave the cache.
#pragma once

#include <cstdint>
#include <limits>

#include "base/executor.h"

namespace graft::cpu {

// Where a kernel leaves its sums: in the output, for the epilogue's `finish` in place, or in tiles
// that `finish` alone sees.
enum class SumsIn : uint8_t { kOutput, kTiles };

// Rows [row, row + rows), columns [column, column + columns) of the output, and where their sums
// are: in the kernel's output, or, of a kernel that writes none, at `sums`, rows sums_stride apart.
struct SumsBlock {
  int64_t row;
  int64_t rows;
  int64_t column;
  int64_t columns;
  const void* sums = nullptr;
  int64_t sums_stride = 0;
};
// Called with each block when its last sum is there, on the worker that made it.
using BlockFunction = FunctionRef<void(const SumsBlock& block, int worker)>;

// sum = min(max(sum + bias + residual, low), high), NaN kept; then `finish`. Bias, residual and
// bounds are for kernels that sum in f32 and are neutral for all others.
struct Epilogue {
  const float* bias = nullptr;      // one a column
  const float* residual = nullptr;  // of the output's shape
  int64_t residual_stride = 0;      // elements between its rows
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  const BlockFunction* finish = nullptr;
};

}  // namespace graft::cpu
