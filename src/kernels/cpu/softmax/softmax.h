// Softmax and its logarithm over rows.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

struct SoftmaxProblem {
  bool log = false;
  DType dtype = DType::kFloat32;  // f32 or f64
  int64_t rows = 1;
  int64_t columns = 1;
  int64_t x_row_stride = 1;
  int64_t y_row_stride = 1;
};

// One row of `columns` elements; x may be y.
using SoftmaxRow = void (*)(const void* x, void* y, int64_t columns);
// The vectorised f32 row for this processor.
SoftmaxRow F32SoftmaxRow(bool log);

class SoftmaxOperation {
 public:
  static Result<SoftmaxOperation> Make(const SoftmaxProblem& problem);

  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor& executor) const;

 private:
  SoftmaxProblem problem_;
  SoftmaxRow row_ = nullptr;
};

}  // namespace graft::cpu
