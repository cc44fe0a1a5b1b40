#include "passes/pointwise_fusion.h"

#include <algorithm>

#include "passes/rewrite.h"

namespace graft::passes {
namespace {

// A node and what it took in.
struct Group {
  Expression expression;
  std::vector<ir::NodeId> members;  // the node itself first
};

// The operand whose producer can join next; of several the latest, so that a diamond closes before
// what lies above it joins. -1: none.
int NextOperand(const ir::Module& module, const ir::Uses& uses, const Group& group) {
  const ir::Node& node = module.node(group.members[0]);
  const ir::Value& result = module.value(node.outputs[0]);
  auto is_member = [&](ir::NodeId id) {
    return std::ranges::find(group.members, id) != group.members.end();
  };
  int best = -1;
  for (int i = 0; i < static_cast<int>(group.expression.operands.size()); ++i) {
    const ir::ValueId v = group.expression.operands[i];
    const ir::Value& value = module.value(v);
    if (value.producer < 0 || !module.node(value.producer).get<ir::PointwiseAttributes>()) continue;
    if (uses.is_output(v) || !std::ranges::all_of(uses.of(v), is_member)) continue;
    if (value.shape != result.shape) continue;
    if (best < 0 || value.producer > module.value(group.expression.operands[best]).producer) {
      best = i;
    }
  }
  return best;
}

}  // namespace

Result<bool> JoinPointwise(ir::Module& module,
                           const std::function<bool(const Expression&)>& accept) {
  const ir::Uses uses(module);
  bool changed = false;
  // Backwards: the last node of a group takes in all of it.
  for (ir::NodeId id = module.node_count() - 1; id >= 0; --id) {
    if (module.removed(id) || !module.node(id).get<ir::PointwiseAttributes>()) continue;
    Group group = {Tidy(ExpressionOf(module.node(id))), {id}};
    Group accepted = group;
    for (int next; (next = NextOperand(module, uses, group)) >= 0;) {
      const ir::NodeId producer = module.value(group.expression.operands[next]).producer;
      group.expression = Inline(group.expression, next, ExpressionOf(module.node(producer)));
      group.members.push_back(producer);
      if (!Fits(group.expression)) break;
      if (accept(group.expression) &&
          Gives(module, ir::PointwiseAttributes{group.expression.program},
                group.expression.operands, module.value(module.node(id).outputs[0]))) {
        accepted = group;
      }
    }
    if (accepted.members.size() == 1) continue;
    GRAFT_ASSIGN_OR_RETURN(
        const ir::NodeId joined,
        ReplaceNode(module, id, ir::PointwiseAttributes{accepted.expression.program},
                    accepted.expression.operands));
    for (size_t i = 1; i < accepted.members.size(); ++i) {
      Cover(module, joined, module.node(accepted.members[i]));
      module.RemoveNode(accepted.members[i]);
    }
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
