#include "kernels/cpu/softmax/softmax.h"

#include <cmath>
#include <limits>

namespace graft::cpu {
namespace {

void F64Row(const double* x, double* y, int64_t columns, bool log) {
  double maximum = -std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < columns; ++i) {
    if (x[i] > maximum || x[i] != x[i]) maximum = x[i];
  }
  double sum = 0;
  for (int64_t i = 0; i < columns; ++i) sum += std::exp(x[i] - maximum);
  for (int64_t i = 0; i < columns; ++i) {
    const double shifted = x[i] - maximum;
    y[i] = log ? shifted - std::log(sum) : std::exp(shifted) / sum;
  }
}

template <bool kLog>
void F64SoftmaxRow(const void* x, void* y, int64_t columns) {
  F64Row(static_cast<const double*>(x), static_cast<double*>(y), columns, kLog);
}

}  // namespace

Result<SoftmaxOperation> SoftmaxOperation::Make(const SoftmaxProblem& problem) {
  SoftmaxOperation operation;
  operation.problem_ = problem;
  if (problem.dtype == DType::kFloat32) {
    operation.row_ = F32SoftmaxRow(problem.log);
  } else if (problem.dtype == DType::kFloat64) {
    operation.row_ = problem.log ? F64SoftmaxRow<true> : F64SoftmaxRow<false>;
  } else {
    return UnsupportedError("softmax of {}", Name(problem.dtype));
  }
  return operation;
}

void SoftmaxOperation::Run(const Buffers& buffers, Executor& executor) const {
  const SoftmaxProblem& p = problem_;
  if (p.rows * p.columns == 0) return;
  // An exponential costs about ten simple operations.
  const int64_t tasks = std::min(p.rows, TaskCount(10 * p.rows * p.columns, executor));
  const int64_t size = static_cast<int64_t>(SizeOf(p.dtype));
  executor.ParallelFor(tasks, [&](int64_t task, int) {
    const Range rows = Part(p.rows, tasks, task);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      row_(static_cast<const std::byte*>(buffers.inputs[0]) + r * p.x_row_stride * size,
           static_cast<std::byte*>(buffers.outputs[0]) + r * p.y_row_stride * size, p.columns);
    }
  });
}

}  // namespace graft::cpu
