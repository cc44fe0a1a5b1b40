#include "convert/graph_picture.h"

#include <set>

#include "tf/opdefs.h"

namespace graft::convert {
namespace {

struct Colour {
  DType dtype;
  std::string_view name;
};
constexpr Colour kColours[] = {
    {DType::kFloat32, "lightblue"},   {DType::kFloat16, "palegreen"},
    {DType::kBFloat16, "aquamarine"}, {DType::kFloat64, "plum"},
    {DType::kInt8, "gold"},           {DType::kUint8, "khaki"},
    {DType::kInt32, "lightsalmon"},   {DType::kInt64, "tomato"},
    {DType::kBool, "lightgrey"},
};
constexpr std::string_view kOther = "white";

std::string_view ColourOf(DType dtype) {
  for (const Colour& colour : kColours) {
    if (colour.dtype == dtype) return colour.name;
  }
  return kOther;
}

// The dtype of the first result; kInvalid for a node that has none, or is not TensorFlow's.
DType ComputeType(const tf::NodeDef& node) {
  if (node.op == "TRTEngineOp") {
    const Result<std::vector<DType>> types = node.AttrList<DType>("OutT");
    return types.ok() && !types->empty() ? types->front() : DType::kInvalid;
  }
  if (tf::FindOp(node.op) == nullptr) return DType::kInvalid;
  const Result<std::vector<DType>> types = tf::OutputTypes(node);
  return types.ok() && !types->empty() ? types->front() : DType::kInvalid;
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace

std::string GraphPicture(const tf::GraphDef& graph) {
  std::string text = "digraph {\n  node [style=filled, fontsize=10];\n";
  std::set<DType> seen;
  for (const tf::NodeDef& node : graph.nodes) {
    const DType dtype = ComputeType(node);
    seen.insert(dtype);
    const bool engine = node.op == "TRTEngineOp";
    // Quoted by itself: the line break is Graphviz's.
    const std::string name = Quoted(node.name), op = Quoted(node.op);
    text += fmt::format("  {} [label={}\\n{}, fillcolor={}{}];\n", name,
                        std::string_view(name).substr(0, name.size() - 1), op.substr(1),
                        ColourOf(dtype), engine ? ", shape=box3d, penwidth=3" : "");
    for (const std::string& input : node.inputs) {
      const Result<tf::TensorRef> ref = tf::ParseTensorName(input);
      if (!ref.ok()) continue;
      text += fmt::format("  {} -> {}{};\n", Quoted(ref->node), name,
                          ref->is_control() ? " [style=dashed]" : "");
    }
  }
  text += "  subgraph cluster_legend {\n    label=\"compute dtype\";\n";
  for (const DType dtype : seen) {
    text += fmt::format("    \"dtype {0}\" [label={1}, shape=box, fillcolor={2}];\n",
                        TensorFlowName(dtype),
                        dtype == DType::kInvalid ? "none" : TensorFlowName(dtype), ColourOf(dtype));
  }
  return text + "  }\n}\n";
}

}  // namespace graft::convert
