// What a node costs at the least: arithmetic and memory of the direct algorithm, whatever a tactic
// does.
#pragma once

#include "backend_api/backend.h"

namespace graft {

// Floating-point operations; a multiply-add counts two.
double Flops(const BoundNode& node);

// Bytes of operands, constants among them, and results: each is read or written once. A slice of a
// wider value counts its own elements; of an operand in which indices choose, all counts.
double BytesMoved(const BoundNode& node);

}  // namespace graft
