// Graft without oneDNN.
#include "backends/cpu/tactics.h"

namespace graft::cpu {

void AddOnednnConvTactics(TacticTable&) {}
void AddOnednnMatMulTactics(TacticTable&) {}
std::string OnednnVersion() { return ""; }

}  // namespace graft::cpu
