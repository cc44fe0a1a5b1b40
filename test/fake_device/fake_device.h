// The fake device's memory, streams, events and recordings as a Device. Whatever a real device
// forbids is an error here: memory of the other space, and, while a thread records, everything that
// a recording cannot hold.
#pragma once

#include <atomic>

#include "backend_api/backend.h"
#include "fake_device/fake_memory.h"
#include "fake_device/fake_queue.h"

namespace graft::fake_device {

class FakeDevice final : public Device {
 public:
  // What was copied since the device was made, a pitched copy counted once.
  struct Copies {
    int64_t to_device = 0;
    int64_t to_host = 0;
    int64_t within = 0;
    bool operator==(const Copies&) const = default;
  };
  Copies copies() const { return {to_device_, to_host_, within_}; }
  // Recordings made, parts replaced and launches.
  struct Recordings {
    int64_t made = 0;
    int64_t updates = 0;
    int64_t launches = 0;
    bool operator==(const Recordings&) const = default;
  };
  Recordings recordings() const { return {made_, updates_, launches_}; }
  Memory& memory() { return memory_; }
  const Memory& memory() const { return memory_; }

  bool host_accessible() const override { return false; }
  Result<void*> Allocate(size_t bytes) override;
  void Free(void* address) override;
  Status FreeAsync(void* address, void* stream) override;
  Result<void*> CreateStream() override { return static_cast<void*>(new WorkQueue); }
  void DestroyStream(void* stream) override;
  Status Copy(const CopyRegion& region, void* stream) override;
  Status Synchronize(void* stream) override;
  Result<void*> CreateEvent() override { return static_cast<void*>(new Event); }
  void DestroyEvent(void* event) override { delete static_cast<Event*>(event); }
  Status Record(void* event, void* stream) override;
  Status Wait(void* stream, void* event) override;
  Result<bool> Done(void* event) override;
  Status SynchronizeEvent(void* event) override;
  bool records() const override { return true; }
  Status BeginRecording(void* stream) override;
  Status MarkPart(void* stream, std::span<const int> after) override;
  Result<std::unique_ptr<Recording>> EndRecording(void* stream) override;

 private:
  class FakeRecording;
  Result<std::byte*> Resolve(const void* address, MemorySpace space, size_t bytes) const;

  Memory memory_;
  std::atomic<int64_t> to_device_{0}, to_host_{0}, within_{0};
  std::atomic<int64_t> made_{0}, updates_{0}, launches_{0};
};

}  // namespace graft::fake_device
