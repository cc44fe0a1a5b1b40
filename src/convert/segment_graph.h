// A native segment's function as a graph of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "import/importer.h"
#include "tf/graph_def.h"

namespace graft::convert {

// The graph calls the function once, by a node of this name, and the call is inlined: the names of
// the function's nodes stand behind it and a slash.
inline constexpr std::string_view kSegmentCall = "segment";

struct SegmentGraph {
  tf::GraphDef graph;
  std::vector<importer::GraphInput> inputs;  // named as an engine's
  std::vector<std::string> outputs;          // tensors
};

// `arguments` say dtypes, ranks and the sizes that never change. kInvalidArgument where the
// function has more or fewer, kUnsupported where it calls what cannot be inlined.
Result<SegmentGraph> SegmentGraphOf(tf::FunctionDef function,
                                    std::vector<importer::GraphInput> arguments);

// The name in the graph that the segment was cut out of.
std::string OutsideOfTheCall(std::string name);

}  // namespace graft::convert
