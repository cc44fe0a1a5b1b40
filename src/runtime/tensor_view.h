// A tensor as a caller holds it: borrowed, in host memory.
#pragma once

#include <span>

#include "base/tensor.h"

namespace graft {

struct TensorView {
  DType dtype = DType::kInvalid;
  std::span<const int64_t> dims;
  const void* data = nullptr;
};
inline TensorView ViewOf(const Tensor& t) { return {t.dtype(), t.dims(), t.raw()}; }

}  // namespace graft
