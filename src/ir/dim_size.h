// How large an expression is, and how large one is written. Shapes of models have a few terms, but
// products and nested functions multiply. A module holds no larger ones: parts of what grows beyond
// become symbols of their own (Module::Shorten).
#pragma once

#include "ir/dim.h"

namespace graft::ir {

inline constexpr int64_t kMaxDimSize = 256;
// Of what is computed with on the way: what outside bytes describe must not grow without end.
inline constexpr int64_t kMaxComputedDimSize = 65536;

// Symbols and functions in the expression, each counted as often as it is written.
int64_t ExpressionSize(const Dim& dim);
inline bool IsOversized(const Dim& dim) { return ExpressionSize(dim) > kMaxDimSize; }

}  // namespace graft::ir
