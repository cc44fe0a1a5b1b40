#pragma once

#include "import/node_context.h"

namespace graft::importer {

Outcome ImportInstruction(NodeContext& ctx, PointwiseOp op);

// Ops that are one instruction over their operands, broadcast by NumPy's rule.
template <PointwiseOp op>
Outcome ImportInstruction(NodeContext& ctx) {
  return ImportInstruction(ctx, op);
}

// The activations that TensorFlow's remapper fuses into other ops, by its names for them:
// "Relu", "LeakyRelu" (with `alpha`), … What is not an activation is refused.
Accepted<ir::ValueId> EmitActivation(NodeContext& ctx, ir::ValueId x, std::string_view name,
                                     float alpha);

}  // namespace graft::importer
