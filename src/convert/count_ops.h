// How many ops of a graph are in engines, and why the others are not.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "convert/bodies.h"
#include "convert/convert_graph.h"
#include "partition/candidates.h"
#include "partition/cluster.h"
#include "partition/encapsulate.h"

namespace graft::convert {

// By node of the graph, what became of those whose segments become no engines.
struct DroppedNodes {
  std::vector<std::string> reasons;
  std::vector<bool> idle;  // of segments that compute nothing: Identities alone
};
DroppedNodes ExplainDropped(const partition::Clusters& clusters,
                            const partition::ClusterOptions& options, size_t node_count,
                            std::vector<std::string>* warnings);

struct ConvertedOps {
  const tf::GraphDef& graph;
  const Bodies& bodies;
  const std::set<std::string, std::less<>>& fetched;  // nodes
  // By node, which entry points need it; empty where nobody named any.
  const std::vector<int>& needed;
  const partition::Candidates& candidates;
  const DroppedNodes& dropped;
  const std::vector<partition::EngineNode>& engines;
  const tf::GraphDef& converted;
};
// Fills in the report's numbers of ops, the ops left out and the warning of a model that was built
// for training.
void CountOps(const ConvertedOps& in, ConvertReport* report);

}  // namespace graft::convert
