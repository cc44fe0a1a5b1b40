// Running sums and products along an axis.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

// x[outer, count, inner], dense, along the middle axis.
struct CumulativeProblem {
  bool product = false;
  bool exclusive = false;
  bool reverse = false;
  DType dtype = DType::kFloat32;
  int64_t outer = 1;
  int64_t count = 1;
  int64_t inner = 1;
};

// Some neighbouring lines: `count` rows of `columns` elements, a signed `stride` apart.
struct CumulativeBlock {
  const void* x;
  void* y;
  int64_t count;
  int64_t stride;
  int64_t columns;
  bool exclusive;
};
using CumulativeLoop = void (*)(const CumulativeBlock& block);

class CumulativeOperation {
 public:
  static Result<CumulativeOperation> Make(const CumulativeProblem& problem);
  static bool Supports(DType dtype);

  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor& executor) const;

 private:
  CumulativeProblem problem_;
  CumulativeLoop loop_ = nullptr;
};

}  // namespace graft::cpu
