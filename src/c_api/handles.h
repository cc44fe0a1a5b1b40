// What the C API's opaque types are, and how a failure leaves it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "graft/c_api.h"
#include "runtime/context.h"
#include "tf/attr_value.h"

struct graft_status {
  graft::Status status;
};

struct graft_bytes {
  std::string bytes;
};

struct graft_engine {
  std::shared_ptr<const graft::Engine> engine;
  std::vector<std::vector<int64_t>> dims;  // that inputs and outputs point to
  std::vector<graft_binding> inputs;
  std::vector<graft_binding> outputs;
};

namespace graft {

// The functions of graft_context_options.
class CallerAllocator final : public ArenaAllocator {
 public:
  explicit CallerAllocator(const graft_context_options& options) : options_(options) {}
  Result<void*> Allocate(size_t bytes, void* stream) override {
    void* memory = options_.allocate(options_.allocator_state, bytes, stream);
    if (!memory) return ResourceExhaustedError("the caller has no memory for {} bytes", bytes);
    return memory;
  }
  void Free(void* memory, void* stream) override {
    options_.deallocate(options_.allocator_state, memory, stream);
  }

 private:
  graft_context_options options_;
};

// The functions of graft_observer.
class CallerObserver final : public RunObserver {
 public:
  explicit CallerObserver(const graft_observer& observer) : observer_(observer) {}
  void Begin(RunPart part, std::string_view name, std::string_view detail) override {
    observer_.begin(observer_.state, static_cast<int32_t>(part), std::string(name).c_str(),
                    std::string(detail).c_str());
  }
  void End() override { observer_.end(observer_.state); }

 private:
  graft_observer observer_;
};

}  // namespace graft

struct graft_context {
  std::unique_ptr<graft::ArenaAllocator> allocator;  // these outlive the context
  std::unique_ptr<graft::RunObserver> observer;
  std::unique_ptr<graft::Context> context;
  std::vector<graft::TensorView> inputs;  // kept, so that a call allocates nothing
};

namespace graft {

// A struct as far as the caller's version of it goes; the rest keeps its default. A size that holds
// nothing is one that was not filled in.
template <class T>
Result<T> ReadOptions(const T* options, T defaults) {
  if (!options) return defaults;
  if (options->struct_size <= sizeof(options->struct_size))
    return InvalidArgumentError("an option's struct_size is {}", options->struct_size);
  std::memcpy(&defaults, options, std::min(options->struct_size, sizeof(T)));
  return defaults;
}

// A dtype by its number.
inline Result<DType> ReadDType(int32_t number) {
  Result<DType> dtype = tf::ParseDTypeNumber(number);
  if (!dtype.ok()) return InvalidArgumentError("there is no dtype {}", number);
  return dtype;
}

inline Result<std::span<const int64_t>> ReadDims(const int64_t* dims, int32_t rank) {
  if (rank < 0) return InvalidArgumentError("a rank of {}", rank);
  return std::span<const int64_t>(dims, static_cast<size_t>(rank));
}

// Of an array whose elements have the caller's size.
inline Result<graft_tensor> TensorAt(const graft_tensor* tensors, int32_t index) {
  const size_t size = tensors->struct_size;
  if (size < offsetof(graft_tensor, space))
    return InvalidArgumentError("graft_tensor: struct_size is {}", size);
  const auto* at = reinterpret_cast<const std::byte*>(tensors) + size * static_cast<size_t>(index);
  return ReadOptions<graft_tensor>(reinterpret_cast<const graft_tensor*>(at), GRAFT_TENSOR_INIT);
}

inline graft_status* ToC(Status status) {
  return status.ok() ? nullptr : new graft_status{std::move(status)};
}

// Runs `body`, which returns a Status: nothing is thrown through the border.
template <class F>
graft_status* Guarded(F&& body) {
  try {
    return ToC(body());
  } catch (const std::bad_alloc&) {
    return ToC(ResourceExhaustedError("out of memory"));
  } catch (const std::exception& e) {
    return ToC(InternalError("{}", e.what()));
  }
}

}  // namespace graft
