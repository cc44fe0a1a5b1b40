// Which of a graph's entry points need which nodes. An engine that joined nodes of different entry
// points would ask one of them for another's inputs, and have it pay for another's work.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "partition/encapsulate.h"

namespace graft::partition {

// One way to run a graph, as a signature says it: node names.
struct EntryPoint {
  std::vector<std::string> inputs;  // fed: what lies before them is not run
  std::vector<std::string> outputs;
  std::string name;  // the signature's
};

// Numbers the nodes by the set of entry points that need them: equal sets have equal numbers, and 0
// is the empty set. `also` are pairs (reader, needed) beside the graph's edges. kNotFound names a
// node that is not there.
Result<std::vector<int>> GroupByEntryPoint(const WiredGraph& wired,
                                           const std::vector<EntryPoint>& entries,
                                           const std::vector<std::pair<int, int>>& also);

}  // namespace graft::partition
