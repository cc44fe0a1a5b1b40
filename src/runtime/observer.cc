#include "runtime/observer.h"

#include <chrono>

namespace graft {

int64_t SteadyNow() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

ObservedExecutor::ObservedExecutor(Executor& executor, RunObserver& observer)
    : executor_(executor), observer_(observer), spans_(static_cast<size_t>(executor.width())) {}

void ObservedExecutor::ParallelFor(int64_t count, FunctionRef<void(int64_t, int)> task) {
  for (Span& span : spans_) span = {};
  executor_.ParallelFor(count, [&](int64_t index, int worker) {
    Span& span = spans_[static_cast<size_t>(worker)];
    if (span.begin == 0) span.begin = SteadyNow();
    task(index, worker);
    span.end = SteadyNow();
  });
  for (size_t w = 0; w < spans_.size(); ++w) {
    if (spans_[w].begin != 0) observer_.Worked(static_cast<int>(w), spans_[w].begin, spans_[w].end);
  }
}

}  // namespace graft
