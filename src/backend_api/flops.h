// The arithmetic of a node: floating-point operations of the direct algorithm (a multiply-add
// counts two), whatever a tactic does.
#pragma once

#include "backend_api/backend.h"

namespace graft {

double Flops(const BoundNode& node);

}  // namespace graft
