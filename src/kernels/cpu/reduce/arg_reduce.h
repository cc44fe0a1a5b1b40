// Where the extreme of each line is, and the k largest of each row.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

// y[o, i]: the first index r at which x[o, r, i] is the largest (smallest). What is not beyond the
// type's finite limits, NaN too, never wins; if nothing does, 0.
struct ArgReduceProblem {
  bool smallest = false;
  DType dtype = DType::kFloat32;
  DType index_dtype = DType::kInt64;  // or kInt32
  int64_t outer = 1;
  int64_t count = 1;
  int64_t inner = 1;
};

class ArgReduceOperation {
 public:
  static Result<ArgReduceOperation> Make(const ArgReduceProblem& problem);
  static bool Supports(DType dtype, DType index_dtype);

  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor& executor) const;

  // `columns` neighbouring lines of `count` elements, `stride` apart.
  using Loop = void (*)(const void* x, int64_t count, int64_t stride, int64_t columns, void* y);

 private:
  ArgReduceProblem problem_;
  Loop loop_ = nullptr;
};

// The k largest of every row in descending order, ties to the lower index, and their int32
// indices. NaN counts as the smallest.
struct TopKProblem {
  DType dtype = DType::kFloat32;
  int64_t rows = 1;
  int64_t columns = 1;
  int64_t k = 1;
};

class TopKOperation {
 public:
  static Result<TopKOperation> Make(const TopKProblem& problem);
  static bool Supports(DType dtype);

  size_t scratch_bytes(int width) const;
  void Run(const Buffers& buffers, Executor& executor) const;

  // One row; `order` has room for `columns` indices.
  using Loop = void (*)(const void* x, int64_t columns, int64_t k, int32_t* order, void* values,
                        int32_t* indices);

 private:
  TopKProblem problem_;
  Loop loop_ = nullptr;
};

}  // namespace graft::cpu
