// The memory of the fake device: addresses that fault when the host uses them, backed by memory a
// constant distance away that only the device's queue knows.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>

#include "base/status.h"

namespace graft::fake_device {

class Memory {
 public:
  Memory();
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Never the same address twice.
  Result<void*> Allocate(size_t bytes);
  void Free(void* address);
  // The allocation after the next `count` ones fails, once. For tests of what happens then.
  void FailAllocationAfter(int count);

  // Where the bytes of a device address really are; kInvalidArgument unless all `bytes` lie in one
  // living allocation.
  Result<std::byte*> Translate(const void* address, size_t bytes) const;
  // Whether the address is one of the device's, living or not.
  bool Owns(const void* address) const;
  size_t living_allocations() const;

 private:
  mutable std::mutex mutex_;
  std::byte* device_ = nullptr;   // the addresses that are given out: no access
  std::byte* backing_ = nullptr;  // the bytes behind them
  size_t next_ = 0;
  int fail_after_ = -1;
  std::map<const std::byte*, size_t> allocations_;  // device address, size
};

}  // namespace graft::fake_device
