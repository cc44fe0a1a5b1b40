// Sums, means, extremes and products over any axes.
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/op_kinds.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

struct ReduceProblem {
  ReduceKind reduction = ReduceKind::kSum;
  DType dtype = DType::kFloat32;
  Dims x;  // dense
  std::vector<int64_t> axes;
};

// What one call reduces: y[c] = x[c] ∘ x[stride + c] ∘ … (count of them), divided by divisor when
// that is not 1. With columns == 1 and stride == 1 it is one contiguous run.
struct ReduceBlock {
  const void* x;
  void* y;
  int64_t count;
  int64_t stride;
  int64_t columns;
  double divisor;
};
using ReduceLoop = void (*)(const ReduceBlock& block);
// The vectorised f32 loop for this processor; kSum, kMean, kMax, kMin or kProd.
ReduceLoop F32ReduceLoop(ReduceKind reduction);

class ReduceOperation {
 public:
  static Result<ReduceOperation> Make(const ReduceProblem& problem);
  static bool Supports(ReduceKind reduction, DType dtype);

  // Of the results between passes, the same for any width.
  size_t scratch_bytes(int) const { return scratch_bytes_; }
  void Run(const Buffers& buffers, Executor& executor) const;

 private:
  // [outer, count, inner] → [outer, parts, inner]: every part of the middle axis is reduced for
  // itself. The cut into parts depends on the shape alone, so results do not depend on threads.
  struct Pass {
    int64_t outer;
    int64_t count;
    int64_t parts;
    int64_t inner;
    ReduceLoop loop = nullptr;
    size_t x_size = 4;  // of an element
    size_t y_size = 4;
    double divisor = 1;
    size_t y_offset = 0;  // in scratch; the last pass writes the output
  };

  void RunPass(const Pass& pass, const std::byte* x, std::byte* y, Executor& executor) const;

  size_t scratch_bytes_ = 0;
  std::vector<Pass> passes_;
};

}  // namespace graft::cpu
