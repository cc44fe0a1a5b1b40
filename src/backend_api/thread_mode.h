// Threads in the mode in which a device's steps compute (Device::SetThreadMode), and back.
#pragma once

#include <memory>
#include <utility>

#include "backend_api/backend.h"

namespace graft {

// Sets the calling thread's mode and restores it.
class ScopedThreadMode {
 public:
  explicit ScopedThreadMode(const Device& device)
      : device_(device), previous_(device.SetThreadMode()) {}
  ~ScopedThreadMode() { device_.RestoreThreadMode(previous_); }
  ScopedThreadMode(const ScopedThreadMode&) = delete;
  ScopedThreadMode& operator=(const ScopedThreadMode&) = delete;

 private:
  const Device& device_;
  uint32_t previous_;
};

// An executor whose tasks run in the device's mode, on whatever thread.
class ThreadModeExecutor final : public Executor {
 public:
  ThreadModeExecutor(const Device& device, std::shared_ptr<Executor> executor)
      : device_(device), executor_(std::move(executor)) {}
  int width() const override { return executor_->width(); }
  void ParallelFor(int64_t count, FunctionRef<void(int64_t, int)> task) override {
    executor_->ParallelFor(count, [&](int64_t index, int worker) {
      const ScopedThreadMode mode(device_);
      task(index, worker);
    });
  }

 private:
  const Device& device_;
  std::shared_ptr<Executor> executor_;
};

}  // namespace graft
