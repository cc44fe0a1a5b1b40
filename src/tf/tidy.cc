#include "tf/tidy.h"

#include <algorithm>
#include <unordered_set>

#include "tf/opdefs.h"

namespace graft::tf {
namespace {

constexpr std::string_view kEnter[] = {"Enter", "RefEnter"};
constexpr std::string_view kExit[] = {"Exit", "RefExit"};
constexpr std::string_view kBranch[] = {"Switch", "RefSwitch", "_SwitchN"};
constexpr std::string_view kMerge[] = {"Merge", "RefMerge"};
constexpr std::string_view kNext[] = {"NextIteration", "RefNextIteration"};

template <size_t n>
bool Is(const NodeDef& node, const std::string_view (&ops)[n]) {
  return std::ranges::find(ops, node.op) != std::end(ops);
}

// Which nodes nobody needs to wait for: neither they nor what they need has side effects, and they
// run exactly once. A whole loop of TensorFlow 1 is a computation like any other; what runs inside
// of one, and what a Switch outside of loops decides, may run often or not at all, and a control
// edge from it says so to others.
std::vector<bool> IdleSources(const GraphDef& graph, const NodeIndex& index) {
  const size_t n = graph.nodes.size();
  std::vector<std::vector<int>> readers(n);
  std::vector<int> waiting(n, 0);  // inputs not seen yet, those that close loops left out
  std::vector<bool> busy(n, false);
  for (size_t v = 0; v < n; ++v) {
    const NodeDef& node = graph.nodes[v];
    for (const std::string& input : node.inputs) {
      const Result<TensorRef> ref = ParseTensorName(input);
      const int source = ref.ok() ? index.Find(ref->node) : -1;
      if (source < 0) {
        busy[v] = true;
        continue;
      }
      readers[static_cast<size_t>(source)].push_back(static_cast<int>(v));
      waiting[v] += !(Is(node, kMerge) && Is(graph.nodes[static_cast<size_t>(source)], kNext));
    }
  }
  // How many loops enclose each node.
  std::vector<int> depth(n, -1), ready;
  for (size_t v = 0; v < n; ++v) {
    if (waiting[v] == 0) ready.push_back(static_cast<int>(v));
  }
  std::vector<int> inherited(n, 0);
  while (!ready.empty()) {
    const auto v = static_cast<size_t>(ready.back());
    ready.pop_back();
    const NodeDef& node = graph.nodes[v];
    depth[v] = std::max(0, inherited[v] + Is(node, kEnter) - Is(node, kExit));
    for (int r : readers[v]) {
      const NodeDef& reader = graph.nodes[static_cast<size_t>(r)];
      if (Is(reader, kMerge) && Is(node, kNext)) continue;
      inherited[static_cast<size_t>(r)] = std::max(inherited[static_cast<size_t>(r)], depth[v]);
      if (--waiting[static_cast<size_t>(r)] == 0) ready.push_back(r);
    }
  }
  std::vector<int> pending;
  for (size_t v = 0; v < n; ++v) {
    const NodeDef& node = graph.nodes[v];
    const OpDef* op = FindOp(node.op);
    busy[v] = busy[v] || op == nullptr || op->is_stateful || depth[v] < 0 ||
              node.op == "ControlTrigger" || (Is(node, kBranch) && depth[v] == 0);
    if (busy[v]) pending.push_back(static_cast<int>(v));
  }
  while (!pending.empty()) {
    const int v = pending.back();
    pending.pop_back();
    for (int r : readers[static_cast<size_t>(v)]) {
      if (busy[static_cast<size_t>(r)]) continue;
      busy[static_cast<size_t>(r)] = true;
      pending.push_back(r);
    }
  }
  std::vector<bool> idle(n);
  for (size_t v = 0; v < n; ++v) idle[v] = !busy[v] && depth[v] == 0;
  return idle;
}

}  // namespace

std::map<std::string, int> StripDebugOps(const TidyOptions& options, GraphDef* graph) {
  std::map<std::string, int> removed;
  for (NodeDef& node : graph->nodes) {
    const bool check = node.op == "Assert" || node.op == "CheckNumerics";
    if (check ? options.keep_asserts : node.op != "Print") continue;
    ++removed[node.op];
    if (node.op == "Assert") {
      std::erase_if(node.inputs, [](const std::string& input) { return !input.starts_with('^'); });
      node.op = "NoOp";
      node.attrs.clear();
    } else if (!node.inputs.empty()) {
      // Print's further operands are what it prints.
      std::vector<std::string> kept;
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (i == 0 || node.inputs[i].starts_with('^')) kept.push_back(node.inputs[i]);
      }
      node.inputs = std::move(kept);
      node.op = "Identity";
      std::erase_if(node.attrs, [](const auto& attr) { return attr.first != "T"; });
    }
  }
  return removed;
}

void MakeStateless(const LiftedNodes& lifted, GraphDef* graph) {
  const Result<NodeIndex> index = NodeIndex::Of(graph->nodes);
  if (!index.ok()) return;
  // Whether all that the root needs within its island is stateless.
  auto is_stateless = [&](const std::string& root) {
    std::vector<std::string_view> pending = {root};
    std::unordered_set<std::string_view> seen = {root};
    while (!pending.empty()) {
      const int v = index->Find(pending.back());
      pending.pop_back();
      if (v < 0) return false;
      const NodeDef& node = graph->nodes[static_cast<size_t>(v)];
      const OpDef* op = FindOp(node.op);
      if (op == nullptr || op->is_stateful) return false;
      for (const std::string& input : node.inputs) {
        const Result<TensorRef> ref = ParseTensorName(input);
        if (!ref.ok()) return false;
        if (ref->node.starts_with(root + "/") && seen.insert(ref->node).second)
          pending.push_back(ref->node);
      }
    }
    return true;
  };
  // What lies inside of a body comes before it.
  for (auto node = lifted.rbegin(); node != lifted.rend(); ++node) {
    const int v = index->Find(node->name);
    if (v < 0) continue;
    std::string& op = graph->nodes[static_cast<size_t>(v)].op;
    const std::string stateless = "Stateless" + op;
    const bool all = std::ranges::all_of(
        node->bodies, [&](const LiftedBody& body) { return is_stateless(body.root); });
    if (FindOp(stateless) != nullptr && all) op = stateless;
  }
}

void DropIdleControlEdges(GraphDef* graph) {
  const Result<NodeIndex> index = NodeIndex::Of(graph->nodes);
  if (!index.ok()) return;
  const std::vector<bool> idle = IdleSources(*graph, *index);
  for (NodeDef& node : graph->nodes) {
    std::erase_if(node.inputs, [&](const std::string& input) {
      if (!input.starts_with('^')) return false;
      const int source = index->Find(std::string_view(input).substr(1));
      return source >= 0 && idle[static_cast<size_t>(source)];
    });
  }
}

void ReadConstantsDirectly(GraphDef* graph) {
  const Result<NodeIndex> index = NodeIndex::Of(graph->nodes);
  if (!index.ok()) return;
  // The constant behind each node, empty when there is none. Identities of Identities are rare: one
  // pass in graph order finds those whose source comes first, the others keep their Identity.
  std::vector<std::string_view> constants(graph->nodes.size());
  auto constant_behind = [&](std::string_view input) -> std::string_view {
    const Result<TensorRef> ref = ParseTensorName(input);
    if (!ref.ok() || ref->index != 0) return {};
    const int source = index->Find(ref->node);
    return source < 0 ? std::string_view() : constants[static_cast<size_t>(source)];
  };
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    if (graph->nodes[i].op == "Const") constants[i] = graph->nodes[i].name;
  }
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    const NodeDef& node = graph->nodes[i];
    if (node.op == "Identity" && node.inputs.size() == 1)
      constants[i] = constant_behind(node.inputs[0]);
  }
  for (NodeDef& node : graph->nodes) {
    for (std::string& input : node.inputs) {
      const std::string_view constant = constant_behind(input);
      if (!constant.empty()) input = std::string(constant);
    }
  }
}

void DropGradientNames(GraphDef* graph) {
  constexpr char kGradient[] = "_gradient_op_type";
  for (NodeDef& node : graph->nodes) node.attrs.erase(kGradient);
  for (FunctionDef& function : graph->functions) {
    for (NodeDef& node : function.nodes) node.attrs.erase(kGradient);
  }
}

TidyReport Tidy(const TidyOptions& options, const LiftedNodes& lifted, GraphDef* graph) {
  TidyReport report;
  report.removed = StripDebugOps(options, graph);
  MakeStateless(lifted, graph);
  DropIdleControlEdges(graph);
  ReadConstantsDirectly(graph);
  DropGradientNames(graph);
  return report;
}

void DropDanglingColocation(GraphDef* graph) {
  constexpr std::string_view kPrefix = "loc:@";
  const Result<NodeIndex> index = NodeIndex::Of(graph->nodes);
  if (!index.ok()) return;
  for (NodeDef& node : graph->nodes) {
    const AttrValue* value = node.FindAttr("_class");
    const std::vector<std::string>* list = value ? value->list<std::string>() : nullptr;
    if (list == nullptr) continue;
    std::vector<std::string> kept;
    std::ranges::copy_if(*list, std::back_inserter(kept), [&](const std::string& text) {
      return !text.starts_with(kPrefix) ||
             index->Find(std::string_view(text).substr(kPrefix.size())) >= 0;
    });
    if (kept.size() == list->size()) continue;
    if (kept.empty()) {
      node.attrs.erase("_class");
    } else {
      node.attrs["_class"] = std::move(kept);
    }
  }
}

}  // namespace graft::tf
