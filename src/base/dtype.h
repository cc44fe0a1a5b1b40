// Element types. The values are TensorFlow's DataType numbers, so they can be read from and written
// to its files as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace graft {

enum class DType : uint8_t {
  kInvalid = 0,
  kFloat32 = 1,
  kFloat64 = 2,
  kInt32 = 3,
  kUint8 = 4,
  kInt16 = 5,
  kInt8 = 6,
  kString = 7,
  kComplex64 = 8,
  kInt64 = 9,
  kBool = 10,
  kQint8 = 11,
  kQuint8 = 12,
  kQint32 = 13,
  kBFloat16 = 14,
  kQint16 = 15,
  kQuint16 = 16,
  kUint16 = 17,
  kComplex128 = 18,
  kFloat16 = 19,
  kResource = 20,
  kVariant = 21,
  kUint32 = 22,
  kUint64 = 23,
};

// Bytes of one element; 0 for types without a fixed size (string, resource, variant) and kInvalid.
size_t SizeOf(DType dtype);
// Short names of Graft's text forms: f32, f64, i32, u8, i16, i8, i64, bool, bf16, f16, …
std::string_view Name(DType dtype);
// TensorFlow's names: float, double, int32, uint8, half, …
std::string_view TensorFlowName(DType dtype);
std::optional<DType> ParseDType(std::string_view name);  // reads either name
inline bool IsFloating(DType d) {
  return d == DType::kFloat32 || d == DType::kFloat64 || d == DType::kFloat16 ||
         d == DType::kBFloat16;
}
inline bool IsInteger(DType d) {
  return d == DType::kInt8 || d == DType::kInt16 || d == DType::kInt32 || d == DType::kInt64 ||
         d == DType::kUint8 || d == DType::kUint16 || d == DType::kUint32 || d == DType::kUint64;
}
// Types an engine computes on.
inline bool IsNumeric(DType d) { return IsFloating(d) || IsInteger(d) || d == DType::kBool; }
// The integers that a quantized dtype is stored as; any other dtype itself.
DType StorageOf(DType dtype);
inline bool IsQuantized(DType d) { return StorageOf(d) != d; }
// Types an engine can hold in its buffers.
inline bool IsHeld(DType d) { return IsNumeric(StorageOf(d)); }

// The C++ type's DType: DTypeOf<float>() is kFloat32.
template <class T>
constexpr DType DTypeOf();
template <>
constexpr DType DTypeOf<float>() {
  return DType::kFloat32;
}
template <>
constexpr DType DTypeOf<double>() {
  return DType::kFloat64;
}
template <>
constexpr DType DTypeOf<int32_t>() {
  return DType::kInt32;
}
template <>
constexpr DType DTypeOf<int64_t>() {
  return DType::kInt64;
}
template <>
constexpr DType DTypeOf<int16_t>() {
  return DType::kInt16;
}
template <>
constexpr DType DTypeOf<int8_t>() {
  return DType::kInt8;
}
template <>
constexpr DType DTypeOf<uint8_t>() {
  return DType::kUint8;
}
template <>
constexpr DType DTypeOf<uint16_t>() {
  return DType::kUint16;
}
template <>
constexpr DType DTypeOf<uint32_t>() {
  return DType::kUint32;
}
template <>
constexpr DType DTypeOf<uint64_t>() {
  return DType::kUint64;
}
template <>
constexpr DType DTypeOf<bool>() {
  return DType::kBool;
}

}  // namespace graft
