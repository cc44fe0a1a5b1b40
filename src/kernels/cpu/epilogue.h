// What convolution and matmul do to a result before it leaves the cache.
#pragma once

#include <cstdint>
#include <limits>

#include "base/executor.h"

namespace graft::cpu {

// Called with a block of the output (rows [row, row + rows), columns [column, column + columns))
// when its last value has been written, on the worker that wrote it.
using BlockFunction =
    FunctionRef<void(int64_t row, int64_t rows, int64_t column, int64_t columns, int worker)>;

// result = min(max(result + bias + residual, low), high), NaN kept; then `finish`.
struct Epilogue {
  const float* bias = nullptr;      // one a column
  const float* residual = nullptr;  // of the output's shape
  int64_t residual_stride = 0;      // elements between its rows
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  const BlockFunction* finish = nullptr;
};

}  // namespace graft::cpu
