// Arrays on a device: what other libraries hand over by __dlpack__ or __cuda_array_interface__, and
// what graft.Engine gives them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common.h"

namespace graft_python {

// DLPack's structures (dmlc/dlpack, dlpack.h, before versions had numbers).
struct DlDevice {
  int32_t type;
  int32_t id;
};
struct DlDType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct DlTensor {
  void* data;
  DlDevice device;
  int32_t rank;
  DlDType dtype;
  int64_t* dims;
  int64_t* strides;  // in elements; null: dense rows
  uint64_t byte_offset;
};
struct DlManagedTensor {
  DlTensor tensor;
  void* state;
  void (*release)(DlManagedTensor*);
};
inline constexpr int32_t kDlCuda = 2;

// The number of the dtype that a quantized one is stored as; others are their own.
int32_t StorageOf(int32_t dtype);

// A stream as callers name it: an integer, or an object of torch, cupy or with __cuda_stream__. 0,
// CUDA's default stream, is the handle 1 among handles.
void* StreamOf(nb::handle stream);
inline void* const kDefaultStream = reinterpret_cast<void*>(1);

// A caller's array on a device, for one run.
struct ForeignArray {
  nb::object owner;                 // keeps the memory
  DlDevice device = {kDlCuda, -1};  // id -1: it does not say
  int32_t dtype = 0;                // TensorFlow's number; 0: one that no engine takes, which is
  std::string other_dtype;
  std::vector<int64_t> dims;
  bool dense = true;
  void* data = nullptr;
};
// Whether the object is an array on a CUDA device.
bool IsOnDevice(nb::handle object);
// Asks for it as work on `stream` is to see it.
ForeignArray ImportArray(nb::handle object, const graft_engine* engine, void* stream);

// Memory of the engine's device, given back on the last stream that was told of it.
class DeviceMemory {
 public:
  DeviceMemory(std::shared_ptr<graft_engine> engine, size_t bytes, void* stream);  // throws
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  void* data() const { return data_; }
  void* stream() const { return stream_; }
  const graft_engine* engine() const { return engine_.get(); }
  // Work queued on the stream from now on sees the memory.
  void MoveTo(void* stream);

 private:
  std::shared_ptr<graft_engine> engine_;
  void* data_ = nullptr;
  void* stream_;
};

// graft.DeviceArray.
class DeviceArray {
 public:
  DeviceArray(std::shared_ptr<DeviceMemory> memory, int32_t dtype, std::vector<int64_t> dims,
              size_t bytes)
      : memory_(std::move(memory)), dtype_(dtype), dims_(std::move(dims)), bytes_(bytes) {}
  nb::tuple shape() const;
  nb::object dtype() const { return NumpyDType(dtype_); }
  size_t bytes() const { return bytes_; }
  std::string device() const;
  nb::tuple DlPackDevice() const;
  nb::object DlPack(nb::handle stream) const;
  nb::dict CudaArrayInterface() const;
  nb::object ToNumpy() const;  // waits

 private:
  std::shared_ptr<DeviceMemory> memory_;
  int32_t dtype_;
  std::vector<int64_t> dims_;
  size_t bytes_;
};

}  // namespace graft_python
