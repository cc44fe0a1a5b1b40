#include "backend_api/host_device.h"

#include <cstdlib>
#include <cstring>

#include "base/aligned_buffer.h"

namespace graft {

Result<void*> HostDevice::Allocate(size_t bytes) {
  void* memory = AllocateAligned(bytes, Pages::kHuge);
  if (memory == nullptr) return ResourceExhaustedError("no memory for {} bytes", bytes);
  return memory;
}

void HostDevice::Free(void* memory) { std::free(memory); }

Status HostDevice::CopyToDevice(void* target, const void* source, size_t bytes, void*) {
  std::memcpy(target, source, bytes);
  return OkStatus();
}

Status HostDevice::CopyToHost(void* target, const void* source, size_t bytes, void*) {
  std::memcpy(target, source, bytes);
  return OkStatus();
}

}  // namespace graft
