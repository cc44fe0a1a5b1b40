#pragma once

#include <utility>

#include "backend_api/backend.h"

namespace graft {

// Device memory that frees itself.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : device_(other.device_),
        memory_(std::exchange(other.memory_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBuffer() {
    if (memory_) device_->Free(memory_);
  }
  static Result<DeviceBuffer> Of(Device& device, size_t bytes) {
    DeviceBuffer buffer;
    buffer.device_ = &device;
    GRAFT_ASSIGN_OR_RETURN(buffer.memory_, device.Allocate(bytes));
    buffer.bytes_ = bytes;
    return buffer;
  }
  void* get() const { return memory_; }
  size_t bytes() const { return bytes_; }

 private:
  Device* device_ = nullptr;
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace graft
