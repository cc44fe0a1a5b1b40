// Nodes that only hand on their first operand go.
#include <algorithm>

#include "passes/expression.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

bool All(const auto& values, int64_t wanted) {
  return std::ranges::all_of(values, [&](const auto& v) { return v == wanted; });
}

// What the shapes do not tell: whether a node whose result has its first operand's shape and dtype
// hands it on. The default is no; each op that can be an identity has an overload.
struct HandsOn {
  bool operator()(const auto&) const { return false; }
  bool operator()(const ir::ReshapeAttributes&) const { return true; }
  bool operator()(const ir::BroadcastAttributes&) const { return true; }
  bool operator()(const ir::TileAttributes& a) const { return All(a.multiples, 1); }
  bool operator()(const ir::TransposeAttributes& a) const {
    return std::ranges::is_sorted(a.permutation);
  }
  bool operator()(const ir::PadAttributes& a) const { return All(a.before, 0) && All(a.after, 0); }
  bool operator()(const ir::SliceAttributes& a) const {
    return All(a.begin, 0) && All(a.strides, 1);
  }
  bool operator()(const ir::ReduceAttributes& a) const {
    return a.axes.empty() && a.kind != ir::ReduceKind::kAll && a.kind != ir::ReduceKind::kAny;
  }
  bool operator()(const ir::PoolAttributes& a) const {
    return All(a.window, 1) && All(a.strides, 1) && All(a.pads_before, 0) && All(a.pads_after, 0);
  }
  bool operator()(const ir::ResizeAttributes&) const { return true; }
  bool operator()(const ir::DepthToSpaceAttributes& a) const { return a.block == 1; }
  bool operator()(const ir::PointwiseAttributes& a) const {
    // Casts to the dtype that the operand has.
    return a.program.inputs == 1 &&
           std::ranges::all_of(a.program.instructions, [&](const PointwiseInstruction& in) {
             return in.op == PointwiseOp::kCast && in.dtype == a.program.instructions.back().dtype;
           });
  }
};

bool IsIdentity(const ir::Module& module, const ir::Node& node) {
  if (node.inputs.empty() || node.outputs.size() != 1) return false;
  const ir::Value& operand = module.value(node.inputs[0]);
  const ir::Value& result = module.value(node.outputs[0]);
  if (!operand.has_shape || operand.dtype != result.dtype || operand.shape != result.shape) {
    return false;
  }
  if (node.get<ir::ConcatAttributes>()) return node.inputs.size() == 1;
  return std::visit(HandsOn(), node.attributes);
}

}  // namespace

Result<bool> RemoveIdentities(ir::Module& module, PassContext&) {
  auto is_output = [&](ir::ValueId id) {
    return std::ranges::find(module.outputs, id) != module.outputs.end();
  };
  bool changed = false;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id) || !IsIdentity(module, module.node(id))) continue;
    const ir::ValueId operand = module.node(id).inputs[0];
    // Every output of the module has a buffer of its own, which a node writes.
    const bool writes_output = is_output(module.node(id).outputs[0]);
    if (writes_output && (module.value(operand).producer < 0 || is_output(operand))) continue;
    if (writes_output) module.value(operand).name = module.value(module.node(id).outputs[0]).name;
    ReplaceNodeByValue(module, id, operand);
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
