#include "backend_api/table_backend.h"

namespace graft {

std::vector<const Tactic*> TableBackend::Tactics(const ir::Module&, const ir::Node& node) const {
  std::vector<const Tactic*> tactics;
  for (const TacticEntry& entry : table_) {
    if (entry.op == node.kind()) tactics.push_back(entry.tactic.get());
  }
  return tactics;
}

const Tactic* TableBackend::FindTactic(std::string_view name) const {
  for (const TacticEntry& entry : table_) {
    if (entry.tactic->name() == name) return entry.tactic.get();
  }
  return nullptr;
}

}  // namespace graft
