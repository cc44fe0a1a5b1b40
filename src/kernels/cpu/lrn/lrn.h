// Local response normalisation over channels, f32.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

struct LrnProblem {
  int64_t rows = 1;
  int64_t channels = 1;
  int64_t x_row_stride = 1;
  int64_t y_row_stride = 1;
  int64_t radius = 5;
  float bias = 1;  // bias and alpha are not negative
  float alpha = 1;
  float beta = 0.5;
};

// One row. `squares` has room for the channels and `radius` zeros on either side, and a vector
// more.
using LrnRow = void (*)(const LrnProblem& problem, const float* x, float* y, float* squares);
// The vectorised row for this processor.
LrnRow F32LrnRow();

class LrnOperation {
 public:
  explicit LrnOperation(const LrnProblem& problem) : problem_(problem), row_(F32LrnRow()) {}

  size_t scratch_bytes(int width) const;
  void Run(const Buffers& buffers, Executor& executor) const;

 private:
  size_t SquaresBytes() const;

  LrnProblem problem_;
  LrnRow row_;
};

}  // namespace graft::cpu
