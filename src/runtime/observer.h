// Who is told what a context's runs do, and when: for traces and profilers.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/executor.h"

namespace graft {

enum class RunPart : int {
  kRun = 0,    // a whole run, from its inputs to its queued or finished outputs
  kStage = 1,  // the steps between two places where dimensions are found out
  kStep = 2,
  kCopy = 3,  // between the caller's memory and the device's, or of results to where they belong
};

// Called by the thread that runs the context, during the run.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  // Parts lie within one another; `detail` is a step's tactic.
  virtual void Begin(RunPart part, std::string_view name, std::string_view detail) = 0;
  // The part that began last ends.
  virtual void End() = 0;
  // What one worker of the executor did of a loop of the step that is under way, in nanoseconds of
  // the steady clock. Told when the loop is over.
  virtual void Worked(int worker, int64_t begin_ns, int64_t end_ns) {
    static_cast<void>(worker), static_cast<void>(begin_ns), static_cast<void>(end_ns);
  }
};

// Nanoseconds of the steady clock.
int64_t SteadyNow();

// A part of a run; without an observer nothing happens.
class ObservedPart {
 public:
  ObservedPart(RunObserver* observer, RunPart part, std::string_view name,
               std::string_view detail = "")
      : observer_(observer) {
    if (observer_) observer_->Begin(part, name, detail);
  }
  ~ObservedPart() {
    if (observer_) observer_->End();
  }
  ObservedPart(const ObservedPart&) = delete;
  ObservedPart& operator=(const ObservedPart&) = delete;

 private:
  RunObserver* const observer_;
};

// An executor that tells what each of its workers does.
class ObservedExecutor final : public Executor {
 public:
  ObservedExecutor(Executor& executor, RunObserver& observer);
  int width() const override { return executor_.width(); }
  void ParallelFor(int64_t count, FunctionRef<void(int64_t, int)> task) override;

 private:
  struct alignas(64) Span {  // each worker writes its own cache line
    int64_t begin = 0;
    int64_t end = 0;
  };
  Executor& executor_;
  RunObserver& observer_;
  std::vector<Span> spans_;  // by worker
};

}  // namespace graft
