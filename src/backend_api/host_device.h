// The CPU as a Device: plain memory, no queue.
#pragma once

#include "backend_api/backend.h"

namespace graft {

class HostDevice : public Device {
 public:
  Result<void*> Allocate(size_t bytes) override;
  void Free(void* memory) override;
  Result<void*> CreateStream() override { return nullptr; }
  void DestroyStream(void*) override {}
  Status Copy(const CopyRegion& region, void* stream) override;
  Status Synchronize(void*) override { return OkStatus(); }
  bool host_accessible() const override { return true; }
  size_t cache_bytes() const override;  // of the second level, which a core has for itself
  void Evict(std::span<const std::byte> memory) override;
  uint32_t SetThreadMode() const override;
  void RestoreThreadMode(uint32_t previous) const override;
};

}  // namespace graft
