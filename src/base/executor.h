// Where parallel work runs. All parallelism of Graft goes through an Executor that the caller's
// context holds, so that inside TensorFlow no thread of ours is started: its worker pool is wrapped
// by the C API.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace graft {

// A borrowed callable, valid during the call it is passed to.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, FunctionRef>>>
  FunctionRef(F&& f)  // NOLINT: implicit by design
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

class Executor {
 public:
  virtual ~Executor() = default;
  // How many tasks may run at the same time, at least 1. Constant over the executor's life.
  virtual int width() const = 0;
  // Runs task(index, worker) for every index in [0, count); returns, or throws what a task threw
  // first, when all are done. `worker` is in [0, width()), and no two tasks at a time share it: a
  // scratch area's number. Tasks neither wait for one another nor call this, nor do two threads.
  virtual void ParallelFor(int64_t count, FunctionRef<void(int64_t index, int worker)> task) = 0;
};

// Runs everything on the calling thread.
class InlineExecutor final : public Executor {
 public:
  int width() const override { return 1; }
  void ParallelFor(int64_t count, FunctionRef<void(int64_t, int)> task) override {
    for (int64_t i = 0; i < count; ++i) task(i, 0);
  }
};

// A oneTBB arena of `threads` slots, the caller's included; 0 means the process's CPU affinity
// count. threads == 1 gives an InlineExecutor.
std::unique_ptr<Executor> MakeTbbExecutor(int threads);

// An executor over somebody else's thread pool. `schedule(state, closure, argument)` must run
// closure(argument) once on some thread, sooner or later, and must not run it before returning
// unless the pool has no free thread. The caller works too and never waits for a closure that has
// not begun, so a pool with no free thread cannot deadlock it. A closure keeps its thread from loop
// to loop and for a fifth of a millisecond after the last.
using ScheduleFn = void (*)(void* state, void (*closure)(void*), void* argument);
std::unique_ptr<Executor> MakePoolExecutor(ScheduleFn schedule, void* state, int width);

}  // namespace graft
