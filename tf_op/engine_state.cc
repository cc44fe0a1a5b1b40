#include "engine_state.h"

#include <utility>

namespace graft_tf {
namespace {

constexpr int kMostTries = 5;

// Calls that run native before the next try.
int64_t CallsBeforeTry(int failures) { return int64_t{4} << (2 * failures); }

bool MayPass(const absl::Status& status) { return absl::IsResourceExhausted(status); }

}  // namespace

EngineState::Turn EngineState::Ask(absl::Status* why) {
  if (ready_.load(std::memory_order_acquire)) return Turn::kRun;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    switch (phase_) {
      case Phase::kReady:
        return Turn::kRun;
      case Phase::kFailed:
        if (calls_until_next_try_ == 0 || --calls_until_next_try_ > 0) {
          *why = failure_;
          return Turn::kNone;
        }
        [[fallthrough]];
      case Phase::kNone:
        phase_ = Phase::kMaking;
        in_background_ = false;
        return Turn::kMake;
      case Phase::kMaking:
        if (in_background_) {
          *why = absl::UnavailableError(kBeingBuilt);
          return Turn::kNone;
        }
        changed_.wait(lock);
    }
  }
}

void EngineState::SetInBackground() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (phase_ == Phase::kMaking) in_background_ = true;
  changed_.notify_all();
}

bool EngineState::SetMade(absl::StatusOr<MadeEngine> made) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (made.ok()) {
    engine_ = std::move(made->engine);
    plan_ = std::move(made->plan);
    phase_ = Phase::kReady;
    calls_until_next_try_ = 0;
    if (made->build_seconds > 0) statistics_->builds.fetch_add(1);
    if (made->build_seconds == 0) statistics_->loads.fetch_add(1);
    statistics_->build_microseconds.fetch_add(static_cast<int64_t>(made->build_seconds * 1e6));
    statistics_->load_microseconds.fetch_add(static_cast<int64_t>(made->load_seconds * 1e6));
    has_plan_.store(!plan_.empty(), std::memory_order_release);
    ready_.store(true, std::memory_order_release);
  } else {
    failure_ = made.status();
    phase_ = Phase::kFailed;
    const bool again = MayPass(failure_) && ++failures_ < kMostTries;
    calls_until_next_try_ = again ? CallsBeforeTry(failures_) : 0;
  }
  changed_.notify_all();
  return calls_until_next_try_ != 0;
}

void EngineState::Replace(MadeEngine tuned) {
  std::shared_ptr<const graft_engine> old = std::move(tuned.engine);  // goes outside of the lock
  const std::lock_guard<std::mutex> lock(mutex_);
  old.swap(engine_);
  plan_ = std::move(tuned.plan);
  statistics_->tunings.fetch_add(1);
  generation_.fetch_add(1, std::memory_order_release);
  has_plan_.store(!plan_.empty(), std::memory_order_release);
}

EngineState::Ready EngineState::engine() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {engine_, generation_.load(std::memory_order_relaxed)};
}

std::string EngineState::TakePlan() {
  const std::lock_guard<std::mutex> lock(mutex_);
  has_plan_.store(false, std::memory_order_release);
  return std::exchange(plan_, std::string());
}

}  // namespace graft_tf
