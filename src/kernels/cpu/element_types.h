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
  bool seven_bits = false;  // the input's elements are in [0, 127]
  bool operator==(const ElementTypes&) const = default;
};

// What tables of kernels can say of their input: a dtype, or kInt7, the half of kInt8 that is not
// negative.
struct KernelInput {
  DType dtype;
  bool seven_bits = false;
};
namespace kernel_input {
inline constexpr KernelInput kFloat32{DType::kFloat32};
inline constexpr KernelInput kInt8{DType::kInt8};
inline constexpr KernelInput kUint8{DType::kUint8};
inline constexpr KernelInput kInt7{DType::kInt8, true};
}  // namespace kernel_input
constexpr ElementTypes MakeTypes(KernelInput input, DType filter, DType accumulator) {
  return {input.dtype, filter, accumulator, input.seven_bits};
}

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
