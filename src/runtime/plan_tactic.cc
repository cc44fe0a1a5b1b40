#include "runtime/plan_tactic.h"

#include <algorithm>

namespace graft {

const Tactic* FindTactic(const Backend& backend, const ir::Module& module, const ir::Node& node,
                         const TacticChoice& choice) {
  const std::vector<const Tactic*> tactics = backend.Tactics(module, node);
  const auto found = std::ranges::find(tactics, choice.name, &Tactic::name);
  if (found == tactics.end() || (*found)->version() != choice.version) return nullptr;
  return (*found)->Accepts(module, node) ? nullptr : *found;
}

}  // namespace graft
