// Integer values that shape arithmetic makes, kept as expressions over the symbols.
#pragma once

#include <vector>

#include "ir/module.h"

namespace graft::ir {

// Whether a value can be known contents: expressions cut constants beyond ±2^62.
bool IsHeld(const Dim& dim);

// Fills in Value::contents of a node's inferred results where the operands' contents decide every
// element. Shape, StridedSlice, Mul, Pack, Reshape of a model become expressions this way instead
// of steps that run.
void InferContents(const Module& module, const Node& node, std::vector<Value>& results);

}  // namespace graft::ir
