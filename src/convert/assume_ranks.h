// What of a graph would convert if the ranks that are not known were: an engine of it can be built
// when it runs, since every tensor has a rank then.
#pragma once

#include <string>
#include <vector>

#include "import/importer.h"

namespace graft::convert {

// Imports of the graph with every unknown rank taken to be one that models often have, until each
// node that `imported` refuses for want of a rank is accepted by one of them; none where there is
// no such node.
Result<std::vector<importer::ImportedGraph>> AssumeRanks(
    const tf::GraphDef& graph, const std::vector<importer::GraphInput>& inputs,
    const std::vector<std::string>& outputs, const importer::ImportedGraph& imported);

}  // namespace graft::convert
