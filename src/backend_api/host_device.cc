#include "backend_api/host_device.h"

#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

Status HostDevice::Copy(const CopyRegion& region, void*) {
  auto* target = static_cast<std::byte*>(region.target);
  const auto* source = static_cast<const std::byte*>(region.source);
  if (region.row_bytes == 0) return OkStatus();
  for (int64_t row = 0; row < region.rows; ++row) {
    std::memcpy(target + row * region.target_stride, source + row * region.source_stride,
                region.row_bytes);
  }
  return OkStatus();
}

size_t HostDevice::cache_bytes() const {
  const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

void HostDevice::Evict([[maybe_unused]] std::span<const std::byte> memory) {
#if defined(__x86_64__)
  for (size_t i = 0; i < memory.size(); i += kBufferAlignment) _mm_clflush(&memory[i]);
  _mm_mfence();
#endif
}

uint32_t HostDevice::SetThreadMode() const {
#if defined(__x86_64__)
  constexpr uint32_t kFlushToZero = 0x8000;
  constexpr uint32_t kDenormalsAreZero = 0x0040;
  const uint32_t previous = _mm_getcsr();
  const uint32_t mode = previous | kFlushToZero | kDenormalsAreZero;
  // Writing the register stalls the core for longer than a short step computes.
  if (mode != previous) _mm_setcsr(mode);
  return previous;
#else
  return 0;
#endif
}

void HostDevice::RestoreThreadMode([[maybe_unused]] uint32_t previous) const {
#if defined(__x86_64__)
  // Flags of what has happened in between are no mode.
  constexpr uint32_t kFlags = 0x003f;
  if (((_mm_getcsr() ^ previous) & ~kFlags) != 0) _mm_setcsr(previous);
#endif
}

}  // namespace graft
