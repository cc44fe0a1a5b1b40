// The order in which a graph's nodes are imported, and which of them run conditionally.
#pragma once

#include <vector>

#include "base/status.h"
#include "tf/wired_graph.h"

namespace graft::importer {

using Edge = tf::WiredGraph::Edge;

struct GraphOrder {
  std::vector<int> nodes;  // indices into the graph: producers before their readers
  // For each node, its data edges in its own order. The edge that closes a loop (NextIteration to
  // Merge) is left out, so the rest has no cycle.
  std::vector<std::vector<Edge>> inputs;
  // That edge, by the Merge; node -1 for every other node.
  std::vector<Edge> back_edges;
  // How many loops, and how many branches of Switch, enclose each node. TensorFlow runs such a node
  // any number of times, none included; an engine would run it once.
  std::vector<int> loop_depth;
  std::vector<int> branch_depth;
};

// kDataLoss for a cycle outside of loops.
Result<GraphOrder> OrderGraph(const tf::WiredGraph& wired);

}  // namespace graft::importer
