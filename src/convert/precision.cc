#include "convert/precision.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace graft::convert {

Result<Precision> ParsePrecision(std::string_view mode) {
  std::string upper(mode);
  std::ranges::transform(upper, upper.begin(), [](char c) {
    return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  for (const Precision precision : {Precision::kFp32, Precision::kFp16, Precision::kInt8}) {
    if (upper == Name(precision)) return precision;
  }
  return UnsupportedError("precision mode '{}' has no engine in this version of Graft; use FP32",
                          mode);
}

std::string_view Name(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return "FP32";
    case Precision::kFp16:
      return "FP16";
    case Precision::kInt8:
      return "INT8";
  }
  return "";
}

Status CheckPrecision(Precision precision, const Backend& backend) {
  // Integers stay floats where a backend has no products of them.
  if (precision != Precision::kFp16) return OkStatus();
  // The product of which most of a network is made.
  ir::Module module;
  const Dims square = {64, 64};
  const ir::ValueId x = module.AddInput("x", DType::kFloat16, ir::MakeShape(square));
  const ir::ValueId w = module.AddInput("w", DType::kFloat16, ir::MakeShape(square));
  ir::MatMulAttributes product;
  product.accumulator = DType::kFloat32;
  GRAFT_ASSIGN_OR_RETURN(const ir::NodeId id, module.AddNode(product, {x, w}, "product"));
  if (const std::optional<Refusal> refusal = backend.SupportsAsIs(module, module.node(id))) {
    return UnsupportedError(
        "precision mode '{}' has no engine on {} in this version of Graft; use FP32 ({})",
        Name(precision), backend.name(), refusal->reason);
  }
  return OkStatus();
}

}  // namespace graft::convert
