// A small graph of one op, to ask whether it is converted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "import/importer.h"
#include "tf/graph_def.h"

namespace graft::importer {

struct ExampleGraph {
  tf::GraphDef graph;
  int node = 0;  // the op's
  std::vector<GraphInput> inputs;
};

// The op's row of examples.inc with its data in `dtype`. kInvalidArgument for a row that does not
// fit the op, kUnsupported where the op has no such dtype.
Result<ExampleGraph> MakeExample(std::string_view op, DType dtype);

}  // namespace graft::importer
