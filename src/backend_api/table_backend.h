// A backend whose tactics are a fixed list.
#pragma once

#include <memory>
#include <vector>

#include "backend_api/backend.h"

namespace graft {

struct TacticEntry {
  ir::OpKind op;
  std::unique_ptr<Tactic> tactic;
};
// Within an op, in order of preference; the last one that accepts a node takes any shape.
using TacticTable = std::vector<TacticEntry>;

class TableBackend : public Backend {
 public:
  std::vector<const Tactic*> Tactics(const ir::Module& module, const ir::Node& node) const final;
  const Tactic* FindTactic(std::string_view name) const final;

 protected:
  explicit TableBackend(TacticTable table) : table_(std::move(table)) {}

 private:
  TacticTable table_;
};

}  // namespace graft
