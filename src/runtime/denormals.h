// Denormals count as zero while an engine runs: they cost a hundred times a normal operation and
// carry nothing in inference.
#pragma once

#include <immintrin.h>

#include <memory>
#include <utility>

#include "base/executor.h"

namespace graft {

// Sets the calling thread's mode and restores it.
class ScopedFlushDenormals {
 public:
  ScopedFlushDenormals() : saved_(_mm_getcsr()) {
    constexpr unsigned kFlushToZero = 0x8000;
    constexpr unsigned kDenormalsAreZero = 0x0040;
    _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero);
  }
  ~ScopedFlushDenormals() { _mm_setcsr(saved_); }
  ScopedFlushDenormals(const ScopedFlushDenormals&) = delete;
  ScopedFlushDenormals& operator=(const ScopedFlushDenormals&) = delete;

 private:
  unsigned saved_;
};

// An executor whose tasks run with denormals flushed, on whatever thread.
class FlushingExecutor final : public Executor {
 public:
  explicit FlushingExecutor(std::shared_ptr<Executor> executor) : executor_(std::move(executor)) {}
  int width() const override { return executor_->width(); }
  void ParallelFor(int64_t count, FunctionRef<void(int64_t, int)> task) override {
    executor_->ParallelFor(count, [&](int64_t index, int worker) {
      ScopedFlushDenormals flush;
      task(index, worker);
    });
  }

 private:
  std::shared_ptr<Executor> executor_;
};

}  // namespace graft
