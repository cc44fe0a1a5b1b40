// A graph with its nodes' inputs resolved.
#pragma once

#include <utility>
#include <vector>

#include "tf/graph_def.h"

namespace graft::tf {

// Refers to the graph, which must not change meanwhile.
class WiredGraph {
 public:
  struct Edge {
    int node = -1;
    int output = 0;  // TensorRef::kControl for a control edge
    bool is_control() const { return output == TensorRef::kControl; }
  };
  // kDataLoss for an input that does not exist, or a name used twice.
  static Result<WiredGraph> Of(const GraphDef& graph);

  const GraphDef& graph() const { return *graph_; }
  const NodeDef& node(int v) const { return graph_->nodes[v]; }
  int node_count() const { return static_cast<int>(inputs_.size()); }
  // In the node's order.
  const std::vector<Edge>& inputs(int v) const { return inputs_[v]; }
  const NodeIndex& index() const { return index_; }

 private:
  WiredGraph(const GraphDef& graph, NodeIndex index) : graph_(&graph), index_(std::move(index)) {}

  const GraphDef* graph_;
  NodeIndex index_;
  std::vector<std::vector<Edge>> inputs_;
};

}  // namespace graft::tf
