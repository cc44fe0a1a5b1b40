// Element-wise work on the result of a convolution, matmul or transposed convolution becomes its
// epilogue, applied before the result is stored: bias, residual, activation, any program. The
// result has the dtype of the last of them: a cast is one like any other, where the backend can.
#include <algorithm>

#include "passes/expression.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

// Whether the element-wise node `id` can be the epilogue of the op that made its operand v. Nobody
// else reads v, so everything else that the node reads is computed without it: no cycle can come of
// it.
bool CanFuse(const ir::Module& module, const ir::Uses& uses, ir::NodeId id, ir::ValueId v) {
  const ir::Value& value = module.value(v);
  const ir::Value& result = module.value(module.node(id).outputs[0]);
  if (value.producer < 0 || !Epilogue(module.node(value.producer))) return false;
  return std::ranges::all_of(uses.of(v), [&](ir::NodeId reader) { return reader == id; }) &&
         !uses.is_output(v) && value.shape == result.shape;
}

// Whether the result of the element-wise node has another dtype than that of the op before it: not
// every backend has kernels that do this.
bool ChangesDType(const ir::Module& module, const ir::Node& op, ir::NodeId id) {
  return module.value(op.outputs[0]).dtype != module.value(module.node(id).outputs[0]).dtype;
}

}  // namespace

Result<bool> FuseEpilogue(ir::Module& module, PassContext& context) {
  const ir::Uses uses(module);
  const ir::ValueId known_values = module.value_count();
  const ir::NodeId nodes = module.node_count();
  bool changed = false;
  for (ir::NodeId id = 0; id < nodes; ++id) {
    if (module.removed(id) || !module.node(id).get<ir::PointwiseAttributes>()) continue;
    const Expression outer = Tidy(ExpressionOf(module.node(id)));
    // Of two convolutions that meet, the later one takes the other's result as its residual: that
    // is computed by then.
    int best = -1;
    for (int i = 0; i < static_cast<int>(outer.operands.size()); ++i) {
      const ir::ValueId v = outer.operands[i];
      // `uses` does not know what this sweep has made: the next one goes on from there.
      if (v >= known_values || !CanFuse(module, uses, id, v)) continue;
      if (best < 0 || module.value(v).producer > module.value(outer.operands[best]).producer) {
        best = i;
      }
    }
    if (best < 0) continue;
    const ir::Node op = module.node(module.value(outer.operands[best]).producer);
    const Expression fused = Inline(outer, best, ExpressionOf(op));
    if (!Fits(fused)) continue;
    ir::Attributes attributes = op.attributes;
    *MutableEpilogue(attributes) = fused.program;
    std::vector<ir::ValueId> inputs = WithEpilogueOperands(op.inputs, fused);
    if (ChangesDType(module, op, id) && context.supports) {
      ir::Node changed_type = op;
      changed_type.attributes = attributes;
      changed_type.inputs = inputs;
      changed_type.outputs = module.node(id).outputs;
      if (!context.supports(module, changed_type)) continue;
    }
    GRAFT_ASSIGN_OR_RETURN(
        const ir::NodeId replacement,
        ReplaceNode(module, id, std::move(attributes), std::move(inputs), op.name));
    Cover(module, replacement, op);
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
