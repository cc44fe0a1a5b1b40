// The order in which a graph's nodes are imported, and which of them run conditionally.
#pragma once

#include <vector>

#include "base/status.h"
#include "tf/graph_def.h"

namespace graft::importer {

struct Edge {
  int node = -1;
  int index = 0;
};

struct GraphOrder {
  std::vector<int> nodes;  // indices into the graph: producers before their readers
  // For each node, in its own order. The edge that closes a loop (NextIteration to Merge) is left
  // out, so the rest has no cycle.
  std::vector<std::vector<Edge>> inputs;
  // That edge, by the Merge; node -1 for every other node.
  std::vector<Edge> back_edges;
  // How many loops, and how many branches of Switch, enclose each node. TensorFlow runs such a node
  // any number of times, none included; an engine would run it once.
  std::vector<int> loop_depth;
  std::vector<int> branch_depth;
};

// kDataLoss for an input that does not exist, a name used twice, a cycle outside of loops.
Result<GraphOrder> OrderGraph(const tf::GraphDef& graph);

}  // namespace graft::importer
