#include "tf/inline.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "tf/opdefs.h"

namespace graft::tf {
namespace {

constexpr int kMaxCallDepth = 64;
// A few functions that call one another twice unfold to 2^n nodes. Bytes of names and small
// attributes, shared tensors not counted.
constexpr size_t kMaxUnfoldedBytes = size_t{1} << 29;

bool IsCallOp(std::string_view op) {
  return op == "PartitionedCall" || op == "StatefulPartitionedCall";
}

size_t Weight(const NodeDef& node) {
  size_t weight = node.name.size() + node.op.size() + node.device.size() + sizeof(NodeDef);
  for (const std::string& input : node.inputs) weight += input.size() + sizeof(std::string);
  for (const auto& [key, value] : node.attrs) {
    weight += key.size() + sizeof(AttrMap::value_type);
    if (const auto* text = value.get<std::string>()) weight += text->size();
    if (const auto* list = value.list<std::string>()) {
      for (const std::string& text : *list) weight += text.size();
    }
    if (const auto* list = value.list<int64_t>()) weight += 8 * list->size();
  }
  return weight + node.other.size();
}

// TensorFlow 1's loops in a function's body: what is inside waits for what is outside only through
// an Enter, and what is outside waits for it only through an Exit.
class Loops {
 public:
  Loops(const FunctionDef& function, const NodeIndex& index)
      : nodes_(function.nodes), levels_(nodes_.size(), 0) {
    if (std::ranges::none_of(nodes_, [](const NodeDef& n) { return Is(n, "Enter"); })) return;
    readers_.resize(nodes_.size());
    sources_.resize(nodes_.size());
    std::deque<size_t> changed;
    for (size_t v = 0; v < nodes_.size(); ++v) {
      for (const std::string& input : nodes_[v].inputs) {
        const Result<BodyRef> ref = ParseBodyName(input);
        const int source = ref.ok() ? index.Find(ref->node) : -1;
        if (source < 0 || Is(nodes_[static_cast<size_t>(source)], "NextIteration")) continue;
        sources_[v].push_back(static_cast<size_t>(source));
        readers_[static_cast<size_t>(source)].push_back(v);
      }
      changed.push_back(v);
    }
    while (!changed.empty()) {
      const size_t v = changed.front();
      changed.pop_front();
      int level = 0;
      for (const size_t source : sources_[v]) level = std::max(level, levels_[source]);
      if (Is(nodes_[v], "Enter")) ++level;
      if (Is(nodes_[v], "Exit")) level = std::max(level - 1, 0);
      if (level <= levels_[v] || level > kMostLevels) continue;
      levels_[v] = level;
      changed.insert(changed.end(), readers_[v].begin(), readers_[v].end());
    }
  }
  bool Inside(size_t v) const { return levels_[v] > 0; }
  bool IsEntrance(size_t v) const { return levels_[v] == 1 && Is(nodes_[v], "Enter"); }
  // What says outside that node v is done: itself, or its outermost loop's exits.
  std::vector<size_t> Ends(size_t v) const {
    if (!Inside(v)) return {v};
    std::vector<size_t> ends, next = {v};
    std::vector<bool> seen(nodes_.size(), false);
    while (!next.empty()) {
      const size_t u = next.back();
      next.pop_back();
      if (seen[u]) continue;
      seen[u] = true;
      if (Inside(u)) {
        next.insert(next.end(), readers_[u].begin(), readers_[u].end());
        next.insert(next.end(), sources_[u].begin(), sources_[u].end());
      } else if (Is(nodes_[u], "Exit")) {
        ends.push_back(u);
      }
    }
    return ends;
  }

 private:
  static constexpr int kMostLevels = 100;  // in a broken graph levels would have no end
  // Of values or of references.
  static bool Is(const NodeDef& node, std::string_view op) {
    return node.op == op || (node.op.starts_with("Ref") && node.op.substr(3) == op);
  }

  const std::vector<NodeDef>& nodes_;
  std::vector<int> levels_;  // how many loops its results are in
  // But for the edges that lead back into the next turn.
  std::vector<std::vector<size_t>> readers_, sources_;
};

class Inliner {
 public:
  explicit Inliner(GraphDef* graph) : graph_(graph) {
    for (const FunctionDef& function : graph->functions)
      library_.emplace(function.signature.name, &function);
  }

  Result<std::vector<KeptCall>> Run() {
    for (size_t i = 0; i < graph_->nodes.size(); ++i) pending_.push_back({i, 0});
    std::reverse(pending_.begin(), pending_.end());
    while (!pending_.empty()) {
      const Pending next = pending_.back();
      pending_.pop_back();
      const NodeDef& node = graph_->nodes[next.node];
      GRAFT_ASSIGN_OR_RETURN(const std::optional<Call> call, CallOf(node));
      if (!call) continue;
      const std::string reason =
          next.depth >= kMaxCallDepth
              ? fmt::format("calls nest deeper than {} levels", kMaxCallDepth)
              : WhyNot(*call->function);
      if (!reason.empty()) {
        kept_.push_back({node.name, call->function->signature.name, reason});
        continue;
      }
      GRAFT_RETURN_IF_ERROR(Inline(next));
    }
    Bypass();
    return std::move(kept_);
  }

 private:
  struct Pending {
    size_t node;
    int depth;
  };
  struct Call {
    const FunctionDef* function;
    const AttrMap* attrs;  // values of the function's attributes
  };

  const FunctionDef* Find(std::string_view name) const {
    const auto it = library_.find(name);
    return it == library_.end() ? nullptr : it->second;
  }
  // A function hides an op of the same name, as it does in TensorFlow.
  const OpDef* SignatureOf(std::string_view op) const {
    const FunctionDef* function = Find(op);
    return function ? &function->signature : FindOp(op);
  }

  Result<std::optional<Call>> CallOf(const NodeDef& node) const {
    if (const FunctionDef* function = Find(node.op))
      return std::optional<Call>({function, &node.attrs});
    if (!IsCallOp(node.op)) return std::optional<Call>();
    const AttrValue* f = node.FindAttr("f");
    const FuncValue* func = f ? f->get<FuncValue>() : nullptr;
    if (func == nullptr) return DataLossError("{}: {} without a function", node.name, node.op);
    const FunctionDef* function = Find(func->name);
    if (function == nullptr) {
      return DataLossError("{}: calls function '{}', which the graph does not have", node.name,
                           func->name);
    }
    return std::optional<Call>({function, &func->attrs});
  }

  // Why calls of the function must stay; empty when they need not.
  std::string WhyNot(const FunctionDef& function) {
    const auto [it, is_new] = why_not_.try_emplace(&function);
    if (!is_new) return it->second;
    for (const auto* args : {&function.signature.inputs, &function.signature.outputs}) {
      for (const ArgDef& arg : *args) {
        if (!arg.number_attr.empty() || !arg.type_list_attr.empty())
          return it->second = fmt::format("argument '{}' is a list", arg.name);
      }
    }
    for (const NodeDef& node : function.nodes) {
      if (SignatureOf(node.op) == nullptr) {
        return it->second =
                   fmt::format("its body has node {} of custom op {}, not an op of TensorFlow",
                               node.name, node.op);
      }
    }
    return {};
  }

  Status Inline(Pending at) {
    const NodeDef caller = graph_->nodes[at.node];  // a copy: nodes are added below
    GRAFT_ASSIGN_OR_RETURN(const std::optional<Call> found, CallOf(caller));
    const Call& call = *found;
    const FunctionDef& function = *call.function;
    auto bad = [&](std::string_view what) {
      return DataLossError("{}: calls function '{}' {}", caller.name, function.signature.name,
                           what);
    };

    // The call's inputs.
    std::vector<std::string> data, control;
    for (const std::string& input : caller.inputs)
      (input.starts_with('^') ? control : data).push_back(input);
    if (data.size() != function.signature.inputs.size()) {
      return bad(fmt::format("with {} arguments instead of {}", data.size(),
                             function.signature.inputs.size()));
    }
    std::unordered_map<std::string_view, const std::string*> args;
    for (size_t i = 0; i < data.size(); ++i)
      args.emplace(function.signature.inputs[i].name, &data[i]);
    Result<NodeIndex> index = NodeIndex::Of(function.nodes);
    if (!index.ok()) return bad(index.status().message());
    const std::string prefix = caller.name + "/";

    // The name in the main graph of what the body calls `edge`.
    auto map_edge = [&](const std::string& edge) -> Result<std::string> {
      GRAFT_ASSIGN_OR_RETURN(const BodyRef ref, ParseBodyName(edge));
      if (const auto arg = args.find(ref.node); arg != args.end() && ref.output.empty()) {
        if (!ref.control) return *arg->second;
        GRAFT_ASSIGN_OR_RETURN(const TensorRef source, ParseTensorName(*arg->second));
        return TensorName(source.node, TensorRef::kControl);
      }
      const int node = index->Find(ref.node);
      if (node < 0) return DataLossError("'{}' names no node or argument", edge);
      const std::string name = prefix + std::string(ref.node);
      if (ref.control) return TensorName(name, TensorRef::kControl);
      const NodeDef& source = function.nodes[static_cast<size_t>(node)];
      const OpDef& op = *SignatureOf(source.op);
      if (ref.output.empty()) return name;  // tolerated by TensorFlow for output 0
      NodeDef typed{.name = source.name, .op = source.op, .attrs = source.attrs};
      GRAFT_RETURN_IF_ERROR(Substitute(call, function, &typed.attrs));
      GRAFT_ASSIGN_OR_RETURN(const int output, OutputIndex(typed, op, ref.output, ref.index));
      return TensorName(name, output);
    };

    const Loops loops(function, *index);

    // The body.
    std::vector<std::string> stateful;
    const size_t first = graph_->nodes.size();
    for (size_t v = 0; v < function.nodes.size(); ++v) {
      const NodeDef& node = function.nodes[v];
      NodeDef copy = node;
      copy.name = prefix + node.name;
      if (copy.device.empty()) copy.device = caller.device;
      GRAFT_RETURN_IF_ERROR(Substitute(call, function, &copy.attrs));
      bool has_data = false;
      for (std::string& input : copy.inputs) {
        has_data |= !input.starts_with('^');
        Result<std::string> mapped = map_edge(input);
        if (!mapped.ok()) {
          return mapped.status().WithContext(fmt::format(
              "{}: function '{}': node '{}'", caller.name, function.signature.name, node.name));
        }
        input = std::move(mapped).value();
      }
      // What the call waited for, its sources and side effects wait for. The rest needs not.
      const bool is_stateful = SignatureOf(node.op)->is_stateful;
      if (is_stateful) stateful.push_back(node.name);
      if (loops.Inside(v) ? loops.IsEntrance(v) : is_stateful || !has_data)
        copy.inputs.insert(copy.inputs.end(), control.begin(), control.end());
      bytes_ += Weight(copy);
      if (bytes_ > kMaxUnfoldedBytes) {
        return UnsupportedError("{}: the function calls unfold to over {} MiB of nodes",
                                caller.name, kMaxUnfoldedBytes >> 20);
      }
      if (!names_ready_) IndexNames();
      if (!names_.insert(copy.name).second)
        return bad(fmt::format("whose inlined node '{}' has the name of another", copy.name));
      graph_->nodes.push_back(std::move(copy));
    }
    for (size_t i = graph_->nodes.size(); i > first; --i) pending_.push_back({i - 1, at.depth + 1});

    // The outputs.
    std::vector<std::string> outputs;
    for (const ArgDef& output : function.signature.outputs) {
      const auto ret = function.ret.find(output.name);
      if (ret == function.ret.end())
        return bad(fmt::format("whose output '{}' is nothing", output.name));
      Result<std::string> mapped = map_edge(ret->second);
      if (!mapped.ok()) return bad(mapped.status().message());
      bypass_.emplace(TensorName(caller.name, static_cast<int>(outputs.size())), *mapped);
      outputs.push_back(std::move(mapped).value());
    }
    std::vector<std::string> awaited;
    for (const auto& [name, node] : function.control_ret) awaited.push_back(node);
    // Functions older than control outputs say nothing of their side effects.
    if (function.signature.control_outputs.empty()) awaited = std::move(stateful);
    std::vector<std::string> after;
    for (const std::string& node : awaited) {
      const int v = index->Find(node);
      if (v < 0) return bad(fmt::format("whose side effect '{}' is nothing", node));
      for (const size_t end : loops.Ends(static_cast<size_t>(v)))
        after.push_back("^" + prefix + function.nodes[end].name);
    }
    if (outputs.empty()) after.insert(after.end(), control.begin(), control.end());
    std::ranges::sort(after);
    after.erase(std::unique(after.begin(), after.end()), after.end());
    return ReplaceCaller(at.node, std::move(outputs), std::move(after));
  }

  Status ReplaceCaller(size_t at, std::vector<std::string> outputs,
                       std::vector<std::string> after) {
    NodeDef& node = graph_->nodes[at];
    GRAFT_ASSIGN_OR_RETURN(std::vector<DType> types, OutputTypes(node, *SignatureOf(node.op)));
    if (types.size() != outputs.size()) {
      return DataLossError("{}: calls a function of {} outputs for {}", node.name, outputs.size(),
                           types.size());
    }
    node.attrs.clear();
    node.other.clear();
    node.inputs = std::move(outputs);
    node.inputs.insert(node.inputs.end(), after.begin(), after.end());
    if (types.empty()) {
      node.op = "NoOp";
    } else if (types.size() == 1) {
      node.op = "Identity";
      node.attrs["T"] = types[0];
    } else {
      node.op = "IdentityN";
      node.attrs["T"] = std::move(types);
    }
    return OkStatus();
  }

  // Gives placeholders the values of the call.
  static Status Substitute(const Call& call, const FunctionDef& function, AttrMap* attrs) {
    for (auto& [key, value] : *attrs) {
      const auto* placeholder = value.get<PlaceholderValue>();
      if (placeholder == nullptr) continue;
      const auto given = call.attrs->find(placeholder->name);
      const AttrDef* declared = function.signature.FindAttr(placeholder->name);
      if (given != call.attrs->end()) {
        value = AttrValue(given->second);
      } else if (declared != nullptr && declared->has_default) {
        value = AttrValue(declared->default_value);
      } else {
        return DataLossError("function '{}': nothing gives attribute '{}'", function.signature.name,
                             placeholder->name);
      }
    }
    return OkStatus();
  }

  void IndexNames() {
    for (const NodeDef& node : graph_->nodes) names_.insert(node.name);
    names_ready_ = true;
  }

  // Lets consumers of an inlined call's outputs read the body's tensors themselves.
  void Bypass() {
    for (NodeDef& node : graph_->nodes) {
      for (std::string& input : node.inputs) {
        if (input.ends_with(":0")) input.resize(input.size() - 2);
        // Calls may return one another's outputs; hostile ones, in a circle.
        for (int hops = 0; hops <= kMaxCallDepth; ++hops) {
          const auto it = bypass_.find(input);
          if (it == bypass_.end()) break;
          input = it->second;
        }
      }
    }
  }

  GraphDef* graph_;
  std::unordered_map<std::string_view, const FunctionDef*> library_;
  std::unordered_map<const FunctionDef*, std::string> why_not_;
  std::vector<Pending> pending_;
  std::vector<KeptCall> kept_;
  std::unordered_map<std::string, std::string> bypass_;  // output of a call → tensor of its body
  std::unordered_set<std::string> names_;
  bool names_ready_ = false;
  size_t bytes_ = 0;
};

}  // namespace

Result<std::vector<KeptCall>> InlineCalls(GraphDef* graph) { return Inliner(graph).Run(); }

}  // namespace graft::tf
