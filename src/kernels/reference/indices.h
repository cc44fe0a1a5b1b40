// Operands whose elements choose elements of another operand.
#pragma once

#include <vector>

#include "kernels/reference/array.h"

namespace graft::reference {

// The whole numbers of an index operand, which is dense.
std::vector<int64_t> ReadIndices(const ConstArray& indices);

// Whether every index is in range: they come in tuples of `depth`, one for each of the first axes
// of `dims`.
Status CheckIndices(const ConstArray& indices, std::span<const int64_t> dims, int64_t depth);

}  // namespace graft::reference
