// Where bytes lie: who may read and write them through a plain pointer.
#pragma once

#include <cstdint>

namespace graft {

// kDevice is the memory of the backend's device. Where the host reads and writes that too
// (Device::host_accessible), the two are the same.
enum class MemorySpace : uint8_t { kHost, kDevice };

}  // namespace graft
