// What a precision mode permits, and who can do it.
#pragma once

#include <string_view>

#include "backend_api/backend.h"

namespace graft::convert {

enum class Precision : uint8_t {
  kFp32,
  kFp16,  // weights, and on some backends values, may be stored as halves; sums are f32
  kInt8,  // products whose operands have quantisation ranges are computed on 8-bit integers
};

// TF-TRT's precision modes, in either case. kUnsupported for one without engines.
Result<Precision> ParsePrecision(std::string_view mode);
std::string_view Name(Precision precision);  // "FP16"

// Whether products of halves are computed there, and values between nodes are halves with FP16.
Result<bool> MultipliesHalves(const Backend& backend);

// kUnsupported, with its reason, where the backend has no tactics for it.
Status CheckPrecision(Precision precision, const Backend& backend);

}  // namespace graft::convert
