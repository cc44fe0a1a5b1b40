// Where elements are that are not zero, and which values there are. The number of results goes into
// the last output; the others have room for as many as there can be.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/status.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

// [x] → [positions i64[elements, rank], count i64], in row-major order. NaN is not zero.
struct WhereProblem {
  DType dtype = DType::kBool;
  Dims dims;
};

class WhereOperation {
 public:
  static Result<WhereOperation> Make(const WhereProblem& problem);
  static bool Supports(DType dtype);

  size_t scratch_bytes(int width) const;
  void Run(const Buffers& buffers, Executor& executor) const;

  struct Loops {
    int64_t (*count)(const void* x, Range range) = nullptr;
    // Writes the positions within the range.
    void (*find)(const void* x, Range range, const Dims& dims, int64_t* positions) = nullptr;
  };

 private:
  WhereProblem problem_;
  Loops loops_;
};

// [x[count, size]] → [rows[count, size] that differ, position of each row's like[count], how often
// each occurs[count], count i64], in order of their first occurrence. A NaN equals nothing.
struct UniqueProblem {
  DType dtype = DType::kInt32;
  DType index_dtype = DType::kInt32;  // or kInt64
  int64_t count = 0;
  int64_t size = 1;  // of a row
};

class UniqueOperation {
 public:
  static Result<UniqueOperation> Make(const UniqueProblem& problem);
  static bool Supports(DType dtype, DType index_dtype);

  size_t scratch_bytes(int) const;
  void Run(const Buffers& buffers, Executor& executor) const;

  // `table` has `slots`, a power of two, more than `count`. Gives how many rows differ.
  using Loop = int64_t (*)(const UniqueProblem& problem, const void* x, int32_t* table,
                           int64_t slots, void* rows, void* indices, void* counts);

 private:
  UniqueProblem problem_;
  int64_t slots_ = 0;
  Loop loop_ = nullptr;
};

}  // namespace graft::cpu
