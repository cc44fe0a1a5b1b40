// How long the stages of a conversion take.
#pragma once

#include <chrono>

namespace graft::convert {

// Seconds of each stage.
struct StageTimes {
  double read = 0, import = 0, passes = 0, partition = 0, tune = 0, write = 0;
};

// Adds the time of its life to a stage.
class StageTimer {
 public:
  explicit StageTimer(double* seconds) : seconds_(seconds) {}
  ~StageTimer() {
    *seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  double* seconds_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace graft::convert
