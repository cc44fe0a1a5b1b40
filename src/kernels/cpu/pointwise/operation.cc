#include <algorithm>
#include <atomic>
#include <memory>

#include "base/strides.h"
#include "kernels/cpu/pointwise/pointwise.h"

namespace graft::cpu {

Status UndefinedArithmetic() {
  return InvalidArgumentError("an integer division by zero, or an integer's negative power");
}

Result<PointwiseOperation> PointwiseOperation::Make(const PointwiseProblem& problem) {
  std::vector<DType> dtypes;
  for (const PointwiseProblem::Input& input : problem.inputs) dtypes.push_back(input.dtype);
  GRAFT_ASSIGN_OR_RETURN(PointwiseKernel kernel, PointwiseKernel::Compile(problem.program, dtypes));
  PointwiseOperation operation(std::move(kernel));

  std::vector<std::vector<int64_t>> strides;
  std::vector<size_t> sizes;
  for (const PointwiseProblem::Input& input : problem.inputs) {
    if (!Broadcasts(input.dims, problem.output)) {
      return InvalidArgumentError("{} does not broadcast to {}", Describe(input.dtype, input.dims),
                                  Describe(operation.kernel_.result_dtype(), problem.output));
    }
    strides.push_back(BroadcastStrides(input.dims, input.row_stride, problem.output));
    sizes.push_back(SizeOf(input.dtype));
  }
  strides.push_back(BroadcastStrides(problem.output, problem.output_row_stride, problem.output));
  sizes.push_back(SizeOf(operation.kernel_.result_dtype()));

  // Axes of one element vanish; neighbours that every operand walks as one become one.
  std::vector<size_t> axes;
  Dims dims;
  for (size_t axis = 0; axis < problem.output.size(); ++axis) {
    const int64_t n = problem.output[axis];
    if (n == 1) continue;
    const bool joins = !axes.empty() && std::all_of(strides.begin(), strides.end(), [&](auto& s) {
      return s[axes.back()] == s[axis] * n;
    });
    if (joins) {
      dims.back() *= n;
      axes.back() = axis;
    } else {
      dims.push_back(n);
      axes.push_back(axis);
    }
  }
  // Results are written side by side within a row: where they lie apart (one channel of a wider
  // buffer), each is a row of its own.
  if (!axes.empty() && strides.back()[axes.back()] != 1) {
    dims.push_back(1);
    axes.push_back(problem.output.size() - 1);
  }
  const size_t rank = dims.size();
  if (rank >= 1) operation.columns_ = dims[rank - 1];
  if (rank >= 2) operation.rows_ = dims[rank - 2];
  const size_t outer = rank >= 2 ? rank - 2 : 0;
  operation.outer_dims_.assign(dims.begin(), dims.begin() + outer);
  for (int64_t n : operation.outer_dims_) operation.outer_count_ *= n;
  for (size_t k = 0; k < strides.size(); ++k) {
    Walk walk{sizes[k], {}, 0, 0};
    if (rank >= 1) walk.column = strides[k][axes[rank - 1]];
    if (rank >= 2) walk.row = strides[k][axes[rank - 2]];
    for (size_t i = 0; i < outer; ++i) walk.outer.push_back(strides[k][axes[i]]);
    operation.walks_.push_back(std::move(walk));
  }
  return operation;
}

bool PointwiseOperation::RunRange(int64_t first_row, int64_t last_row, int64_t first_column,
                                  int64_t last_column, const Buffers& buffers, int worker) const {
  // Only as many as there are: making all of them takes longer than a short run.
  alignas(RowsOperand) std::byte memory[(kMaxPointwiseInstructions + 1) * sizeof(RowsOperand)];
  auto* const operands = reinterpret_cast<RowsOperand*>(memory);
  std::uninitialized_default_construct_n(operands, walks_.size());
  bool defined = true;
  for (int64_t row = first_row; row < last_row;) {
    const int64_t outer = row < rows_ ? 0 : row / rows_;
    const int64_t r = row - outer * rows_;
    const int64_t count = std::min(last_row - row, rows_ - r);
    for (size_t k = 0; k < walks_.size(); ++k) {
      const Walk& walk = walks_[k];
      int64_t offset = r * walk.row + first_column * walk.column;
      int64_t rest = outer;
      for (size_t i = outer_dims_.size(); i-- > 0; rest /= outer_dims_[i]) {
        offset += rest % outer_dims_[i] * walk.outer[i];
      }
      const void* base = k < buffers.inputs.size() ? buffers.inputs[k] : buffers.outputs[0];
      operands[k] = {
          static_cast<const std::byte*>(base) + offset * static_cast<int64_t>(walk.element_size),
          walk.row, walk.column};
    }
    const RowsOperand& out = operands[buffers.inputs.size()];
    defined &= kernel_.RunRows(count, last_column - first_column, {operands, buffers.inputs.size()},
                               const_cast<void*>(out.data), out.row_stride,
                               buffers.scratch + worker * kernel_.scratch_bytes());
    row += count;
  }
  return defined;
}

Status PointwiseOperation::Run(const Buffers& buffers, Executor& executor) const {
  const int64_t rows = outer_count_ * rows_;
  const int64_t tasks = TaskCount(rows * columns_, executor);
  if (rows * columns_ == 0) return OkStatus();
  // Rows are handed out first; columns are cut only where there are too few rows.
  const int64_t row_tasks = std::min(rows, tasks);
  const int64_t column_tasks = CeilDiv(tasks, row_tasks);
  std::atomic<bool> defined = true;
  if (tasks == 1) {
    executor.ParallelFor(1, [&](int64_t, int worker) {
      if (!RunRange(0, rows, 0, columns_, buffers, worker)) defined = false;
    });
    return defined ? OkStatus() : UndefinedArithmetic();
  }
  executor.ParallelFor(row_tasks * column_tasks, [&](int64_t task, int worker) {
    const Range r = Part(rows, row_tasks, task / column_tasks);
    const Range c = Part(columns_, column_tasks, task % column_tasks);
    if (!RunRange(r.begin, r.end, c.begin, c.end, buffers, worker)) defined = false;
  });
  return defined ? OkStatus() : UndefinedArithmetic();
}

}  // namespace graft::cpu
