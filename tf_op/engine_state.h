// How far the engine of a node is: not asked for yet, being made, ready, or failed. Any number of
// calls ask; one of them makes it, the others wait or are told that it is being built.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "engine_maker.h"
#include "statistics.h"

namespace graft_tf {

// The message of the Unavailable status that calls get meanwhile.
inline constexpr char kBeingBuilt[] = "the engine is being built";

class EngineState {
 public:
  explicit EngineState(NodeStatistics* statistics) : statistics_(statistics) {}

  enum class Turn {
    kRun,   // it is ready
    kMake,  // the caller makes it: SetMade follows
    kNone,  // there is none for this call: *why says why
  };
  // Takes no lock once the engine is ready. Waits while another call makes it, unless that happens
  // in the background. A failure that may pass (memory) is tried again after some calls, more each
  // time, and not for ever.
  Turn Ask(absl::Status* why);
  void SetInBackground();
  // Whether it will be tried again.
  bool SetMade(absl::StatusOr<MadeEngine> made);
  // Of one that is ready: `tuned` takes its place. Calls that run the old one end with it.
  void Replace(MadeEngine tuned);

  struct Ready {
    std::shared_ptr<const graft_engine> engine;
    int64_t generation = 0;  // grows with every Replace
  };
  Ready engine() const;  // once it is ready
  int64_t generation() const { return generation_.load(std::memory_order_acquire); }
  // The plan of an engine that was built, once: to be kept until it is saved.
  bool has_plan() const { return has_plan_.load(std::memory_order_acquire); }
  std::string TakePlan();

 private:
  enum class Phase { kNone, kMaking, kReady, kFailed };

  NodeStatistics* const statistics_;
  std::atomic<bool> ready_{false};
  std::atomic<bool> has_plan_{false};
  std::atomic<int64_t> generation_{0};
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  Phase phase_ = Phase::kNone;
  bool in_background_ = false;
  absl::Status failure_;
  int failures_ = 0;
  int64_t calls_until_next_try_ = 0;  // 0: there is none
  std::shared_ptr<const graft_engine> engine_;
  std::string plan_;
};

}  // namespace graft_tf
