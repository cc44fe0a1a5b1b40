// The element types of a dense kernel: columns of the kernel tables, and what its bytes are read
// as.
#pragma once

#include "base/dtype.h"

namespace graft::cpu {

// `filter` is how weights are stored when they are packed, `accumulator` what sums are formed in.
// The result's type is no column: the epilogue turns sums into it.
struct ElementTypes {
  DType input = DType::kFloat32;
  DType filter = DType::kFloat32;
  DType accumulator = DType::kFloat32;
  bool operator==(const ElementTypes&) const = default;
};

// Bytes as elements.
template <class T>
const T* As(const void* bytes) {
  return static_cast<const T*>(bytes);
}
template <class T>
T* As(void* bytes) {
  return static_cast<T*>(bytes);
}

}  // namespace graft::cpu
