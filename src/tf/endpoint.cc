#include "tf/endpoint.h"

#include <algorithm>
#include <unordered_set>

#include "tf/opdefs.h"

namespace graft::tf {
namespace {

// Ops whose output is no result of the model, though nobody reads it.
constexpr std::string_view kNeverOutputs[] = {"Const",  "NoOp",  "Placeholder",
                                              "Assert", "Print", "PrintV2"};

Shape ShapeOf(const NodeDef& node, int output) {
  if (node.op == "Placeholder" || node.op == "PlaceholderWithDefault") {
    const AttrValue* shape = node.FindAttr("shape");
    if (shape != nullptr && shape->get<Shape>() != nullptr) return *shape->get<Shape>();
  }
  const AttrValue* shapes = node.FindAttr("_output_shapes");
  const std::vector<Shape>* list = shapes ? shapes->list<Shape>() : nullptr;
  return list != nullptr && static_cast<size_t>(output) < list->size()
             ? (*list)[static_cast<size_t>(output)]
             : Shape::Unknown();
}

// The names of nodes that others read.
Result<std::unordered_set<std::string_view>> ReadNodes(const GraphDef& graph) {
  std::unordered_set<std::string_view> read;
  for (const NodeDef& node : graph.nodes) {
    for (const std::string& input : node.inputs) {
      GRAFT_ASSIGN_OR_RETURN(const TensorRef ref, ParseTensorName(input));
      read.insert(ref.node);
    }
  }
  return read;
}

Result<Endpoint> EndpointOf(const NodeDef& node, int output) {
  const std::string tensor = TensorName(node.name, output);
  Endpoint endpoint{tensor, tensor, DType::kInvalid, ShapeOf(node, output)};
  if (FindOp(node.op) == nullptr) return endpoint;
  GRAFT_ASSIGN_OR_RETURN(const std::vector<DType> types, OutputTypes(node));
  if (static_cast<size_t>(output) >= types.size())
    return InvalidArgumentError("{}: {} has {} outputs", tensor, node.op, types.size());
  endpoint.dtype = types[static_cast<size_t>(output)];
  return endpoint;
}

}  // namespace

Result<Endpoint> FindEndpoint(const GraphDef& graph, const std::string& tensor) {
  const Result<TensorRef> ref = ParseTensorName(tensor);
  if (!ref.ok() || ref->is_control()) return InvalidArgumentError("'{}' is no tensor name", tensor);
  const auto node = std::ranges::find(graph.nodes, ref->node, &NodeDef::name);
  if (node == graph.nodes.end())
    return InvalidArgumentError("no node '{}' in the graph", ref->node);
  return EndpointOf(*node, ref->index);
}

std::vector<Endpoint> EndpointsOf(const std::string& key, const TensorInfo& info) {
  if (!info.name.empty()) return {{key, CanonicalTensor(info.name), info.dtype, info.shape}};
  std::vector<Endpoint> endpoints;
  for (const TensorInfo::Part& part : info.parts) {
    endpoints.push_back({fmt::format("{}/{}", key, part.label), CanonicalTensor(part.name),
                         part.dtype, part.shape});
  }
  return endpoints;
}

Result<std::vector<Endpoint>> DefaultInputs(const GraphDef& graph) {
  GRAFT_ASSIGN_OR_RETURN(const auto read, ReadNodes(graph));
  std::vector<Endpoint> inputs;
  for (const NodeDef& node : graph.nodes) {
    // One that nobody reads is left over: freezing leaves those of a loop's unused arguments.
    if (node.op != "Placeholder" || !read.contains(node.name)) continue;
    GRAFT_ASSIGN_OR_RETURN(inputs.emplace_back(), EndpointOf(node, 0));
  }
  return inputs;
}

Result<std::vector<Endpoint>> DefaultOutputs(const GraphDef& graph) {
  GRAFT_ASSIGN_OR_RETURN(const auto read, ReadNodes(graph));
  std::vector<Endpoint> outputs;
  for (const NodeDef& node : graph.nodes) {
    if (read.contains(node.name) || FindOp(node.op) == nullptr ||
        std::ranges::find(kNeverOutputs, node.op) != std::end(kNeverOutputs)) {
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(const std::vector<DType> types, OutputTypes(node));
    for (size_t i = 0; i < types.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(outputs.emplace_back(), EndpointOf(node, static_cast<int>(i)));
    }
  }
  return outputs;
}

}  // namespace graft::tf
