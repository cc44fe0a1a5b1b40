#include "kernels/cpu/scan/cumulative.h"

#include <type_traits>

#include "base/dtype_visit.h"

namespace graft::cpu {
namespace {

template <bool kProduct, class T>
T Join(T a, T x) {
  // Integers wrap around.
  using Wide = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
  return static_cast<T>(kProduct ? static_cast<Wide>(a) * static_cast<Wide>(x)
                                 : static_cast<Wide>(a) + static_cast<Wide>(x));
}

// A row of results is made from the row of results before it: y[r] = y[r - 1] ∘ x[r], or, without
// the element itself, y[r - 1] ∘ x[r - 1].
template <bool kProduct, class T>
void Lines(const CumulativeBlock& b) {
  const T* x = static_cast<const T*>(b.x);
  T* y = static_cast<T*>(b.y);
  for (int64_t c = 0; c < b.columns; ++c) y[c] = b.exclusive ? T(kProduct ? 1 : 0) : x[c];
  for (int64_t r = 1; r < b.count; ++r) {
    const T* from = b.exclusive ? x : x + b.stride;
    for (int64_t c = 0; c < b.columns; ++c) y[b.stride + c] = Join<kProduct>(y[c], from[c]);
    x += b.stride;
    y += b.stride;
  }
}

CumulativeLoop FindLoop(bool product, DType dtype) {
  return TryVisitDType(kNativeTypes - TypeSet<bool>{}, dtype, [&]<class T>(T) -> CumulativeLoop {
    return product ? Lines<true, T> : Lines<false, T>;
  });
}

}  // namespace

bool CumulativeOperation::Supports(DType dtype) { return FindLoop(false, dtype) != nullptr; }

Result<CumulativeOperation> CumulativeOperation::Make(const CumulativeProblem& problem) {
  if (!Supports(problem.dtype)) return UnsupportedError("running sums of {}", Name(problem.dtype));
  CumulativeOperation operation;
  operation.problem_ = problem;
  operation.loop_ = FindLoop(problem.product, problem.dtype);
  return operation;
}

void CumulativeOperation::Run(const Buffers& buffers, Executor& executor) const {
  const CumulativeProblem& p = problem_;
  const int64_t lines = p.outer * p.inner;
  if (lines * p.count == 0) return;
  const auto size = static_cast<int64_t>(SizeOf(p.dtype));
  const int64_t last = p.reverse ? (p.count - 1) * p.inner : 0;  // where a line begins
  const int64_t tasks = std::min(lines, TaskCount(lines * p.count, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int) {
    const Range range = Part(lines, tasks, task);
    for (int64_t line = range.begin; line < range.end;) {
      const int64_t column = line % p.inner;
      const int64_t columns = std::min(p.inner - column, range.end - line);
      const int64_t offset = (line / p.inner * p.count * p.inner + last + column) * size;
      loop_({static_cast<const std::byte*>(buffers.inputs[0]) + offset,
             static_cast<std::byte*>(buffers.outputs[0]) + offset, p.count,
             p.reverse ? -p.inner : p.inner, columns, p.exclusive});
      line += columns;
    }
  });
}

}  // namespace graft::cpu
