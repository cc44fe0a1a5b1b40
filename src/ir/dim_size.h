// How large an expression is, and how large one may be. Shapes of models have a few terms, but
// products and nested functions multiply: what outside bytes describe must not grow without end.
#pragma once

#include "ir/dim.h"

namespace graft::ir {

inline constexpr int64_t kMaxDimSize = 256;

// Symbols and functions in the expression, each counted as often as it is written.
int64_t ExpressionSize(const Dim& dim);
inline bool IsOversized(const Dim& dim) { return ExpressionSize(dim) > kMaxDimSize; }

}  // namespace graft::ir
