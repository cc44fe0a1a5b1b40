// Element-wise diamonds over a single value (swish is x · sigmoid(x)) become one node, so that the
// value has one reader, which can be the epilogue of the op that makes it. Element-wise nodes that
// join several values wait until epilogues have been fused.
#include <algorithm>

#include "passes/pointwise_fusion.h"

namespace graft::passes {

Result<bool> FuseActivations(ir::Module& module, PassContext&) {
  return JoinPointwise(module, [&](const Expression& e) {
    return std::ranges::count_if(e.operands,
                                 [&](ir::ValueId v) { return !module.value(v).constant; }) == 1;
  });
}

}  // namespace graft::passes
