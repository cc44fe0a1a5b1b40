#include "base/executor.h"

#include <sched.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"

namespace graft {
namespace {

int AffinityCount() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

// How long a helper without work stays before it gives its thread back, and how much of that it
// spins before it lets others run between looks. The steps of an engine follow one another within
// microseconds, while waking a thread costs tens of them.
constexpr std::chrono::microseconds kLinger{200};
constexpr std::chrono::microseconds kSpin{50};

constexpr auto kNothing = [](int64_t, int) {};

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// The caller of ParallelFor, worker 0, and the helpers that it borrows from a pool. A helper comes
// as a closure of the pool, takes part in loop after loop and leaves when none came for a while, so
// a run of steps wakes its threads once. Closures may begin late, even after the executor is gone:
// they hold a reference of their own.
//
// A loop's indices are cut into parts, one a worker, the same share each time: neighbouring steps
// find their rows in the cache of the core that wrote them. A worker takes its own part's indices
// first and then those left of the others.
//
// A cache line that two cores write in turn costs more than a small step, so each part has a line
// that its worker alone writes unless it is helped, the loop has one that the caller alone writes,
// and nothing is reset: a part's `claimed` carries the number of the loop it counts for, `finished`
// counts on for ever.
class Team {
 public:
  using Task = FunctionRef<void(int64_t, int)>;

  Team(ScheduleFn schedule, void* state, int width)
      : schedule_(schedule), state_(state), width_(width), parts_(width), numbers_(width) {}

  int width() const { return width_; }

  void Run(int64_t count, Task task) {
    for (int64_t first = 0; first < count; first += kMostIndices) {
      RunPiece(first, std::min(count - first, kMostIndices), task);
    }
  }

  // The executor's end.
  void Close() {
    closed_.store(true, std::memory_order_relaxed);
    Release();
  }

 private:
  static constexpr int kIndexBits = 20;
  static constexpr int64_t kMostIndices = (int64_t{1} << kIndexBits) - 1;

  struct alignas(64) Part {
    std::atomic<uint64_t> claimed{0};   // loop << kIndexBits | how many of its indices were claimed
    std::atomic<uint64_t> finished{0};  // over all loops
    uint64_t expected = 0;              // what `finished` comes to; the caller's alone
  };
  // What a worker knows of a loop.
  struct Loop {
    uint64_t number;
    int64_t count;
    int64_t parts;
    int64_t begin(int64_t part) const {
      return part * (count / parts) + std::min(part, count % parts);
    }
    int64_t size(int64_t part) const { return begin(part + 1) - begin(part); }
  };

  void RunPiece(int64_t first, int64_t count, Task task) {
    const Loop loop{number_.load(std::memory_order_relaxed) / 2 + 1, count,
                    std::min<int64_t>(width_, count)};
    // An odd number while the loop is being written; a reader that sees any of the new fields sees
    // this store too.
    number_.store(2 * loop.number - 1, std::memory_order_relaxed);
    count_.store(count, std::memory_order_release);
    task_ = task;
    first_ = first;
    number_.store(2 * loop.number, std::memory_order_release);
    while (present_.load(std::memory_order_relaxed) < loop.parts - 1) {
      present_.fetch_add(1, std::memory_order_relaxed);
      references_.fetch_add(1, std::memory_order_relaxed);
      try {
        schedule_(state_, &Team::Helper, this);
      } catch (...) {  // a pool without memory for it: the others do the work
        references_.fetch_sub(1, std::memory_order_relaxed);
        present_.fetch_sub(1, std::memory_order_relaxed);
        break;
      }
    }
    Work(loop, 0);
    for (int64_t p = 0; p < loop.parts; ++p) {
      Part& part = parts_[p];
      part.expected += loop.size(p);
      for (int spins = 0; part.finished.load(std::memory_order_acquire) != part.expected; ++spins) {
        spins < 1000 ? Pause() : std::this_thread::yield();
      }
    }
    if (failed_.load(std::memory_order_relaxed)) {
      failed_.store(false, std::memory_order_relaxed);
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
  }

  // One more of a part's indices; false when all are claimed or the loop is over. Whoever claimed
  // an index knows that the loop goes on until it has finished it.
  static bool Claim(const Loop& loop, int64_t size, Part& part, int64_t& index) {
    uint64_t claimed = part.claimed.load(std::memory_order_relaxed);
    do {
      const uint64_t number = claimed >> kIndexBits;
      index = number == loop.number ? static_cast<int64_t>(claimed & kMostIndices) : 0;
      // All parts of a loop are claimed to the end before the next one begins, so that a late
      // worker finds this loop's end or a later loop's number.
      if (number > loop.number || index == size) return false;
    } while (!part.claimed.compare_exchange_weak(
        claimed, loop.number << kIndexBits | static_cast<uint64_t>(index + 1),
        std::memory_order_relaxed));
    return true;
  }

  void Work(const Loop& loop, int worker) {
    for (int64_t i = 0; i < loop.parts; ++i) {
      const int64_t p = (worker + i) % loop.parts;
      const int64_t size = loop.size(p);
      int64_t index;
      while (Claim(loop, size, parts_[p], index)) {
        try {
          task_(first_ + loop.begin(p) + index, worker);
        } catch (...) {
          // The first one is the caller's, who reads it when all have finished.
          if (!failed_.exchange(true, std::memory_order_relaxed))
            failure_ = std::current_exception();
        }
        parts_[p].finished.fetch_add(1, std::memory_order_release);
      }
    }
  }

  int TakeNumber() {
    for (int w = 1; w < width_; ++w) {
      if (!numbers_[w].exchange(true, std::memory_order_acquire)) return w;
    }
    GRAFT_CHECK(false, "more helpers than the {} scheduled", width_ - 1);
    return 0;
  }

  void Help() {
    using Clock = std::chrono::steady_clock;
    // The loop's number is read first: all else of the team was written before it.
    uint64_t number = number_.load(std::memory_order_acquire);
    uint64_t done = 0;
    const int worker = TakeNumber();
    Clock::time_point idle_since = Clock::now();
    for (; !closed_.load(std::memory_order_relaxed);
         number = number_.load(std::memory_order_acquire)) {
      if (number != done && number % 2 == 0) {
        const int64_t count = count_.load(std::memory_order_acquire);
        if (number_.load(std::memory_order_relaxed) != number) continue;
        Work({number / 2, count, std::min<int64_t>(width_, count)}, worker);
        done = number;
        idle_since = Clock::now();
        continue;
      }
      for (int i = 0; i < 8; ++i) Pause();
      const Clock::duration idle = Clock::now() - idle_since;
      if (idle > kLinger) break;
      if (idle > kSpin) std::this_thread::yield();
    }
    numbers_[worker].store(false, std::memory_order_release);
    present_.fetch_sub(1, std::memory_order_relaxed);
  }

  static void Helper(void* self) {
    auto* team = static_cast<Team*>(self);
    team->Help();
    team->Release();
  }

  void Release() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // The loop: written by the caller, watched by the helpers.
  alignas(64) std::atomic<uint64_t> number_{0};  // twice the loop's number; odd while it changes
  std::atomic<int64_t> count_{0};
  int64_t first_ = 0;  // read, like task_, by those alone who claimed an index
  Task task_ = Task(kNothing);

  alignas(64) std::atomic<bool> failed_{false};  // in this loop
  std::exception_ptr failure_;

  alignas(64) const ScheduleFn schedule_;
  void* const state_;
  const int width_;
  std::atomic<int> references_{1};
  std::atomic<int> present_{0};  // helpers scheduled and not gone
  std::atomic<bool> closed_{false};
  std::vector<Part> parts_;
  std::vector<std::atomic<bool>> numbers_;  // taken by helpers
};

class TeamExecutor : public Executor {
 public:
  TeamExecutor(ScheduleFn schedule, void* state, int width)
      : team_(new Team(schedule, state, width)) {}
  ~TeamExecutor() override { team_->Close(); }
  TeamExecutor(const TeamExecutor&) = delete;
  TeamExecutor& operator=(const TeamExecutor&) = delete;
  int width() const override { return team_->width(); }
  void ParallelFor(int64_t count, FunctionRef<void(int64_t, int)> task) override {
    if (count > 1) {
      team_->Run(count, task);
    } else if (count == 1) {
      task(0, 0);
    }
  }

 private:
  Team* team_;  // deletes itself with the last closure
};

// Borrows from an arena of oneTBB, which the caller itself does not enter.
class TbbExecutor final : public TeamExecutor {
 public:
  explicit TbbExecutor(int threads)
      : TeamExecutor(&Enqueue, &arena_, threads), arena_(threads - 1, /*reserved_for_masters=*/0) {}

 private:
  static void Enqueue(void* arena, void (*closure)(void*), void* argument) {
    static_cast<tbb::task_arena*>(arena)->enqueue([closure, argument] { closure(argument); });
  }

  tbb::task_arena arena_;
};

}  // namespace

std::unique_ptr<Executor> MakeTbbExecutor(int threads) {
  if (threads <= 0) threads = AffinityCount();
  if (threads == 1) return std::make_unique<InlineExecutor>();
  return std::make_unique<TbbExecutor>(threads);
}

std::unique_ptr<Executor> MakePoolExecutor(ScheduleFn schedule, void* state, int width) {
  if (width <= 1) return std::make_unique<InlineExecutor>();
  return std::make_unique<TeamExecutor>(schedule, state, width);
}

}  // namespace graft
