#include "convert/input_defaults.h"

#include <algorithm>
#include <set>

#include "backends/reference/evaluator.h"
#include "import/importer.h"
#include "tf/prune.h"

namespace graft::convert {
namespace {

Result<std::string> NodeOf(const std::string& tensor) {
  GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(tensor));
  return std::string(ref.node);
}

// The tensor's value; invalid where something that is not converted, or a caller, decides it.
Result<Tensor> Evaluate(const tf::GraphDef& graph, const std::string& tensor,
                        const std::set<std::string, std::less<>>& fed) {
  GRAFT_ASSIGN_OR_RETURN(const std::string root, NodeOf(tensor));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> needed, tf::Needed(graph, {root}));
  tf::GraphDef part;
  part.versions = graph.versions;
  for (size_t v = 0; v < needed.size(); ++v) {
    if (needed[v] && fed.contains(graph.nodes[v].name)) return Tensor();
    if (needed[v]) part.nodes.push_back(graph.nodes[v]);
  }
  GRAFT_ASSIGN_OR_RETURN(
      const importer::ImportedGraph imported,
      importer::ImportGraph(part, {}, {tensor}, {.take_defaults = true, .evaluate = {}}));
  const bool whole = std::ranges::all_of(imported.nodes, [](const importer::NodeReport& node) {
    return node.decision != importer::Decision::kRefused;
  });
  if (!whole) return Tensor();
  Result<std::vector<Tensor>> values = reference::RunModule(imported.module, {});
  return values.ok() ? values->front() : Tensor();
}

}  // namespace

Result<std::vector<Tensor>> InputDefaults(const tf::GraphDef& graph,
                                          const std::vector<std::string>& inputs) {
  GRAFT_ASSIGN_OR_RETURN(const tf::NodeIndex index, tf::NodeIndex::Of(graph.nodes));
  std::set<std::string, std::less<>> fed;
  for (const std::string& input : inputs) {
    GRAFT_ASSIGN_OR_RETURN(std::string node, NodeOf(input));
    fed.insert(std::move(node));
  }
  std::vector<Tensor> defaults(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string name, NodeOf(inputs[i]));
    const int v = index.Find(name);
    if (v < 0) continue;
    const tf::NodeDef& node = graph.nodes[static_cast<size_t>(v)];
    if (node.op != "PlaceholderWithDefault" || node.inputs.empty()) continue;
    GRAFT_ASSIGN_OR_RETURN(defaults[i], Evaluate(graph, node.inputs[0], fed));
  }
  return defaults;
}

}  // namespace graft::convert
