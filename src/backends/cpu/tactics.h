// The tactics of the CPU backend, by family. Within an op they stand in order of preference, and
// the last one takes any shape.
#pragma once

#include <memory>
#include <vector>

#include "backend_api/backend.h"

namespace graft::cpu {

struct TacticEntry {
  ir::OpKind op;
  std::unique_ptr<Tactic> tactic;
};
using TacticTable = std::vector<TacticEntry>;

void AddConvTactics(TacticTable& table);
void AddMatMulTactics(TacticTable& table);
// Those of the kernels' tables of GRAFT_CPU_KERNEL rows (table_tactics.h).
void AddTableTactics(TacticTable& table);

}  // namespace graft::cpu
