#include "backends/cpu/table_tactics.h"

#include "backends/cpu/tactic_base.h"

namespace graft::cpu {

double CpuTactic::Cost(const BoundNode& node) const {
  constexpr double kBytesPerMillisecond = 1e7;
  double bytes = 0;
  for (const std::vector<BoundValue>* values : {&node.inputs, &node.outputs}) {
    for (const BoundValue& v : *values) {
      bytes += static_cast<double>(CountElements(v.dims)) * SizeOf(v.dtype);
    }
  }
  return bytes / kBytesPerMillisecond;
}

void AddTableTactics(TacticTable& table) {
#define GRAFT_CPU_KERNEL(Op, Id, name, version) \
  table.push_back({ir::OpKind::k##Op, Make##Id(name, version)});
#include "backends/cpu/kernel_tables.inc"
#undef GRAFT_CPU_KERNEL
}

}  // namespace graft::cpu
