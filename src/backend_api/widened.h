// How a node on 16-bit floats runs where the backend has no kernel for them: in f32, between casts.
// Its operands and results keep their dtypes, so values are stored in 16 bits.
#pragma once

#include <vector>

#include "ir/module.h"

namespace graft {

// Whether the node has a widened form: its result, or an operand of the op itself (not its
// epilogue's), is f16 or bf16. Element-wise nodes have none, their programs cast by themselves.
bool CanWiden(const ir::Module& module, const ir::Node& node);

// Appends the node's widened form to the module and gives its results. 16-bit constants become f32
// ones. An epilogue stays one where it has room for the casts.
Result<std::vector<ir::ValueId>> EmitWidened(ir::Module& module, const ir::Node& node);

}  // namespace graft
