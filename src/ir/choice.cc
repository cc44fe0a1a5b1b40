#include "ir/choice.h"

namespace graft::ir {
Result<std::vector<ValueId>> AppendBody(Module& module, const Body& body,
                                        std::vector<ValueId> values) {
  for (const BodyNode& node : body.nodes) {
    std::vector<ValueId> operands;
    for (const int64_t v : node.operands) operands.push_back(values[v]);
    GRAFT_ASSIGN_OR_RETURN(const NodeId id,
                           module.AddNode(node.attributes, std::move(operands), node.name));
    module.SetOrigin(id, node.origin);
    values.push_back(module.node(id).outputs[0]);
  }
  std::vector<ValueId> results;
  for (const int64_t v : body.results) results.push_back(values[v]);
  return results;
}

Status ReplaceByBody(Module& module, NodeId choice, int body) {
  // Appending moves nodes.
  const Node node = module.node(choice);
  GRAFT_ASSIGN_OR_RETURN(
      const std::vector<ValueId> results,
      AppendBody(module, node.get<ChoiceAttributes>()->bodies.at(body), node.inputs));
  for (size_t i = 0; i < results.size(); ++i) {
    const Value& before = module.value(node.outputs[i]);
    Value& after = module.value(results[i]);
    after.name = before.name;
    after.low = before.low;
    after.high = before.high;
    module.ReplaceUses(node.outputs[i], results[i]);
  }
  module.RemoveNode(choice);
  return OkStatus();
}

}  // namespace graft::ir
