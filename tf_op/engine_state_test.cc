#include "engine_state.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "build_queue.h"

namespace graft_tf {
namespace {

using Turn = EngineState::Turn;

MadeEngine Built() {
  MadeEngine made;
  made.plan = "plan";
  made.build_seconds = 0.5;
  return made;
}

// Calls ask and take meanwhile.
TEST(EngineState, ATunedEngineTakesThePlace) {
  NodeStatistics statistics;
  EngineState state(&statistics);
  absl::Status why;
  ASSERT_EQ(state.Ask(&why), Turn::kMake);
  state.SetMade(Built());
  EXPECT_EQ(state.TakePlan(), "plan");
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      absl::Status none;
      int64_t last = 0;
      while (!done.load()) {
        EXPECT_EQ(state.Ask(&none), Turn::kRun);
        const int64_t generation = state.engine().generation;
        EXPECT_GE(generation, last);
        EXPECT_LE(generation, state.generation());
        last = generation;
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    MadeEngine tuned = Built();
    tuned.plan = "tuned";
    state.Replace(std::move(tuned));
  }
  done.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(state.generation(), 100);
  EXPECT_EQ(statistics.tunings, 100);
  EXPECT_EQ(statistics.builds, 1);
  EXPECT_TRUE(state.has_plan());
  EXPECT_EQ(state.TakePlan(), "tuned");
  EXPECT_FALSE(state.has_plan());
}

TEST(EngineState, OneCallOfManyMakesTheEngine) {
  NodeStatistics statistics;
  EngineState state(&statistics);
  std::atomic<int> makers{0}, runs{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      absl::Status why;
      Turn turn = state.Ask(&why);
      if (turn == Turn::kMake) {
        makers.fetch_add(1);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        state.SetMade(Built());
        turn = state.Ask(&why);
      }
      if (turn == Turn::kRun) runs.fetch_add(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(makers, 1);
  EXPECT_EQ(runs, 8);
  EXPECT_EQ(statistics.builds, 1);
  EXPECT_EQ(statistics.loads, 0);
  EXPECT_EQ(statistics.build_microseconds, 500000);
}

TEST(EngineState, ThePlanIsTakenOnce) {
  NodeStatistics statistics;
  EngineState state(&statistics);
  absl::Status why;
  ASSERT_EQ(state.Ask(&why), Turn::kMake);
  state.SetMade(Built());
  EXPECT_TRUE(state.has_plan());
  EXPECT_EQ(state.TakePlan(), "plan");
  EXPECT_FALSE(state.has_plan());
  EXPECT_EQ(state.TakePlan(), "");
}

TEST(EngineState, CallsDoNotWaitForABuildInTheBackground) {
  NodeStatistics statistics;
  EngineState state(&statistics);
  absl::Status why;
  ASSERT_EQ(state.Ask(&why), Turn::kMake);
  // One that has begun to wait goes on when the build goes to the background.
  std::thread waits([&] {
    absl::Status reason;
    EXPECT_EQ(state.Ask(&reason), Turn::kNone);
    EXPECT_EQ(reason.message(), kBeingBuilt);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  state.SetInBackground();
  waits.join();
  EXPECT_EQ(state.Ask(&why), Turn::kNone);
  EXPECT_TRUE(absl::IsUnavailable(why));
  state.SetMade(Built());
  EXPECT_EQ(state.Ask(&why), Turn::kRun);
}

TEST(EngineState, AFailureForGoodIsNotTriedAgain) {
  NodeStatistics statistics;
  EngineState state(&statistics);
  absl::Status why;
  ASSERT_EQ(state.Ask(&why), Turn::kMake);
  EXPECT_FALSE(state.SetMade(absl::InvalidArgumentError("no such op")));
  for (int i = 0; i < 10000; ++i) {
    ASSERT_EQ(state.Ask(&why), Turn::kNone);
    ASSERT_EQ(why.message(), "no such op");
  }
}

// The calls from one try to the next, until there are no more.
TEST(EngineState, ALackOfMemoryIsTriedAgainButNotForEver) {
  NodeStatistics statistics;
  EngineState state(&statistics);
  std::vector<int> calls_at_try;
  for (int call = 1; call <= 100000; ++call) {
    absl::Status why;
    if (state.Ask(&why) != Turn::kMake) {
      ASSERT_EQ(why.message(), "out of memory");
      continue;
    }
    calls_at_try.push_back(call);
    EXPECT_EQ(state.SetMade(absl::ResourceExhaustedError("out of memory")),
              calls_at_try.size() < 5);
  }
  EXPECT_EQ(calls_at_try, (std::vector<int>{1, 17, 81, 337, 1361}));
}

TEST(EngineState, ALaterTryMaySucceed) {
  NodeStatistics statistics;
  EngineState state(&statistics);
  absl::Status why;
  ASSERT_EQ(state.Ask(&why), Turn::kMake);
  EXPECT_TRUE(state.SetMade(absl::ResourceExhaustedError("out of memory")));
  int calls = 0;
  while (state.Ask(&why) == Turn::kNone) ++calls;
  EXPECT_EQ(calls, 15);
  EXPECT_FALSE(state.SetMade(Built()));
  EXPECT_EQ(state.Ask(&why), Turn::kRun);
}

TEST(RunWhenIdle, AChildProcessWaitsForNoThreadOfItsParent) {
  const auto begun = std::make_shared<std::promise<void>>();
  std::promise<void> may_end;
  RunWhenIdle([begun, end = may_end.get_future().share()] {
    begun->set_value();
    end.wait();
  });
  begun->get_future().wait();
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // ends a child that waits
    StopWork();
    _exit(0);
  }
  may_end.set_value();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// The last of this program's: nothing is done after it.
TEST(StopWork, WaitsForWhatIsDoneAndDropsTheRest) {
  std::mutex mutex;
  std::condition_variable changed;
  bool begun = false, may_end = false;
  std::atomic<bool> ended{false}, second{false};
  RunWhenIdle([&] {
    std::unique_lock<std::mutex> lock(mutex);
    begun = true;
    changed.notify_all();
    changed.wait(lock, [&] { return may_end; });
    ended = true;
  });
  RunWhenIdle([&] { second = true; });
  {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return begun; });
  }
  std::thread stops([&] {
    StopWork();
    EXPECT_TRUE(ended);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  {
    const std::lock_guard<std::mutex> lock(mutex);
    may_end = true;
    changed.notify_all();
  }
  stops.join();
  EXPECT_FALSE(second);
  RunWhenIdle([&] { second = true; });
  StopWork();
  EXPECT_FALSE(second);
}

}  // namespace
}  // namespace graft_tf
