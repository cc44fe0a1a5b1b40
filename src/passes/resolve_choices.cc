// A body takes the place of each choice: the one that the caller says, who can measure them.
#include "ir/choice.h"
#include "passes/pass.h"

namespace graft::passes {

Result<bool> ResolveChoices(ir::Module& module, PassContext& context) {
  bool changed = false;
  const ir::NodeId nodes = module.node_count();
  for (ir::NodeId id = 0; id < nodes; ++id) {
    if (module.removed(id)) continue;
    const auto* choice = module.node(id).get<ir::ChoiceAttributes>();
    if (choice == nullptr) continue;
    int body = 0;
    if (context.choose) {
      GRAFT_ASSIGN_OR_RETURN(body, context.choose(module, module.node(id)));
    }
    GRAFT_CHECK(body >= 0 && body < static_cast<int>(choice->bodies.size()), "body {}", body);
    GRAFT_RETURN_IF_ERROR(ir::ReplaceByBody(module, id, body));
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
