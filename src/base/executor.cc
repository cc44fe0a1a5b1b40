#include "base/executor.h"

#include <sched.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace graft {
namespace {

int AffinityCount() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

class TbbExecutor final : public Executor {
 public:
  explicit TbbExecutor(int threads) : arena_(threads), width_(threads) {}
  int width() const override { return width_; }
  void ParallelFor(int64_t count, FunctionRef<void(int64_t, int)> task) override {
    if (count <= 1) {
      if (count == 1) task(0, 0);
      return;
    }
    arena_.execute([&] {
      tbb::parallel_for(
          tbb::blocked_range<int64_t>(0, count, 1),
          [&](const tbb::blocked_range<int64_t>& range) {
            const int worker = tbb::this_task_arena::current_thread_index();
            for (int64_t i = range.begin(); i < range.end(); ++i) task(i, worker);
          },
          tbb::simple_partitioner());
    });
  }

 private:
  tbb::task_arena arena_;
  int width_;
};

// One parallel loop on a foreign pool. Helpers that start after the last index was taken find
// nothing to do and only drop their reference, so the loop's owner waits for the helpers that have
// begun, never for those that have not.
struct PoolLoop {
  std::atomic<int64_t> next{0};
  std::atomic<int> next_worker{1};  // 0 is the caller
  std::atomic<int> running{0};
  std::atomic<int> references;
  int64_t count;
  const FunctionRef<void(int64_t, int)>* task;

  PoolLoop(int helpers, int64_t n, const FunctionRef<void(int64_t, int)>* t)
      : references(helpers + 1), count(n), task(t) {}
  // The owner takes the last index and then looks at `running`; a helper raises `running` and then
  // looks at `next`. One of them must see the other, so both write in the one order of all threads.
  void Work(int worker) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_seq_cst)) < count;) (*task)(i, worker);
  }
  void Release() {
    if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  static void Helper(void* self) {
    auto* loop = static_cast<PoolLoop*>(self);
    loop->running.fetch_add(1, std::memory_order_seq_cst);
    if (loop->next.load(std::memory_order_seq_cst) < loop->count) {
      loop->Work(loop->next_worker.fetch_add(1, std::memory_order_relaxed));
    }
    loop->running.fetch_sub(1, std::memory_order_release);
    loop->Release();
  }
};

class PoolExecutor final : public Executor {
 public:
  PoolExecutor(ScheduleFn schedule, void* state, int width)
      : schedule_(schedule), state_(state), width_(width) {}
  int width() const override { return width_; }
  void ParallelFor(int64_t count, FunctionRef<void(int64_t, int)> task) override {
    const int helpers = static_cast<int>(std::min<int64_t>(width_, count)) - 1;
    if (helpers <= 0) {
      for (int64_t i = 0; i < count; ++i) task(i, 0);
      return;
    }
    auto* loop = new PoolLoop(helpers, count, &task);
    for (int h = 0; h < helpers; ++h) schedule_(state_, &PoolLoop::Helper, loop);
    loop->Work(0);
    // `next` is past `count` now: a helper that raises `running` from here on does no work, so
    // `task` may die after this wait.
    while (loop->running.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
    loop->Release();
  }

 private:
  ScheduleFn schedule_;
  void* state_;
  int width_;
};

}  // namespace

std::unique_ptr<Executor> MakeTbbExecutor(int threads) {
  if (threads <= 0) threads = AffinityCount();
  if (threads == 1) return std::make_unique<InlineExecutor>();
  return std::make_unique<TbbExecutor>(threads);
}

std::unique_ptr<Executor> MakePoolExecutor(ScheduleFn schedule, void* state, int width) {
  if (width <= 1) return std::make_unique<InlineExecutor>();
  return std::make_unique<PoolExecutor>(schedule, state, width);
}

}  // namespace graft
