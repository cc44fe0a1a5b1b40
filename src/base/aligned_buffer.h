// Owned bytes at a 64-byte boundary (a cache line and an AVX-512 vector), uninitialised.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace graft {

inline constexpr size_t kBufferAlignment = 64;

inline size_t AlignUp(size_t bytes, size_t alignment = kBufferAlignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// kHuge: for large memory that every run goes through, such as packed weights, where each page of
// 4 KiB costs a walk of the page table. What is touched in part only should stay with kSmall.
enum class Pages { kSmall, kHuge };

// Memory for std::free; nullptr when there is none.
void* AllocateAligned(size_t bytes, Pages pages);

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // size() is 0 when the memory could not be had: callers check it and return kResourceExhausted.
  explicit AlignedBuffer(size_t size, Pages pages = Pages::kSmall)
      : data_(static_cast<std::byte*>(AllocateAligned(size, pages))), size_(data_ ? size : 0) {}

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

}  // namespace graft
