// What of a model can be run without TensorFlow.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend_api/backend.h"
#include "convert/build_engine.h"

namespace graft::convert {

// The largest part of a graph that converts whole: the nodes that no node which stays in TensorFlow
// comes before. Its results are the graph's, and what the other nodes read of it.
struct ComputablePart {
  tf::GraphDef graph;
  EngineSource source;  // of `graph`; the inputs are those of the whole at `inputs`
  std::vector<size_t> inputs;
  // Of what stays, the nodes that it begins with: "NAME (OP): REASON".
  std::vector<std::string> natives;
  int products = 0;  // convolutions and products of matrices that come after them
};

// kUnsupported, naming those nodes, where nothing can be computed. The result keeps what `source`
// refers to no longer than the call.
Result<std::unique_ptr<ComputablePart>> FindComputable(const EngineSource& source,
                                                       const Backend& backend);

}  // namespace graft::convert
