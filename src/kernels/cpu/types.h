// From a dtype to its C++ type.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace graft::cpu {

// f(T()) for the dtype's T; a value-initialised result for dtypes that have no C++ type here (f16,
// bf16 and what an engine does not hold).
template <class F>
auto WithType(DType dtype, F&& f) -> decltype(f(float())) {
  switch (dtype) {
    case DType::kFloat32:
      return f(float());
    case DType::kFloat64:
      return f(double());
    case DType::kInt8:
      return f(int8_t());
    case DType::kInt16:
      return f(int16_t());
    case DType::kInt32:
      return f(int32_t());
    case DType::kInt64:
      return f(int64_t());
    case DType::kUint8:
      return f(uint8_t());
    case DType::kUint16:
      return f(uint16_t());
    case DType::kUint32:
      return f(uint32_t());
    case DType::kUint64:
      return f(uint64_t());
    case DType::kBool:
      return f(bool());
    default:
      return {};
  }
}

}  // namespace graft::cpu
