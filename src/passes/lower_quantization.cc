// Quantisation that nothing has used becomes element-wise programs.
#include "backend_api/lowered.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

template <class Wanted>
Result<bool> Lower(ir::Module& module, Wanted wanted) {
  const ir::NodeId nodes = module.node_count();
  bool changed = false;
  for (ir::NodeId id = 0; id < nodes; ++id) {
    if (module.removed(id) || !wanted(module.node(id))) continue;
    const ir::NodeId first = module.node_count();
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId result, EmitLowered(module, module.node(id)));
    for (ir::NodeId made = first; made < module.node_count(); ++made) {
      Cover(module, made, module.node(id));
    }
    GRAFT_RETURN_IF_ERROR(ReplaceValue(module, module.node(id).outputs[0], result));
    module.RemoveNode(id);
    changed = true;
  }
  return changed;
}

}  // namespace

Result<bool> LowerFakeQuantize(ir::Module& module, PassContext&) {
  return Lower(module,
               [](const ir::Node& node) { return node.kind() == ir::OpKind::kFakeQuantize; });
}

Result<bool> LowerQuantize(ir::Module& module, PassContext&) { return Lower(module, CanLower); }

}  // namespace graft::passes
