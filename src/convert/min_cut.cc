#include "convert/min_cut.h"

#include <algorithm>
#include <limits>

namespace graft::convert {
namespace {

// What sums of capacities leave of nothing.
constexpr double kNothing = 1e-9;

}  // namespace

int MinCut::AddNode() {
  from_.emplace_back();
  return static_cast<int>(from_.size()) - 1;
}

void MinCut::Connect(int from, int to, double capacity) {
  if (!(capacity > 0) || from == to) return;
  from_[from].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({to, capacity});
  from_[to].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({from, 0});
}

// By how many edges a node is away from the source. False: the sink cannot be reached.
bool MinCut::FindLevels() {
  levels_.assign(from_.size(), -1);
  levels_[kSource] = 0;
  std::vector<int> queue = {kSource};
  for (size_t i = 0; i < queue.size(); ++i) {
    for (const int e : from_[queue[i]]) {
      const Edge& edge = edges_[e];
      if (edge.left <= kNothing || levels_[edge.to] >= 0) continue;
      levels_[edge.to] = levels_[queue[i]] + 1;
      queue.push_back(edge.to);
    }
  }
  return levels_[kSink] >= 0;
}

double MinCut::Push(int node, double most) {
  if (node == kSink) return most;
  for (size_t& i = next_[node]; i < from_[node].size(); ++i) {
    const int e = from_[node][i];
    if (edges_[e].left <= kNothing || levels_[edges_[e].to] != levels_[node] + 1) continue;
    const double pushed = Push(edges_[e].to, std::min(most, edges_[e].left));
    if (pushed <= kNothing) continue;
    edges_[e].left -= pushed;
    edges_[e ^ 1].left += pushed;
    return pushed;
  }
  return 0;
}

std::vector<bool> MinCut::Solve() {
  while (FindLevels()) {
    next_.assign(from_.size(), 0);
    while (Push(kSource, std::numeric_limits<double>::infinity()) > kNothing) {
    }
  }
  std::vector<bool> side;
  for (const int level : levels_) side.push_back(level >= 0);
  return side;
}

}  // namespace graft::convert
