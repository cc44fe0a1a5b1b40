#include "fake_device/fake_memory.h"

#include <sys/mman.h>

namespace graft::fake_device {
namespace {

// Address space is free; pages come with use. The thread sanitizer keeps most of it for itself.
#if defined(__SANITIZE_THREAD__)
constexpr size_t kWindow = size_t{1} << 36;
#else
constexpr size_t kWindow = size_t{1} << 40;
#endif
constexpr size_t kPage = 4096;

std::byte* Reserve() {
  void* address =
      mmap(nullptr, kWindow, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  GRAFT_CHECK(address != MAP_FAILED, "no address space for the fake device");
  return static_cast<std::byte*>(address);
}

size_t Pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

Memory::Memory() : device_(Reserve()), backing_(Reserve()) {}

Memory::~Memory() {
  munmap(device_, kWindow);
  munmap(backing_, kWindow);
}

Result<void*> Memory::Allocate(size_t bytes) {
  std::lock_guard lock(mutex_);
  if (fail_after_ >= 0 && fail_after_-- == 0)
    return ResourceExhaustedError("fake device: this allocation was to fail");
  // A page between two allocations stays without access: running over the end faults.
  const size_t pages = Pages(bytes);
  if (bytes > kWindow || next_ + pages + kPage > kWindow)
    return ResourceExhaustedError("fake device: no memory for {} bytes", bytes);
  if (pages > 0 && mprotect(backing_ + next_, pages, PROT_READ | PROT_WRITE) != 0)
    return ResourceExhaustedError("fake device: the system gives no {} bytes", bytes);
  std::byte* address = device_ + next_;
  next_ += pages + kPage;
  allocations_[address] = bytes;
  return address;
}

void Memory::Free(void* address) {
  if (address == nullptr) return;
  std::lock_guard lock(mutex_);
  const auto found = allocations_.find(static_cast<std::byte*>(address));
  GRAFT_CHECK(found != allocations_.end(), "fake device: freed what was not allocated");
  if (const size_t pages = Pages(found->second); pages > 0) {
    std::byte* backing = backing_ + (found->first - device_);
    madvise(backing, pages, MADV_DONTNEED);
    mprotect(backing, pages, PROT_NONE);
  }
  allocations_.erase(found);
}

void Memory::FailAllocationAfter(int count) {
  std::lock_guard lock(mutex_);
  fail_after_ = count;
}

Result<std::byte*> Memory::Translate(const void* address, size_t bytes) const {
  std::lock_guard lock(mutex_);
  const auto* wanted = static_cast<const std::byte*>(address);
  auto found = allocations_.upper_bound(wanted);
  if (found != allocations_.begin()) {
    --found;
    const auto offset = static_cast<size_t>(wanted - found->first);
    if (offset <= found->second && bytes <= found->second - offset)
      return backing_ + (wanted - device_);
  }
  return InvalidArgumentError("fake device: {} bytes at {} are not the device's", bytes,
                              fmt::ptr(address));
}

bool Memory::Owns(const void* address) const {
  const auto* byte = static_cast<const std::byte*>(address);
  return byte >= device_ && byte < device_ + kWindow;
}

size_t Memory::living_allocations() const {
  std::lock_guard lock(mutex_);
  return allocations_.size();
}

}  // namespace graft::fake_device
