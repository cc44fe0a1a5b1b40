#include "partition/shared_constants.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/hash.h"

namespace graft::partition {
namespace {

// A function costs TensorFlow's loaders a millisecond, and every fallback a call.
constexpr size_t kLeastBytes = 64 << 10;

// Of numbers that are stored in so many bytes: a value that repeats is stored once already.
// Null where the node holds none.
const tf::TensorValue* LargeNumbers(const tf::NodeDef& node) {
  const tf::AttrValue* const attr = node.op == "Const" ? node.FindAttr("value") : nullptr;
  const auto* const value = attr == nullptr ? nullptr : attr->get<tf::TensorValue>();
  const bool large =
      value != nullptr && SizeOf(value->dtype()) > 0 && value->EncodedSize() >= kLeastBytes;
  return large ? value : nullptr;
}

constexpr std::string_view kPrefix = "graft_constant_";

tf::FunctionDef ConstantFunction(std::string name, const tf::NodeDef& constant, DType dtype) {
  tf::FunctionDef function;
  function.signature.name = std::move(name);
  function.signature.outputs.push_back({.name = "output", .type = dtype});
  // Nothing but what the name is made of: graphs that have it in common can be one.
  function.nodes.push_back({.name = "value", .op = "Const", .attrs = {{"dtype", dtype}}});
  function.nodes.back().attrs["value"] = *constant.FindAttr("value");
  function.ret["output"] = "value:output:0";
  return function;
}

// The output of PartitionedCall is named as Const's, so that edges to it stay true.
tf::NodeDef Call(const tf::NodeDef& constant, const std::string& function, DType dtype) {
  tf::NodeDef call{.name = constant.name, .op = "PartitionedCall", .inputs = constant.inputs};
  call.attrs = {{"Tin", std::vector<DType>()},      {"Tout", std::vector<DType>{dtype}},
                {"f", tf::FuncValue{function, {}}}, {"config", std::string()},
                {"config_proto", std::string()},    {"executor_type", std::string()}};
  return call;
}

}  // namespace

void ShareConstants(const std::vector<std::string>& functions, tf::GraphDef* graph) {
  const std::set<std::string> among(functions.begin(), functions.end());
  struct Holder {
    size_t function, node;
  };
  std::map<Hash128, std::vector<Holder>> holders;
  for (size_t f = 0; f < graph->functions.size(); ++f) {
    if (!among.contains(graph->functions[f].signature.name)) continue;
    for (size_t n = 0; n < graph->functions[f].nodes.size(); ++n) {
      const tf::NodeDef& node = graph->functions[f].nodes[n];
      if (const tf::TensorValue* const value = LargeNumbers(node))
        holders[value->EncodedHash()].push_back({f, n});
    }
  }
  for (const auto& [hash, places] : holders) {
    const bool shared = std::any_of(places.begin(), places.end(), [&](const Holder& h) {
      return h.function != places[0].function;
    });
    if (!shared) continue;
    const std::string name = std::string(kPrefix) + ToHex(hash);
    const tf::NodeDef constant = graph->functions[places[0].function].nodes[places[0].node];
    const DType dtype = constant.Attr<tf::TensorValue>("value")->dtype();
    for (const Holder& h : places) {
      tf::NodeDef& node = graph->functions[h.function].nodes[h.node];
      node = Call(node, name, dtype);
    }
    if (graph->FindFunction(name) == nullptr)
      graph->functions.push_back(ConstantFunction(name, constant, dtype));
  }
}

void UnshareConstants(tf::GraphDef* graph) {
  std::map<std::string, tf::NodeDef> constants;
  std::erase_if(graph->functions, [&](const tf::FunctionDef& function) {
    const bool constant = function.signature.name.starts_with(kPrefix) &&
                          function.nodes.size() == 1 && function.nodes[0].op == "Const";
    if (constant) constants[function.signature.name] = function.nodes[0];
    return constant;
  });
  for (tf::FunctionDef& function : graph->functions) {
    for (tf::NodeDef& node : function.nodes) {
      if (node.op != "PartitionedCall") continue;
      const Result<tf::FuncValue> called = node.Attr<tf::FuncValue>("f");
      const auto found = called.ok() ? constants.find(called->name) : constants.end();
      if (found == constants.end()) continue;
      node.op = found->second.op;
      node.attrs = found->second.attrs;
    }
  }
}

}  // namespace graft::partition
