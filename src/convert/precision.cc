#include "convert/precision.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "passes/half_product.h"

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

namespace {

// Why the backend does not multiply numbers of that dtype by weights that are stored as halves.
Result<std::optional<Refusal>> RefusesHalves(const Backend& backend, DType dtype) {
  GRAFT_ASSIGN_OR_RETURN(const passes::HalfProduct product, passes::MakeHalfProduct(dtype));
  return backend.SupportsAsIs(product.module, product.node());
}

}  // namespace

Result<bool> MultipliesHalves(const Backend& backend) {
  GRAFT_ASSIGN_OR_RETURN(const std::optional<Refusal> refusal,
                         RefusesHalves(backend, DType::kFloat16));
  return !refusal;
}

Status CheckPrecision(Precision precision, const Backend& backend) {
  // Integers stay floats where a backend has no products of them.
  if (precision != Precision::kFp16) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::optional<Refusal> halves,
                         RefusesHalves(backend, DType::kFloat16));
  GRAFT_ASSIGN_OR_RETURN(const std::optional<Refusal> weights,
                         RefusesHalves(backend, DType::kFloat32));
  if (!halves || !weights) return OkStatus();
  return UnsupportedError(
      "precision mode '{}' has no engine on {} in this version of Graft; use FP32 ({})",
      Name(precision), backend.name(), weights->reason);
}

}  // namespace graft::convert
