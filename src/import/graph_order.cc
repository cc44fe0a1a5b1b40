#include "import/graph_order.h"

#include <algorithm>

namespace graft::importer {
namespace {

// TensorFlow's ops come in two forms: a plain one, and one for reference variables.
bool IsOp(const tf::NodeDef& node, std::string_view op) {
  return node.op == op || (node.op.starts_with("Ref") && node.op.substr(3) == op);
}

}  // namespace

Result<GraphOrder> OrderGraph(const tf::WiredGraph& wired) {
  const tf::GraphDef& graph = wired.graph();
  const int count = wired.node_count();
  GraphOrder order;
  order.inputs.resize(count);
  std::vector<std::vector<int>> readers(count);
  std::vector<std::vector<int>> producers(count);  // by data and control edges
  std::vector<int> waiting(count, 0);
  order.back_edges.resize(count);
  for (int n = 0; n < count; ++n) {
    for (const Edge& edge : wired.inputs(n)) {
      if (IsOp(wired.node(n), "Merge") && IsOp(wired.node(edge.node), "NextIteration")) {
        order.back_edges[n] = edge;
        continue;
      }
      if (!edge.is_control()) order.inputs[n].push_back(edge);
      producers[n].push_back(edge.node);
      readers[edge.node].push_back(n);
      ++waiting[n];
    }
  }
  order.loop_depth.assign(count, 0);
  order.branch_depth.assign(count, 0);
  for (int n = 0; n < count; ++n) {
    if (waiting[n] == 0) order.nodes.push_back(n);
  }
  for (size_t next = 0; next < order.nodes.size(); ++next) {
    const int n = order.nodes[next];
    const tf::NodeDef& node = graph.nodes[n];
    int& loops = order.loop_depth[n];
    int& branches = order.branch_depth[n];
    for (int p : producers[n]) {
      loops = std::max(loops, order.loop_depth[p]);
      branches = std::max(branches, order.branch_depth[p]);
    }
    if (IsOp(node, "Enter")) ++loops;
    if (IsOp(node, "Exit")) --loops;
    if (IsOp(node, "Switch") || node.op == "_SwitchN") ++branches;
    // A loop's Switch is left by its Exit, a conditional's by the Merge of its branches.
    if (IsOp(node, "Exit") || (IsOp(node, "Merge") && order.back_edges[n].node < 0)) --branches;
    loops = std::max(loops, 0);
    branches = std::max(branches, 0);
    for (int reader : readers[n]) {
      if (--waiting[reader] == 0) order.nodes.push_back(reader);
    }
  }
  if (static_cast<int>(order.nodes.size()) != count) {
    const auto stuck = std::find_if(waiting.begin(), waiting.end(), [](int w) { return w > 0; });
    return DataLossError("{}: the graph has a cycle outside of loops",
                         graph.nodes[stuck - waiting.begin()].name);
  }
  return order;
}

}  // namespace graft::importer
