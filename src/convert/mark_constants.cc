#include "convert/mark_constants.h"

#include "backends/reference/evaluator.h"

namespace graft::convert {

void MarkConstants(ir::Module& module) {
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id) || module.node(id).kind() == ir::OpKind::kOpaque) continue;
    const ir::Node& node = module.node(id);
    std::vector<Tensor> operands;
    for (ir::ValueId v : node.inputs) {
      if (module.value(v).constant) operands.push_back(*module.value(v).constant);
    }
    if (node.inputs.empty() || operands.size() != node.inputs.size()) continue;
    if (ir::ResultDimOf(node.attributes)) continue;  // its dimensions stay a symbol
    Result<std::vector<Tensor>> results = reference::Evaluate(module, node, operands);
    if (!results.ok()) continue;  // what the reference kernels do not take stays a computation
    for (size_t i = 0; i < results->size(); ++i) {
      module.value(node.outputs[i]).constant = std::move((*results)[i]);
    }
  }
}

}  // namespace graft::convert
