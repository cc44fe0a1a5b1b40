// A tensor as a caller holds it: borrowed, in the host's memory or in that of the engine's device.
#pragma once

#include <span>

#include "base/memory_space.h"
#include "base/tensor.h"

namespace graft {

// Without a dtype it is none: an input that is not fed.
struct TensorView {
  DType dtype = DType::kInvalid;
  std::span<const int64_t> dims;
  const void* data = nullptr;
  MemorySpace space = MemorySpace::kHost;
};
inline TensorView ViewOf(const Tensor& t) { return {t.dtype(), t.dims(), t.raw()}; }

}  // namespace graft
