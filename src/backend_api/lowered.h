// Ops that no backend has to compute as such: what they compute as nodes of other ops.
#pragma once

#include "ir/module.h"

namespace graft {

// quantize, dequantize and fake_quantize become element-wise programs.
bool CanLower(const ir::Node& node);

// Appends what the node computes, bit for bit, and gives its result.
Result<ir::ValueId> EmitLowered(ir::Module& module, const ir::Node& node);

}  // namespace graft
