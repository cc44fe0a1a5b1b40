#include "tf/prune.h"

#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/executor.h"

namespace graft::tf {
namespace {

// Calls use(name) for every function that the attributes mention.
void ForEachFunction(const AttrMap& attrs, FunctionRef<void(std::string_view)> use) {
  auto visit = [&](const FuncValue& func) {
    use(func.name);
    ForEachFunction(func.attrs, use);
  };
  for (const auto& [key, value] : attrs) {
    if (const auto* func = value.get<FuncValue>()) visit(*func);
    if (const auto* list = value.list<FuncValue>()) {
      for (const FuncValue& func : *list) visit(func);
    }
  }
}

}  // namespace

std::vector<bool> UsedFunctions(const GraphDef& graph) {
  std::unordered_map<std::string_view, const FunctionDef*> library;
  for (const FunctionDef& function : graph.functions)
    library.emplace(function.signature.name, &function);
  std::unordered_map<std::string_view, std::string_view> gradients;
  for (const GradientDef& gradient : graph.gradients)
    gradients.emplace(gradient.function, gradient.gradient);

  std::unordered_set<std::string_view> used;
  std::vector<const FunctionDef*> pending;
  auto use = [&](std::string_view name) {
    const auto it = library.find(name);
    if (it != library.end() && used.insert(it->first).second) pending.push_back(it->second);
  };
  auto use_all = [&](const std::vector<NodeDef>& nodes) {
    for (const NodeDef& node : nodes) {
      use(node.op);
      ForEachFunction(node.attrs, use);
    }
  };
  use_all(graph.nodes);
  while (!pending.empty()) {
    const FunctionDef* function = pending.back();
    pending.pop_back();
    use_all(function->nodes);
    ForEachFunction(function->attrs, use);
    const auto gradient = gradients.find(function->signature.name);
    if (gradient != gradients.end()) use(gradient->second);
  }
  std::vector<bool> marks;
  for (const FunctionDef& function : graph.functions)
    marks.push_back(used.contains(function.signature.name));
  return marks;
}

Result<std::vector<bool>> Needed(const GraphDef& graph, const std::vector<std::string>& roots) {
  GRAFT_ASSIGN_OR_RETURN(const NodeIndex index, NodeIndex::Of(graph.nodes));
  std::vector<bool> needed(graph.nodes.size());
  std::vector<int> pending;
  auto need = [&](int node) {
    if (needed[static_cast<size_t>(node)]) return;
    needed[static_cast<size_t>(node)] = true;
    pending.push_back(node);
  };
  for (const std::string& root : roots) {
    const int node = index.Find(root);
    if (node < 0) return NotFoundError("no node '{}' in the graph", root);
    need(node);
  }
  while (!pending.empty()) {
    const NodeDef& node = graph.nodes[static_cast<size_t>(pending.back())];
    pending.pop_back();
    for (const std::string& input : node.inputs) {
      Result<TensorRef> ref = ParseTensorName(input);
      if (!ref.ok()) return ref.status().WithContext(node.name);
      const int source = index.Find(ref->node);
      if (source < 0) return DataLossError("{}: input '{}' names no node", node.name, input);
      need(source);
    }
  }
  return needed;
}

void Prune(const std::vector<bool>& keep, GraphDef* graph) {
  size_t i = 0;
  std::erase_if(graph->nodes, [&](const NodeDef&) { return !keep[i++]; });
  const std::vector<bool> used = UsedFunctions(*graph);
  std::set<std::string, std::less<>> gone;
  for (size_t f = 0; f < used.size(); ++f) {
    if (!used[f]) gone.insert(graph->functions[f].signature.name);
  }
  std::erase_if(graph->gradients,
                [&](const GradientDef& gradient) { return gone.contains(gradient.function); });
  std::erase_if(graph->functions, [&](const FunctionDef& function) {
    return gone.contains(function.signature.name);
  });
}

}  // namespace graft::tf
