#include "kernels/cpu/lrn/lrn.h"

#include "base/aligned_buffer.h"

namespace graft::cpu {
namespace {

constexpr size_t kVectorFloats = 16;

}  // namespace

size_t LrnOperation::SquaresBytes() const {
  const auto floats = static_cast<size_t>(problem_.channels + 2 * problem_.radius) + kVectorFloats;
  return AlignUp(floats * sizeof(float));
}

size_t LrnOperation::scratch_bytes(int width) const {
  return static_cast<size_t>(width) * SquaresBytes();
}

void LrnOperation::Run(const Buffers& buffers, Executor& executor) const {
  const LrnProblem& p = problem_;
  if (p.rows * p.channels == 0) return;
  const int64_t work = p.rows * p.channels * (p.radius + 8);
  const int64_t tasks = std::min(p.rows, TaskCount(work, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    auto* squares =
        reinterpret_cast<float*>(buffers.scratch + static_cast<size_t>(worker) * SquaresBytes());
    const Range rows = Part(p.rows, tasks, task);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      row_(p, static_cast<const float*>(buffers.inputs[0]) + r * p.x_row_stride,
           static_cast<float*>(buffers.outputs[0]) + r * p.y_row_stride, squares);
    }
  });
}

}  // namespace graft::cpu
