// Nodes on 16-bit floats that the backend has no kernel for run in f32, between casts; the casts
// join the element-wise nodes beside them. Weights stay as they are stored where the backend has a
// kernel for that.
#include "backend_api/widened.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {

Result<bool> LegalizeDTypes(ir::Module& module, PassContext& context) {
  if (!context.supports) return false;
  const ir::NodeId nodes = module.node_count();
  bool changed = false;
  for (ir::NodeId id = 0; id < nodes; ++id) {
    if (module.removed(id) || !CanWiden(module, module.node(id))) continue;
    if (context.supports(module, module.node(id))) continue;
    const ir::NodeId first = module.node_count();
    const WidenedWeights weights =
        ChooseWidened(module, module.node(id), context.supports).value_or(WidenedWeights::kWidened);
    GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::ValueId> results,
                           EmitWidened(module, module.node(id), weights));
    for (ir::NodeId made = first; made < module.node_count(); ++made) {
      Cover(module, made, module.node(id));
    }
    for (size_t i = 0; i < results.size(); ++i)
      GRAFT_RETURN_IF_ERROR(ReplaceValue(module, module.node(id).outputs[i], results[i]));
    module.RemoveNode(id);
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
