#include "tf/tidy.h"

#include <algorithm>

#include "tf/opdefs.h"

namespace graft::tf {
namespace {

constexpr std::string_view kControlFlow[] = {
    "Switch", "RefSwitch", "Merge",         "RefMerge",         "Enter",    "RefEnter",
    "Exit",   "RefExit",   "NextIteration", "RefNextIteration", "LoopCond", "ControlTrigger"};

bool IsPure(const NodeDef& node) {
  const OpDef* op = FindOp(node.op);
  return op != nullptr && !op->is_stateful &&
         std::ranges::find(kControlFlow, node.op) == std::end(kControlFlow);
}

// For each node whether it, and all that it needs, is pure. In a cycle none is.
std::vector<bool> PureCones(const GraphDef& graph, const NodeIndex& index) {
  enum class State : uint8_t { kNew, kOpen, kPure, kImpure };
  std::vector<State> states(graph.nodes.size(), State::kNew);
  struct Frame {
    size_t node;
    size_t next_input = 0;
  };
  std::vector<Frame> stack;
  for (size_t root = 0; root < graph.nodes.size(); ++root) {
    if (states[root] != State::kNew) continue;
    stack.push_back({root});
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const size_t at = frame.node;
      const NodeDef& node = graph.nodes[at];
      if (states[at] == State::kNew) states[at] = IsPure(node) ? State::kOpen : State::kImpure;
      if (states[at] == State::kImpure || frame.next_input == node.inputs.size()) {
        if (states[at] == State::kOpen) states[at] = State::kPure;
        stack.pop_back();
        continue;
      }
      const Result<TensorRef> ref = ParseTensorName(node.inputs[frame.next_input]);
      const int source = ref.ok() ? index.Find(ref->node) : -1;
      if (source < 0) {
        states[at] = State::kImpure;
        continue;
      }
      switch (states[static_cast<size_t>(source)]) {
        case State::kNew:
          stack.push_back({static_cast<size_t>(source)});
          break;
        case State::kPure:
          ++frame.next_input;
          break;
        case State::kOpen:
        case State::kImpure:
          states[at] = State::kImpure;
          break;
      }
    }
  }
  std::vector<bool> pure;
  for (State state : states) pure.push_back(state == State::kPure);
  return pure;
}

}  // namespace

void StripDebugOps(GraphDef* graph) {
  for (NodeDef& node : graph->nodes) {
    if (node.op == "Assert") {
      std::erase_if(node.inputs, [](const std::string& input) { return !input.starts_with('^'); });
      node.op = "NoOp";
      node.attrs.clear();
    } else if ((node.op == "CheckNumerics" || node.op == "Print") && !node.inputs.empty()) {
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
}

void DropIdleControlEdges(GraphDef* graph) {
  const Result<NodeIndex> index = NodeIndex::Of(graph->nodes);
  if (!index.ok()) return;
  const std::vector<bool> pure = PureCones(*graph, *index);
  for (NodeDef& node : graph->nodes) {
    std::erase_if(node.inputs, [&](const std::string& input) {
      if (!input.starts_with('^')) return false;
      const int source = index->Find(std::string_view(input).substr(1));
      return source >= 0 && pure[static_cast<size_t>(source)];
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

void Tidy(GraphDef* graph) {
  StripDebugOps(graph);
  DropIdleControlEdges(graph);
  ReadConstantsDirectly(graph);
  DropGradientNames(graph);
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
