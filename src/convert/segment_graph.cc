#include "convert/segment_graph.h"

#include "ir/binding_names.h"
#include "tf/inline.h"
#include "tf/opdefs.h"

namespace graft::convert {

Result<SegmentGraph> SegmentGraphOf(tf::FunctionDef function,
                                    std::vector<importer::GraphInput> arguments) {
  if (arguments.size() != function.signature.inputs.size()) {
    return InvalidArgumentError("{}: {} arguments for {}", function.signature.name,
                                arguments.size(), function.signature.inputs.size());
  }
  SegmentGraph made;
  tf::GraphDef& graph = made.graph;
  graph.versions.producer = tf::kGraphDefVersion;
  tf::NodeDef call{.name = std::string(kSegmentCall), .op = function.signature.name};
  for (importer::GraphInput& input : arguments) {
    input.tensor = InputBindingName(static_cast<int>(made.inputs.size()));
    graph.nodes.push_back({.name = input.tensor,
                           .op = "Placeholder",
                           .attrs = {{"dtype", input.dtype}, {"shape", input.shape}}});
    call.inputs.push_back(input.tensor);
    made.inputs.push_back(std::move(input));
  }
  for (size_t i = 0; i < function.signature.outputs.size(); ++i)
    made.outputs.push_back(tf::TensorName(call.name, static_cast<int>(i)));
  graph.nodes.push_back(std::move(call));
  graph.functions.push_back(std::move(function));
  tf::AddDefaultAttrs(&graph);
  // Turns argument names into tensors.
  GRAFT_ASSIGN_OR_RETURN(const std::vector<tf::KeptCall> kept, tf::InlineCalls(&graph));
  if (!kept.empty()) return UnsupportedError("{}: {}", kept[0].function, kept[0].reason);
  return made;
}

std::string OutsideOfTheCall(std::string name) {
  const std::string prefix = fmt::format("{}/", kSegmentCall);
  if (name.starts_with(prefix)) name.erase(0, prefix.size());
  return name;
}

}  // namespace graft::convert
