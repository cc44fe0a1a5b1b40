// Weights that several engines read, stored once.
#pragma once

#include <string>
#include <vector>

#include "tf/graph_def.h"

namespace graft::partition {

// A function sees nothing of the graph around it, so each native segment holds the constants that
// its nodes read. Of those that several of the named functions hold, a function without arguments
// is made, `graft_constant_<hash of its contents>`, and each holder calls it instead
// (PartitionedCall), under the constant's name: its readers stay as they are. Small constants are
// left where they are.
void ShareConstants(const std::vector<std::string>& functions, tf::GraphDef* graph);

// Undoes it: each function holds its constants again, which share memory, and those that are
// nothing but a constant are gone. For whoever looks at native segments.
void UnshareConstants(tf::GraphDef* graph);

}  // namespace graft::partition
