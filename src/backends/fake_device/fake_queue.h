// The queue of the fake device: work is done in order, later, on another thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "base/status.h"

namespace graft::fake_device {

class WorkQueue {
 public:
  WorkQueue();
  ~WorkQueue();

  void Push(std::function<Status()> work);
  // Waits until all is done. The first failure since the last call; what came after it was skipped.
  Status Synchronize();

 private:
  void Work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<Status()>> work_;
  bool busy_ = false;
  bool stop_ = false;
  Status status_;
  std::minstd_rand random_;
  std::thread thread_;
};

}  // namespace graft::fake_device
