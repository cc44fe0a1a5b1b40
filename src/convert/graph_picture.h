// A graph as a picture.
#pragma once

#include <string>

#include "tf/graph_def.h"

namespace graft::convert {

// Text for Graphviz's `dot`: the nodes of the main graph coloured by the dtype that they compute,
// engines as boxes in bold, control edges dashed.
std::string GraphPicture(const tf::GraphDef& graph);

}  // namespace graft::convert
