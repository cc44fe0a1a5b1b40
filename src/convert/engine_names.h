// What the engine nodes of a graph are called.
#pragma once

#include <string>
#include <vector>

#include "convert/convert_graph.h"
#include "partition/cluster.h"

namespace graft::convert {

// "TRTEngineOp_<graph>_", with the first number that no node has yet: a graph that was converted
// before keeps its engines.
std::string EnginePrefix(const tf::GraphDef& graph, const ConvertOptions& options,
                         const std::vector<partition::Segment>& segments);

}  // namespace graft::convert
