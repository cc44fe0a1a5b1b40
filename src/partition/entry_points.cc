#include "partition/entry_points.h"

#include <map>
#include <set>

namespace graft::partition {
namespace {

class Grouper {
 public:
  Grouper(const WiredGraph& wired, const std::vector<std::pair<int, int>>& also)
      : wired_(wired), also_(static_cast<size_t>(wired.node_count())) {
    for (const auto& [reader, needed] : also) also_[reader].push_back(needed);
    groups_.resize(static_cast<size_t>(wired.node_count()), 0);
  }

  Status Add(const EntryPoint& entry) {
    GRAFT_ASSIGN_OR_RETURN(const std::set<int> fed, Find(entry.inputs));
    GRAFT_ASSIGN_OR_RETURN(const std::set<int> roots, Find(entry.outputs));
    std::vector<bool> needed(groups_.size(), false);
    std::vector<int> pending;
    auto need = [&](int v) {
      if (needed[v]) return;
      needed[v] = true;
      pending.push_back(v);
    };
    for (int v : roots) need(v);
    while (!pending.empty()) {
      const int v = pending.back();
      pending.pop_back();
      if (fed.contains(v)) continue;
      for (const WiredGraph::Edge& e : wired_.inputs(v)) need(e.node);
      for (int u : also_[v]) need(u);
    }
    // Splits each group into those that this entry point needs and the others.
    std::map<int, int> split;
    for (size_t v = 0; v < groups_.size(); ++v) {
      if (!needed[v]) continue;
      const auto [it, is_new] = split.try_emplace(groups_[v], next_);
      next_ += is_new;
      groups_[v] = it->second;
    }
    return OkStatus();
  }

  std::vector<int> Take() { return std::move(groups_); }

 private:
  Result<std::set<int>> Find(const std::vector<std::string>& names) const {
    std::set<int> nodes;
    for (const std::string& name : names) {
      const int v = wired_.index().Find(name);
      if (v < 0) return NotFoundError("no node '{}' in the graph", name);
      nodes.insert(v);
    }
    return nodes;
  }

  const WiredGraph& wired_;
  std::vector<std::vector<int>> also_;
  std::vector<int> groups_;
  int next_ = 1;
};

}  // namespace

Result<std::vector<int>> GroupByEntryPoint(const WiredGraph& wired,
                                           const std::vector<EntryPoint>& entries,
                                           const std::vector<std::pair<int, int>>& also) {
  Grouper grouper(wired, also);
  for (const EntryPoint& entry : entries) GRAFT_RETURN_IF_ERROR(grouper.Add(entry));
  return grouper.Take();
}

}  // namespace graft::partition
