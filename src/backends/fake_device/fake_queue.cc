#include "backends/fake_device/fake_queue.h"

#include <chrono>
#include <utility>

namespace graft::fake_device {

WorkQueue::WorkQueue() : thread_([this] { Work(); }) {}

WorkQueue::~WorkQueue() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void WorkQueue::Push(std::function<Status()> work) {
  {
    std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  changed_.notify_all();
}

Status WorkQueue::Synchronize() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return work_.empty() && !busy_; });
  return std::exchange(status_, OkStatus());
}

void WorkQueue::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !work_.empty(); });
    if (work_.empty()) return;
    const std::function<Status()> work = std::move(work_.front());
    work_.pop_front();
    busy_ = true;
    const bool skip = !status_.ok();
    // Now and then a step starts late: whoever does not wait for it sees old bytes.
    const auto delay = std::chrono::microseconds(random_() % 8 == 0 ? random_() % 50 : 0);
    lock.unlock();
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    Status status = skip ? OkStatus() : work();
    lock.lock();
    busy_ = false;
    if (status_.ok()) status_ = std::move(status);
    changed_.notify_all();
  }
}

}  // namespace graft::fake_device
