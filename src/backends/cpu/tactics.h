// The tactics of the CPU backend, by family. Within an op they stand in order of preference, and
// the last one takes any shape.
#pragma once

#include <string>

#include "backend_api/table_backend.h"

namespace graft::cpu {

void AddConvTactics(TacticTable& table);
void AddMatMulTactics(TacticTable& table);
// oneDNN's, where Graft is built with it. They run on the shapes they were bound for only, so they
// come before a tactic that takes any.
void AddOnednnConvTactics(TacticTable& table);
void AddOnednnMatMulTactics(TacticTable& table);
// oneDNN's version; empty where Graft is built without it.
std::string OnednnVersion();
// Those of the kernels' tables of GRAFT_CPU_KERNEL rows (table_tactics.h).
void AddTableTactics(TacticTable& table);

}  // namespace graft::cpu
