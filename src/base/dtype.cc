#include "base/dtype.h"

namespace graft {
namespace {

struct DTypeRow {
  DType dtype;
  size_t size;
  std::string_view name;
  std::string_view tensorflow;
};
constexpr DTypeRow kDTypes[] = {
    {DType::kInvalid, 0, "invalid", "invalid"},
    {DType::kFloat32, 4, "f32", "float"},
    {DType::kFloat64, 8, "f64", "double"},
    {DType::kInt32, 4, "i32", "int32"},
    {DType::kUint8, 1, "u8", "uint8"},
    {DType::kInt16, 2, "i16", "int16"},
    {DType::kInt8, 1, "i8", "int8"},
    {DType::kString, 0, "string", "string"},
    {DType::kComplex64, 8, "c64", "complex64"},
    {DType::kInt64, 8, "i64", "int64"},
    {DType::kBool, 1, "bool", "bool"},
    {DType::kQint8, 1, "qint8", "qint8"},
    {DType::kQuint8, 1, "quint8", "quint8"},
    {DType::kQint32, 4, "qint32", "qint32"},
    {DType::kBFloat16, 2, "bf16", "bfloat16"},
    {DType::kQint16, 2, "qint16", "qint16"},
    {DType::kQuint16, 2, "quint16", "quint16"},
    {DType::kUint16, 2, "u16", "uint16"},
    {DType::kComplex128, 16, "c128", "complex128"},
    {DType::kFloat16, 2, "f16", "half"},
    {DType::kResource, 0, "resource", "resource"},
    {DType::kVariant, 0, "variant", "variant"},
    {DType::kUint32, 4, "u32", "uint32"},
    {DType::kUint64, 8, "u64", "uint64"},
};

const DTypeRow& Find(DType dtype) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype == dtype) return row;
  }
  return kDTypes[0];
}

}  // namespace

size_t SizeOf(DType dtype) { return Find(dtype).size; }
std::string_view Name(DType dtype) { return Find(dtype).name; }
std::string_view TensorFlowName(DType dtype) { return Find(dtype).tensorflow; }

DType StorageOf(DType dtype) {
  switch (dtype) {
    case DType::kQint8:
      return DType::kInt8;
    case DType::kQuint8:
      return DType::kUint8;
    case DType::kQint16:
      return DType::kInt16;
    case DType::kQuint16:
      return DType::kUint16;
    case DType::kQint32:
      return DType::kInt32;
    default:
      return dtype;
  }
}

std::optional<DType> ParseDType(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype != DType::kInvalid && (row.name == name || row.tensorflow == name))
      return row.dtype;
  }
  return std::nullopt;
}

}  // namespace graft
