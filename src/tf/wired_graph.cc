#include "tf/wired_graph.h"

namespace graft::tf {

Result<WiredGraph> WiredGraph::Of(const GraphDef& graph) {
  GRAFT_ASSIGN_OR_RETURN(NodeIndex index, NodeIndex::Of(graph.nodes));
  WiredGraph wired(graph, std::move(index));
  wired.inputs_.reserve(graph.nodes.size());
  for (const NodeDef& node : graph.nodes) {
    std::vector<Edge>& inputs = wired.inputs_.emplace_back();
    for (const std::string& input : node.inputs) {
      GRAFT_ASSIGN_OR_RETURN(const TensorRef ref, ParseTensorName(input));
      const int producer = wired.index_.Find(ref.node);
      if (producer < 0) return DataLossError("{}: its input '{}' does not exist", node.name, input);
      inputs.push_back({producer, ref.index});
    }
  }
  return wired;
}

}  // namespace graft::tf
