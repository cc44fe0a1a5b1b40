// Tensors in the fake device's memory, as a caller of an engine has them.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "fake_device/fake_device_backend.h"
#include "runtime/context.h"

namespace graft::fake_device {

class DeviceTensor {
 public:
  explicit DeviceTensor(const Tensor& tensor) : DeviceTensor(tensor.dtype(), tensor.dims()) {
    Check(CopyBytes(TheFakeDevice(), memory_, MemorySpace::kDevice, tensor.raw(),
                    MemorySpace::kHost, bytes(), nullptr));
  }
  DeviceTensor(DType dtype, Dims dims)
      : dtype_(dtype), dims_(std::move(dims)), memory_(*TheFakeDevice().Allocate(bytes())) {}
  ~DeviceTensor() { TheFakeDevice().Free(memory_); }
  DeviceTensor(DeviceTensor&& other) noexcept
      : dtype_(other.dtype_),
        dims_(std::move(other.dims_)),
        memory_(std::exchange(other.memory_, nullptr)) {}
  DeviceTensor& operator=(DeviceTensor&&) = delete;

  void* data() const { return memory_; }
  TensorView view() const { return {dtype_, dims_, memory_, MemorySpace::kDevice}; }
  Tensor Read() const {
    Tensor tensor = *Tensor::Allocate(dtype_, dims_);
    Check(CopyBytes(TheFakeDevice(), tensor.mutable_raw(), MemorySpace::kHost, memory_,
                    MemorySpace::kDevice, bytes(), nullptr));
    return tensor;
  }

 private:
  static void Check(const Status& status) { GRAFT_CHECK(status.ok(), "{}", status.message()); }
  size_t bytes() const { return static_cast<size_t>(CountElements(dims_)) * SizeOf(dtype_); }

  DType dtype_;
  Dims dims_;
  void* memory_;
};

// An OutputAllocator that gives memory of the space, and keeps what a run writes there.
class Outputs {
 public:
  Outputs(size_t count, MemorySpace space) : space_(space), on_device_(count), on_host_(count) {}

  Result<OutputMemory> operator()(const OutputRequest& request) {
    GRAFT_CHECK(request.space == MemorySpace::kDevice);
    Dims dims(request.dims.begin(), request.dims.end());
    if (space_ == MemorySpace::kDevice) {
      auto& tensor = on_device_[request.output];
      tensor = std::make_shared<DeviceTensor>(request.dtype, std::move(dims));
      return OutputMemory{tensor->data(), space_};
    }
    Tensor& tensor = on_host_[request.output];
    GRAFT_ASSIGN_OR_RETURN(tensor, Tensor::Allocate(request.dtype, std::move(dims)));
    return OutputMemory{tensor.mutable_raw(), space_};
  }
  std::vector<Tensor> Read() const {
    if (space_ == MemorySpace::kHost) return on_host_;
    std::vector<Tensor> tensors;
    for (const auto& tensor : on_device_) tensors.push_back(tensor->Read());
    return tensors;
  }

 private:
  MemorySpace space_;
  std::vector<std::shared_ptr<DeviceTensor>> on_device_;
  std::vector<Tensor> on_host_;
};

}  // namespace graft::fake_device
