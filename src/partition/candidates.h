// Which nodes of a graph may go into an engine, and for the others why not.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend_api/backend.h"
#include "import/importer.h"
#include "partition/cluster.h"
#include "partition/encapsulate.h"
#include "tf/graph_def.h"

namespace graft::partition {

// The text that users of TF-TRT know.
inline constexpr std::string_view kExcluded =
    "excluded by segmenter option. Most likely an input or output node.";

struct CandidateOptions {
  std::set<std::string> denied_nodes;                            // by name: never converted
  std::map<std::string, std::string, std::less<>> native_nodes;  // the same, each with its reason
  std::set<std::string> denied_ops;                              // by op
  // Ops that are candidates although they are refused: their engines cannot be built. For trying
  // what happens then.
  std::set<std::string> faked_ops;
  bool deny_float_casts = false;  // from one floating dtype to another
  std::vector<int> groups;        // of the nodes (cluster.h); empty: one group
};

struct Candidates {
  std::vector<ClusterNode> nodes;  // for each node of the graph
  std::vector<int> order;          // topological
  // Why a node is no candidate; empty for candidates and for what is copied (constants).
  std::vector<std::string> reasons;
  // Which nodes are candidates in an assumed import alone: their engine can be built only once
  // ranks are known, when it runs.
  std::vector<bool> at_run_time;
};

// `imported` is the wired graph's import. What constants alone decide (a filter that is reshaped, a
// table that is computed) counts as a constant where a segment reads it: passed from one segment to
// another, it would be data to the second. `assumed`: imports of the same graph with ranks that are
// not known assumed to be this or that; what one of them accepts is a candidate too.
Result<Candidates> FindCandidates(const WiredGraph& wired, const importer::ImportedGraph& imported,
                                  const Backend& backend, const CandidateOptions& options,
                                  std::span<const importer::ImportedGraph> assumed = {});

// What the import knows of a tensor.
TensorInfo InfoOf(const tf::GraphDef& graph, const importer::ImportedGraph& imported);

}  // namespace graft::partition
