// Reshapes move below element-wise nodes, so that these come next to the convolution or matmul
// whose result was reshaped, and merge when they meet. A squeeze and the expansion after it cancel.
#include <algorithm>

#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

const ir::Node* ReshapeBehind(const ir::Module& module, ir::ValueId v) {
  const ir::NodeId producer = module.value(v).producer;
  if (producer < 0 || !module.node(producer).get<ir::ReshapeAttributes>()) return nullptr;
  return &module.node(producer);
}

// A transpose that moves unit dimensions only is a reshape.
bool MovesNoData(const ir::Shape& shape, const ir::TransposeAttributes& transpose) {
  std::vector<int64_t> moved = transpose.permutation;
  std::erase_if(moved, [&](int64_t axis) { return shape[axis] == 1; });
  return std::ranges::is_sorted(moved);
}

// Whether the operand reads the same when the node's shape is reshaped: a scalar does, and so does
// a vector over the last axis where that stays.
bool IsIndifferent(const ir::Value& operand, bool same_last_axis) {
  if (std::ranges::all_of(operand.shape, [](const ir::Dim& d) { return d == 1; })) return true;
  return same_last_axis && std::ranges::all_of(operand.shape.begin(), operand.shape.end() - 1,
                                               [](const ir::Dim& d) { return d == 1; });
}

// The element-wise node `id` over reshaped values: over the values before, then one reshape.
Result<bool> SinkThroughPointwise(ir::Module& module, ir::NodeId id) {
  const ir::Node node = module.node(id);
  const ir::Value result = module.value(node.outputs[0]);
  std::optional<ir::Shape> source;
  std::vector<ir::ValueId> inputs = node.inputs;
  for (ir::ValueId& v : inputs) {
    const ir::Node* reshape = ReshapeBehind(module, v);
    if (reshape == nullptr || module.value(v).shape != result.shape) continue;
    const ir::Shape& before = module.value(reshape->inputs[0]).shape;
    if (source && *source != before) return false;
    source = before;
    v = reshape->inputs[0];
  }
  if (!source || source->empty() || result.shape.empty()) return false;
  const bool same_last_axis = source->back() == result.shape.back();
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] != node.inputs[i]) continue;
    const ir::Value operand = module.value(inputs[i]);
    if (!IsIndifferent(operand, same_last_axis)) return false;
    // Unit dimensions in front must not widen the result.
    if (operand.shape.size() <= 1) continue;
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId flat,
                           module.AddNode(ir::ReshapeAttributes{{operand.shape.back()}},
                                          {inputs[i]}, operand.name + "/flat"));
    inputs[i] = module.node(flat).outputs[0];
  }
  ir::Value wanted = result;
  wanted.shape = *source;
  if (!Gives(module, node.attributes, inputs, wanted)) return false;
  GRAFT_ASSIGN_OR_RETURN(const ir::NodeId moved,
                         module.AddNode(node.attributes, inputs, node.name));
  module.SetOrigin(moved, node.origin);
  module.value(module.node(moved).outputs[0]).name = result.name + "/before_reshape";
  GRAFT_RETURN_IF_ERROR(ReplaceNode(module, id, ir::ReshapeAttributes{result.shape},
                                    {module.node(moved).outputs[0]}, node.name + "/reshape")
                            .status());
  return true;
}

}  // namespace

Result<bool> MoveReshapes(ir::Module& module, PassContext&) {
  bool changed = false;
  const ir::NodeId nodes = module.node_count();
  for (ir::NodeId id = 0; id < nodes; ++id) {
    if (module.removed(id) || module.node(id).inputs.empty()) continue;
    const ir::Node& node = module.node(id);
    const ir::ValueId operand = node.inputs[0];
    bool moved = false;
    if (const ir::Node* before = ReshapeBehind(module, operand);
        before && node.get<ir::ReshapeAttributes>()) {
      const ir::ValueId source = before->inputs[0];
      GRAFT_RETURN_IF_ERROR(
          ReplaceNode(module, id, ir::Attributes(node.attributes), {source}).status());
      moved = true;
    } else if (const auto* transpose = node.get<ir::TransposeAttributes>();
               transpose && MovesNoData(module.value(operand).shape, *transpose)) {
      const ir::Shape shape = module.value(node.outputs[0]).shape;
      GRAFT_RETURN_IF_ERROR(
          ReplaceNode(module, id, ir::ReshapeAttributes{shape}, {operand}).status());
      moved = true;
    } else if (node.get<ir::PointwiseAttributes>()) {
      GRAFT_ASSIGN_OR_RETURN(moved, SinkThroughPointwise(module, id));
    }
    changed |= moved;
  }
  return changed;
}

}  // namespace graft::passes
