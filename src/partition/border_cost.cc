#include "partition/border_cost.h"

namespace graft::partition {
namespace {

bool IsLight(ir::OpKind kind) {
  switch (kind) {
    case ir::OpKind::kPointwise:
    case ir::OpKind::kBroadcast:
    case ir::OpKind::kReshape:
    case ir::OpKind::kBitcast:
    case ir::OpKind::kDims:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::vector<bool> HeavyNodes(const importer::ImportedGraph& imported) {
  std::vector<bool> heavy(imported.nodes.size(), false);
  const ir::Module& module = imported.module;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id) || IsLight(module.node(id).kind())) continue;
    for (const int32_t v : module.node(id).origin) heavy[v] = true;
  }
  return heavy;
}

std::optional<std::string> WhyNotWorth(const SegmentPorts& ports,
                                       const std::vector<ClusterNode>& nodes,
                                       const std::vector<bool>& heavy, const BorderCost& cost) {
  for (const int v : ports.nodes) {
    if (heavy[v]) return std::nullopt;
  }
  int counted = 0;
  for (const int v : ports.nodes) counted += nodes[v].weightless ? 0 : 1;
  const double further = static_cast<double>(ports.inputs.size() + ports.outputs.size()) - 2;
  if (counted * cost.node >= cost.engine + further * cost.port) return std::nullopt;
  return fmt::format(
      "an engine of {} element-wise nodes with {} inputs and {} outputs costs more than it saves",
      counted, ports.inputs.size(), ports.outputs.size());
}

}  // namespace graft::partition
