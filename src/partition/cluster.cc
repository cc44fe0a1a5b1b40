#include "partition/cluster.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>
#include <utility>

#include "base/log.h"

namespace graft::partition {
namespace {

class UnionFind {
 public:
  explicit UnionFind(int n) : parent_(n) { std::iota(parent_.begin(), parent_.end(), 0); }
  int Find(int x) {
    while (parent_[x] != x) x = parent_[x] = parent_[parent_[x]];
    return x;
  }
  void Join(int a, int b) { parent_[Find(b)] = Find(a); }

 private:
  std::vector<int> parent_;
};

class Clusterer {
 public:
  Clusterer(const std::vector<ClusterNode>& graph, const std::vector<int>& order)
      : graph_(graph),
        order_(order),
        position_(graph.size(), 0),
        sets_(static_cast<int>(graph.size())) {
    for (size_t i = 0; i < order.size(); ++i) position_[order[i]] = static_cast<int>(i);
  }

  void JoinByLevel() {
    std::vector<int> level(graph_.size(),
                           -1);  // of others: the highest level among the candidates before them
    for (int v : order_) {
      if (graph_[v].copied) continue;
      int l = graph_[v].candidate ? 0 : -1;
      auto see = [&](int p, bool control) {
        if (Ignored(p, v)) return;
        const bool stays = graph_[p].candidate && !control;
        l = std::max(l, level[p] + (graph_[v].candidate && !stays ? 1 : 0));
      };
      for (int p : graph_[v].inputs) see(p, false);
      for (int p : graph_[v].controls) see(p, true);
      level[v] = l;
    }
    for (int v : order_) {
      if (!graph_[v].candidate) continue;
      for (int p : graph_[v].inputs) {
        if (!Ignored(p, v) && MayJoin(p, v) && level[p] == level[v]) Join(p, v);
      }
    }
  }

  // Contracts edges between clusters that no other path joins, until none is left.
  void MergeNeighbours() {
    while (MergeOnce()) {
    }
  }

  std::vector<std::vector<int>> Members() {
    std::vector<std::vector<int>> members(graph_.size());
    for (int v : order_) {
      if (graph_[v].candidate) members[sets_.Find(v)].push_back(v);
    }
    std::erase_if(members, [](const auto& m) { return m.empty(); });
    std::sort(members.begin(), members.end(),
              [&](const auto& a, const auto& b) { return position_[a[0]] < position_[b[0]]; });
    return members;
  }

 private:
  bool Ignored(int from, int to) const {
    return graph_[from].copied || position_[from] >= position_[to];
  }

  bool MayJoin(int a, int b) const {
    return graph_[a].candidate && graph_[b].candidate && graph_[a].group == graph_[b].group;
  }

  void Join(int a, int b) {
    if (sets_.Find(a) == sets_.Find(b)) return;
    GRAFT_VLOG(3, "segment", "Merged {} into the segment of {}", graph_[b].name, graph_[a].name);
    sets_.Join(a, b);
  }

  bool MergeOnce() {
    // The graph of clusters and other nodes.
    const int n = static_cast<int>(graph_.size());
    std::vector<std::vector<int>> successors(n);
    std::vector<std::pair<int, int>> joints;  // data edges between clusters
    for (int v : order_) {
      const int to = sets_.Find(v);
      auto edge = [&](int p, bool data) {
        if (Ignored(p, v)) return;
        const int from = sets_.Find(p);
        if (from == to) return;
        successors[from].push_back(to);
        if (data && MayJoin(p, v)) joints.push_back({from, to});
      };
      for (int p : graph_[v].inputs) edge(p, true);
      for (int p : graph_[v].controls) edge(p, false);
    }
    for (auto& s : successors) {
      std::sort(s.begin(), s.end());
      s.erase(std::unique(s.begin(), s.end()), s.end());
    }
    std::sort(joints.begin(), joints.end());
    joints.erase(std::unique(joints.begin(), joints.end()), joints.end());
    bool merged = false;
    std::vector<bool> touched(n, false);  // clusters merged in this round: their edges are stale
    std::vector<int> seen(n, -1);
    for (size_t j = 0; j < joints.size(); ++j) {
      const auto [from, to] = joints[j];
      if (touched[from] || touched[to]) continue;
      if (ReachesOtherwise(from, to, successors, seen, static_cast<int>(j))) continue;
      Join(from, to);
      touched[from] = touched[to] = merged = true;
      // The merged cluster keeps both sets of edges, so that later checks of this round see paths
      // through it.
      successors[from].insert(successors[from].end(), successors[to].begin(), successors[to].end());
      successors[to] = successors[from];
    }
    return merged;
  }

  // Whether a path of more than one edge leads from `from` to `to`.
  static bool ReachesOtherwise(int from, int to, const std::vector<std::vector<int>>& successors,
                               std::vector<int>& seen, int mark) {
    std::vector<int> stack;
    for (int s : successors[from]) {
      if (s != to && s != from && seen[s] != mark) seen[s] = mark, stack.push_back(s);
    }
    while (!stack.empty()) {
      const int v = stack.back();
      stack.pop_back();
      for (int s : successors[v]) {
        if (s == to) return true;
        if (seen[s] != mark) seen[s] = mark, stack.push_back(s);
      }
    }
    return false;
  }

  const std::vector<ClusterNode>& graph_;
  const std::vector<int>& order_;
  std::vector<int> position_;
  UnionFind sets_;
};

}  // namespace

namespace {

int SizeOf(const std::vector<ClusterNode>& graph, const std::vector<int>& nodes) {
  int size = 0;
  std::set<int> constants;
  for (int v : nodes) {
    size += !graph[v].weightless;
    for (int p : graph[v].inputs) {
      if (graph[p].copied) constants.insert(p);
    }
  }
  return size == 0 ? 0 : size + static_cast<int>(constants.size());
}

}  // namespace

Clusters Cluster(const std::vector<ClusterNode>& graph, const std::vector<int>& order,
                 const ClusterOptions& options) {
  Clusterer clusterer(graph, order);
  clusterer.JoinByLevel();
  clusterer.MergeNeighbours();
  Clusters clusters;
  for (std::vector<int>& nodes : clusterer.Members()) {
    Segment segment;
    segment.size = SizeOf(graph, nodes);
    segment.nodes = std::move(nodes);
    const bool large = segment.size > 0 && segment.size >= options.minimum_segment_size;
    (large ? clusters.segments : clusters.too_small).push_back(std::move(segment));
  }
  const size_t maximum = options.maximum_segments > 0 ? options.maximum_segments : SIZE_MAX;
  if (clusters.segments.size() <= maximum) return clusters;
  std::vector<Segment> all = std::exchange(clusters.segments, {});
  std::vector<int> by_size(all.size());
  std::iota(by_size.begin(), by_size.end(), 0);
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](int a, int b) { return all[a].size > all[b].size; });
  std::vector<bool> kept(all.size(), false);
  for (size_t i = 0; i < maximum; ++i) kept[by_size[i]] = true;
  for (size_t i = 0; i < all.size(); ++i)
    (kept[i] ? clusters.segments : clusters.too_many).push_back(std::move(all[i]));
  return clusters;
}

}  // namespace graft::partition
