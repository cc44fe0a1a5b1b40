// Which nodes a set of nodes needs, and graphs cut down to that.
#pragma once

#include <string>
#include <vector>

#include "tf/graph_def.h"

namespace graft::tf {

// For each node whether one of the roots (node names) needs it, through data or control edges.
// kNotFound for a root, kDataLoss for an edge, that names no node.
Result<std::vector<bool>> Needed(const GraphDef& graph, const std::vector<std::string>& roots);

// For each function of the library whether the graph mentions it, itself or through others.
std::vector<bool> UsedFunctions(const GraphDef& graph);

// Removes the nodes that `keep` does not mark, and the functions that nothing left mentions.
void Prune(const std::vector<bool>& keep, GraphDef* graph);

}  // namespace graft::tf
