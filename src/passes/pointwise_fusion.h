// Joins element-wise nodes: what the passes over them share.
#pragma once

#include <functional>

#include "passes/expression.h"
#include "passes/pass.h"

namespace graft::passes {

// Each element-wise node takes in those of its operands' producers that are element-wise, of the
// same shape and read by nothing else, as far up as `accept` likes the joined expression (the last
// that it accepts is taken). Nothing is computed twice.
Result<bool> JoinPointwise(ir::Module& module,
                           const std::function<bool(const Expression&)>& accept);

}  // namespace graft::passes
