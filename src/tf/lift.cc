#include "tf/lift.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"
#include "tf/inline.h"
#include "tf/opdefs.h"
#include "tf/prune.h"

namespace graft::tf {
namespace {

// Functions that call one another through control flow may do so without end.
constexpr int kMaxControlDepth = 8;
constexpr size_t kMaxNodes = size_t{1} << 22;

struct ControlOp {
  std::string_view op;
  std::vector<std::string_view> functions;  // attributes
  size_t first_argument;
  bool is_loop;               // arguments are results too
  std::string_view in_types;  // attributes
  std::string_view out_types;
};

const ControlOp* FindControlOp(std::string_view op) {
  static const ControlOp kOps[] = {
      {"While", {"cond", "body"}, 0, true, "T", "T"},
      {"StatelessWhile", {"cond", "body"}, 0, true, "T", "T"},
      {"If", {"then_branch", "else_branch"}, 1, false, "Tin", "Tout"},
      {"StatelessIf", {"then_branch", "else_branch"}, 1, false, "Tin", "Tout"},
      {"Case", {"branches"}, 1, false, "Tin", "Tout"},
      {"StatelessCase", {"branches"}, 1, false, "Tin", "Tout"},
  };
  const auto* found = std::ranges::find(kOps, op, &ControlOp::op);
  return found == std::end(kOps) ? nullptr : found;
}

// The node's functions, with the attribute and place of each.
std::vector<LiftedBody> BodiesOf(const NodeDef& node, const ControlOp& op) {
  std::vector<LiftedBody> bodies;
  for (const std::string_view attr : op.functions) {
    const AttrValue* value = node.FindAttr(attr);
    if (value == nullptr) continue;
    if (const auto* function = value->get<FuncValue>()) {
      bodies.push_back(
          {std::string(attr), 0, *function, fmt::format("{}/{}", node.name, attr), {}});
    } else if (const auto* list = value->list<FuncValue>()) {
      for (const FuncValue& function : *list) {
        const int index = static_cast<int>(bodies.size());
        bodies.push_back({std::string(attr),
                          index,
                          function,
                          fmt::format("{}/{}_{}", node.name, attr, index),
                          {}});
      }
    }
  }
  return bodies;
}

void SetFunction(const LiftedBody& body, FuncValue function, NodeDef* node) {
  AttrValue& value = node->attrs[body.attr];
  if (const auto* list = value.list<FuncValue>()) {
    std::vector<FuncValue> functions = *list;
    functions[static_cast<size_t>(body.index)] = std::move(function);
    value = std::move(functions);
  } else {
    value = std::move(function);
  }
}

std::vector<std::string> DataInputs(const NodeDef& node) {
  std::vector<std::string> data;
  for (const std::string& input : node.inputs) {
    if (!input.starts_with('^')) data.push_back(input);
  }
  return data;
}

// Whether a loop's body gives argument `i` back as it came.
bool IsInvariant(const FunctionDef& body, size_t i) {
  const std::string& argument = body.signature.inputs[i].name;
  const auto ret = body.ret.find(body.signature.outputs[i].name);
  if (ret == body.ret.end()) return false;
  std::string edge = ret->second;
  for (int hops = 0; hops < 16; ++hops) {
    if (edge == argument) return true;
    const Result<BodyRef> ref = ParseBodyName(edge);
    if (!ref.ok()) return false;
    const auto node = std::ranges::find(body.nodes, ref->node, &NodeDef::name);
    if (node == body.nodes.end() || node->op != "Identity" || node->inputs.empty()) return false;
    edge = node->inputs[0];
  }
  return false;
}

// What is known of an argument's shape: TensorFlow notes it beside the argument when it traces a
// function, and beside the loop.
Shape ArgumentShape(const NodeDef& node, const FunctionDef& function, size_t i, bool is_loop) {
  auto element = [](const AttrMap& attrs, std::string_view key, size_t at) -> const Shape* {
    const auto found = attrs.find(key);
    if (found == attrs.end()) return nullptr;
    const std::vector<Shape>* list = found->second.list<Shape>();
    return list != nullptr && at < list->size() ? &(*list)[at] : nullptr;
  };
  if (const auto attrs = function.arg_attrs.find(static_cast<uint32_t>(i));
      attrs != function.arg_attrs.end()) {
    if (const Shape* shape = element(attrs->second, "_output_shapes", 0)) return *shape;
  }
  if (is_loop) {
    if (const Shape* shape = element(node.attrs, "output_shapes", i)) return *shape;
  }
  return Shape::Unknown();
}

std::vector<DType> TypeList(const NodeDef& node, std::string_view attr) {
  const AttrValue* types = node.FindAttr(attr);
  const std::vector<DType>* list = types ? types->list<DType>() : nullptr;
  return list ? *list : std::vector<DType>();
}

// Whether a loop notes the shape of each argument.
bool NotesShapes(const NodeDef& node, const ControlOp& op) {
  const AttrValue* value = op.is_loop ? node.FindAttr("output_shapes") : nullptr;
  const std::vector<Shape>* shapes = value ? value->list<Shape>() : nullptr;
  return shapes != nullptr && !shapes->empty() &&
         shapes->size() == TypeList(node, op.in_types).size();
}

std::vector<DType> ResultTypes(const NodeDef& node, const ControlOp& op, const LiftedBody& body,
                               const FunctionDef& function) {
  if (body.attr != "cond") return TypeList(node, op.out_types);
  const auto& outputs = function.signature.outputs;
  return {outputs.size() == 1 && outputs[0].type != DType::kInvalid ? outputs[0].type
                                                                    : DType::kBool};
}

// `list`, of which the element at `first` is the first argument's, without the captured ones.
template <class T>
std::vector<T> Passed(std::vector<T> list, size_t first, const LiftedNode& lifted) {
  size_t i = 0;
  std::erase_if(list, [&](const T&) {
    const size_t argument = i++ - first;
    return argument < lifted.captured.size() && !lifted.captured[argument].empty();
  });
  return list;
}

class Lifter {
 public:
  Lifter(const std::vector<std::string>& fetched, GraphDef* graph)
      : fetched_(fetched.begin(), fetched.end()), graph_(graph) {
    for (const NodeDef& node : graph->nodes) Know(node);
    for (const FunctionDef& function : graph->functions)
      library_.emplace(function.signature.name, &function);
  }

  LiftedNodes Run() {
    std::vector<std::pair<size_t, int>> pending;  // node, depth
    auto find = [&](size_t from, int depth) {
      for (size_t i = from; i < graph_->nodes.size(); ++i) {
        if (FindControlOp(graph_->nodes[i].op)) pending.emplace_back(i, depth);
      }
    };
    find(0, 0);
    for (size_t next = 0; next < pending.size(); ++next) {
      const auto [node, depth] = pending[next];
      const size_t first = graph_->nodes.size();
      if (depth >= kMaxControlDepth || first >= kMaxNodes) continue;
      if (std::optional<LiftedNode> lifted = Lift(node)) {
        lifted_.push_back(*std::move(lifted));
        find(first, depth + 1);
      }
    }
    return std::move(lifted_);
  }

 private:
  const FunctionDef* Find(const std::string& name) const {
    const auto found = library_.find(name);
    return found == library_.end() ? nullptr : found->second;
  }

  // Nothing where the node or a body is not as TensorFlow makes them; TensorFlow will say so.
  std::optional<LiftedNode> Lift(size_t at) {
    const NodeDef& node = graph_->nodes[at];
    const ControlOp& op = *FindControlOp(node.op);
    LiftedNode lifted{.name = node.name, .bodies = BodiesOf(node, op)};
    const std::vector<std::string> inputs = DataInputs(node);
    if (lifted.bodies.empty() || inputs.size() < op.first_argument) return std::nullopt;
    const std::vector<std::string> arguments(
        inputs.begin() + static_cast<ptrdiff_t>(op.first_argument), inputs.end());
    for (const LiftedBody& body : lifted.bodies) {
      const FunctionDef* function = Find(body.function.name);
      if (function == nullptr || function->signature.inputs.size() != arguments.size())
        return std::nullopt;
    }
    const FunctionDef& last = *Find(lifted.bodies.back().function.name);
    if (op.is_loop && last.signature.outputs.size() != arguments.size()) return std::nullopt;
    lifted.captured.resize(arguments.size());
    for (size_t i = 0; i < arguments.size() && !fetched_.contains(node.name); ++i) {
      if (IsSource(arguments[i]) && (!op.is_loop || IsInvariant(last, i)))
        lifted.captured[i] = arguments[i];
    }

    GraphDef islands;
    // Inlining reads the library, which is large.
    islands.functions = std::move(graph_->functions);
    bool whole = true;
    for (LiftedBody& body : lifted.bodies)
      whole = whole && AddCall(node, op, lifted, body, &islands);
    if (whole) {
      const Result<std::vector<KeptCall>> kept = InlineCalls(&islands);
      whole = kept.ok() && std::ranges::none_of(lifted.bodies, [&](const LiftedBody& body) {
                return std::ranges::find(*kept, body.root, &KeptCall::node) != kept->end();
              });
    }
    graph_->functions = std::move(islands.functions);
    for (const NodeDef& added : islands.nodes) whole = whole && !names_.contains(added.name);
    if (!whole) return std::nullopt;
    for (NodeDef& added : islands.nodes) {
      if (op.is_loop && added.name == lifted.bodies.back().root)
        DropCapturedResults(lifted, &added);
    }
    DropUnneeded(lifted, &islands.nodes);
    for (NodeDef& added : islands.nodes) {
      Know(added);
      graph_->nodes.push_back(std::move(added));
    }
    DropCaptured(op, lifted, &graph_->nodes[at]);
    return lifted;
  }

  // A loop's body does not give back what it does not get.
  static void DropCapturedResults(const LiftedNode& lifted, NodeDef* root) {
    std::vector<DType> types;
    if (root->op == "Identity") types = {*root->Attr<DType>("T")};
    if (root->op == "IdentityN") types = TypeList(*root, "T");
    types = Passed(std::move(types), 0, lifted);
    root->inputs = Passed(std::move(root->inputs), 0, lifted);
    root->op = types.empty() ? "NoOp" : "IdentityN";
    root->attrs.clear();
    if (!types.empty()) root->attrs["T"] = std::move(types);
  }

  // Keeps the arguments and what the results and side effects need.
  static void DropUnneeded(const LiftedNode& lifted, std::vector<NodeDef>* islands) {
    std::unordered_map<std::string_view, const NodeDef*> unseen;
    for (const NodeDef& node : *islands) unseen.emplace(node.name, &node);
    std::vector<std::string_view> pending;
    for (const LiftedBody& body : lifted.bodies) {
      pending.emplace_back(body.root);
      pending.insert(pending.end(), body.arguments.begin(), body.arguments.end());
    }
    while (!pending.empty()) {
      const auto found = unseen.find(pending.back());
      pending.pop_back();
      if (found == unseen.end()) continue;  // seen, or the caller's
      for (const std::string& input : found->second->inputs) {
        if (const Result<TensorRef> ref = ParseTensorName(input); ref.ok())
          pending.push_back(ref->node);
      }
      unseen.erase(found);
    }
    std::unordered_set<std::string> dead;
    for (const auto& [name, node] : unseen) dead.emplace(name);
    std::erase_if(*islands, [&](const NodeDef& node) { return dead.contains(node.name); });
  }

  // Takes the captured arguments from the node; who reads what a loop makes of one reads the
  // source.
  void DropCaptured(const ControlOp& op, const LiftedNode& lifted, NodeDef* node) {
    if (std::ranges::all_of(lifted.captured, &std::string::empty)) return;
    std::vector<int> new_output;
    int kept = 0;
    for (const std::string& captured : lifted.captured)
      new_output.push_back(captured.empty() ? kept++ : -1);
    auto drop = [&](auto list, size_t first) { return Passed(std::move(list), first, lifted); };
    if (NotesShapes(*node, op))
      node->attrs["output_shapes"] = drop(*node->FindAttr("output_shapes")->list<Shape>(), 0);
    node->attrs[std::string(op.in_types)] = drop(TypeList(*node, op.in_types), 0);
    node->inputs = drop(node->inputs, op.first_argument);
    // Notes of TensorFlow's, which number the arguments and results.
    for (const char* attr :
         {"_read_only_resource_inputs", "_num_original_outputs", "_output_shapes"})
      node->attrs.erase(attr);
    if (!op.is_loop) return;
    for (NodeDef& reader : graph_->nodes) {
      for (std::string& input : reader.inputs) {
        const Result<TensorRef> ref = ParseTensorName(input);
        if (!ref.ok() || ref->is_control() || ref->node != node->name) continue;
        const auto i = static_cast<size_t>(ref->index);
        if (i >= new_output.size()) continue;
        input = new_output[i] < 0 ? lifted.captured[i] : TensorName(node->name, new_output[i]);
      }
    }
  }

  void Know(const NodeDef& node) {
    names_.insert(node.name);
    if ((node.op == "Const" || node.op == "VarHandleOp") && !fetched_.contains(node.name))
      sources_.insert(node.name);
  }
  // A constant or a handle, which is the same wherever it is read.
  bool IsSource(const std::string& tensor) const {
    const Result<TensorRef> ref = ParseTensorName(tensor);
    return ref.ok() && sources_.contains(std::string(ref->node));
  }

  // The arguments and a call of the body, which is then inlined.
  bool AddCall(const NodeDef& node, const ControlOp& op, const LiftedNode& lifted, LiftedBody& body,
               GraphDef* islands) const {
    const FunctionDef& function = *Find(body.function.name);
    const std::vector<DType> in_types = TypeList(node, op.in_types);
    const std::vector<DType> out_types = ResultTypes(node, op, body, function);
    if (in_types.size() != lifted.captured.size() ||
        out_types.size() != function.signature.outputs.size()) {
      return false;
    }
    NodeDef call{.name = body.root, .op = "PartitionedCall", .device = node.device};
    for (size_t i = 0; i < lifted.captured.size(); ++i) {
      call.inputs.push_back(lifted.captured[i]);
      if (!lifted.captured[i].empty()) continue;
      call.inputs.back() = fmt::format("{}/{}", body.root, function.signature.inputs[i].name);
      body.arguments.push_back(call.inputs.back());
      islands->nodes.push_back(
          {.name = call.inputs.back(),
           .op = "Placeholder",
           .attrs = {{"dtype", in_types[i]},
                     {"shape", ArgumentShape(node, function, i, op.is_loop)}}});
    }
    call.attrs = {{"f", body.function}, {"Tin", in_types}, {"Tout", out_types}};
    AddDefaultAttrs(*FindOp(call.op), &call);
    islands->nodes.push_back(std::move(call));
    return true;
  }

  std::unordered_set<std::string> fetched_;
  GraphDef* graph_;
  std::unordered_map<std::string_view, const FunctionDef*> library_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> sources_;
  LiftedNodes lifted_;
};

class Lowerer {
 public:
  Lowerer(const LiftedNodes& lifted, NodeIndex index, GraphDef* graph)
      : lifted_(lifted), index_(std::move(index)), graph_(graph) {}

  Status Run() {
    // What lies inside of a body is a node of that body again when the body's turn comes.
    for (auto lifted = lifted_.rbegin(); lifted != lifted_.rend(); ++lifted)
      GRAFT_RETURN_IF_ERROR(Lower(*lifted));
    for (auto& [name, function] : functions_) {
      if (graph_->FindFunction(name) == nullptr) graph_->functions.push_back(std::move(function));
    }
    RemoveIslands();
    RemoveOriginals();
    return OkStatus();
  }

 private:
  // A body's nodes on their way into a function.
  struct Island {
    std::string prefix;
    std::vector<int> members;                                // in the graph's order
    std::unordered_map<int, std::string> names;              // of members, in the function
    std::unordered_map<std::string, std::string> arguments;  // outside node → argument's name
    std::set<std::string, std::less<>> taken;                // names in the function
  };

  const NodeDef* Find(std::string_view name) const {
    const int at = index_.Find(name);
    return at < 0 ? nullptr : &graph_->nodes[static_cast<size_t>(at)];
  }

  Status Lower(const LiftedNode& lifted) {
    const int at = index_.Find(lifted.name);
    if (at < 0) return InternalError("{}: the lifted node is gone", lifted.name);
    NodeDef& node = graph_->nodes[static_cast<size_t>(at)];
    const ControlOp& op = *FindControlOp(node.op);
    std::vector<std::string> handles;  // of variables, that the bodies read
    std::vector<Island> islands;
    for (const LiftedBody& body : lifted.bodies) {
      GRAFT_ASSIGN_OR_RETURN(Island island, Collect(body, &handles));
      islands.push_back(std::move(island));
    }
    for (size_t b = 0; b < islands.size(); ++b) {
      const LiftedBody& body = lifted.bodies[b];
      GRAFT_ASSIGN_OR_RETURN(FunctionDef function,
                             MakeFunction(node, op, lifted, body, handles, islands[b]));
      function.signature.name = NewName(function, body);
      SetFunction(body, {function.signature.name, {}}, &node);
      functions_.emplace(function.signature.name, std::move(function));
      for (const int v : islands[b].members) removable_.insert(v);
      removable_.insert(index_.Find(body.root));
      for (const std::string& source : lifted.captured)
        removable_.insert(index_.Find(NodeOf(source)));
      for (const std::string& argument : body.arguments) removable_.insert(index_.Find(argument));
    }
    AddHandles(op, handles, &node);
    return OkStatus();
  }

  // TensorFlow knows functions by their names, all over the process: another function needs another
  // name, and the same content has the same.
  static std::string NewName(const FunctionDef& function, const LiftedBody& body) {
    constexpr std::string_view kMark = "_graft_";
    const std::string& old = body.function.name;
    return fmt::format("{}{}{}", old.substr(0, old.rfind(kMark)), kMark,
                       ToHex(HashBytes(SerializeFunctionDef(function))));
  }

  // All that the root needs up to the arguments; what is read of the caller's nodes besides are
  // constants, which are copied, and handles of variables.
  Result<Island> Collect(const LiftedBody& body, std::vector<std::string>* handles) const {
    Island island{.prefix = body.root + "/"};
    for (const std::string& argument : body.arguments)
      island.arguments[argument] = argument.substr(island.prefix.size());
    const int root = index_.Find(body.root);
    if (root < 0) return InternalError("{}: the lifted body is gone", body.root);
    std::vector<int> pending = {root};
    std::unordered_set<int> seen = {root};
    while (!pending.empty()) {
      const NodeDef& node = graph_->nodes[static_cast<size_t>(pending.back())];
      pending.pop_back();
      for (const std::string& input : node.inputs) {
        GRAFT_ASSIGN_OR_RETURN(const TensorRef ref, ParseTensorName(input));
        const int source = index_.Find(ref.node);
        if (source < 0) return DataLossError("{}: input '{}' names no node", node.name, input);
        const NodeDef& producer = graph_->nodes[static_cast<size_t>(source)];
        const bool inside = producer.name.starts_with(island.prefix);
        if (island.arguments.contains(producer.name)) continue;
        if (ref.is_control() && !inside && producer.op != "TRTEngineOp") continue;
        if (!inside && producer.op == "VarHandleOp") {
          if (std::ranges::find(*handles, producer.name) == handles->end())
            handles->push_back(producer.name);
          continue;
        }
        if (!seen.insert(source).second) continue;
        island.members.push_back(source);
        if (inside || producer.op != "Const") pending.push_back(source);
      }
    }
    std::ranges::sort(island.members);
    return island;
  }

  Result<FunctionDef> MakeFunction(const NodeDef& node, const ControlOp& op,
                                   const LiftedNode& lifted, const LiftedBody& body,
                                   const std::vector<std::string>& handles, Island& island) const {
    const auto original =
        std::ranges::find(graph_->functions, body.function.name,
                          [](const FunctionDef& f) -> const auto& { return f.signature.name; });
    if (original == graph_->functions.end())
      return InternalError("{}: function '{}' is gone", body.root, body.function.name);
    FunctionDef function;
    function.signature.is_stateful = original->signature.is_stateful;
    function.signature.other = original->signature.other;
    function.attrs = original->attrs;
    function.other = original->other;

    const std::vector<DType> in_types = TypeList(node, op.in_types);
    for (size_t i = 0; i < lifted.captured.size(); ++i) {
      if (!lifted.captured[i].empty()) continue;
      ArgDef arg = original->signature.inputs[i];
      arg.type = in_types[function.signature.inputs.size()];
      arg.type_attr.clear();
      const auto attrs = original->arg_attrs.find(static_cast<uint32_t>(i));
      if (attrs != original->arg_attrs.end()) {
        function.arg_attrs[static_cast<uint32_t>(function.signature.inputs.size())] = attrs->second;
      }
      island.taken.insert(arg.name);
      function.signature.inputs.push_back(std::move(arg));
    }
    std::vector<ArgDef> handle_args;
    for (const std::string& handle : handles) {
      const std::string name = Unused("captured_handle", island.taken);
      island.arguments[handle] = name;
      handle_args.push_back({.name = name, .type = DType::kResource});
    }
    function.signature.inputs.insert(function.signature.inputs.end(), handle_args.begin(),
                                     handle_args.end());

    for (const int v : island.members) {
      const std::string& name = graph_->nodes[static_cast<size_t>(v)].name;
      island.names[v] = Unused(
          name.starts_with(island.prefix) ? name.substr(island.prefix.size()) : name, island.taken);
    }
    for (const int v : island.members) {
      const NodeDef& member = graph_->nodes[static_cast<size_t>(v)];
      NodeDef copy = member;
      copy.name = island.names.at(v);
      copy.inputs.clear();
      for (const std::string& input : member.inputs) {
        GRAFT_ASSIGN_OR_RETURN(std::string edge, BodyEdge(input, island));
        if (!edge.empty()) copy.inputs.push_back(std::move(edge));
      }
      function.nodes.push_back(std::move(copy));
    }
    GRAFT_RETURN_IF_ERROR(AddResults(node, op, lifted, body, *original, island, &function));
    if (op.is_loop && body.attr != "cond") {
      for (const ArgDef& arg : handle_args) {
        function.signature.outputs.push_back(arg);
        function.ret[arg.name] = arg.name;
      }
    }
    return function;
  }

  Status AddResults(const NodeDef& node, const ControlOp& op, const LiftedNode& lifted,
                    const LiftedBody& body, const FunctionDef& original, const Island& island,
                    FunctionDef* function) const {
    const std::vector<DType> types = ResultTypes(node, op, body, original);
    std::vector<ArgDef> outputs = original.signature.outputs;
    if (op.is_loop && body.attr != "cond") outputs = Passed(std::move(outputs), 0, lifted);
    for (const std::string& input : Find(body.root)->inputs) {
      GRAFT_ASSIGN_OR_RETURN(const TensorRef ref, ParseTensorName(input));
      if (ref.is_control()) {
        const auto member = island.names.find(index_.Find(ref.node));
        if (member == island.names.end()) continue;
        function->signature.control_outputs.push_back(member->second);
        function->control_ret[member->second] = member->second;
        continue;
      }
      const size_t i = function->signature.outputs.size();
      ArgDef arg = outputs[i];
      arg.type = types[i];
      arg.type_attr.clear();
      GRAFT_ASSIGN_OR_RETURN(function->ret[arg.name], BodyEdge(input, island));
      function->signature.outputs.push_back(std::move(arg));
    }
    return OkStatus();
  }

  // The edge in a function's words; empty for a control edge from outside.
  Result<std::string> BodyEdge(const std::string& input, const Island& island) const {
    GRAFT_ASSIGN_OR_RETURN(const TensorRef ref, ParseTensorName(input));
    if (const auto arg = island.arguments.find(std::string(ref.node));
        arg != island.arguments.end()) {
      return ref.is_control() ? std::string() : arg->second;
    }
    const int source = index_.Find(ref.node);
    const auto name = island.names.find(source);
    if (name == island.names.end()) {
      if (ref.is_control()) return std::string();
      return InternalError("{}: '{}' lies outside", island.prefix, input);
    }
    if (ref.is_control()) return "^" + name->second;
    const NodeDef& producer = graph_->nodes[static_cast<size_t>(source)];
    const FunctionDef* called = graph_->FindFunction(producer.op);
    const OpDef* op = called ? &called->signature : FindOp(producer.op);
    if (op == nullptr) return InternalError("{}: op {} is not known", producer.name, producer.op);
    GRAFT_ASSIGN_OR_RETURN(const std::string output, OutputName(producer, *op, ref.index));
    return fmt::format("{}:{}", name->second, output);
  }

  static std::string Unused(const std::string& wanted, std::set<std::string, std::less<>>& taken) {
    std::string name = wanted;
    for (int i = 1; !taken.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
    return name;
  }

  void AddHandles(const ControlOp& op, const std::vector<std::string>& handles, NodeDef* node) {
    if (handles.empty()) return;
    const auto first_control = std::ranges::find_if(
        node->inputs, [](const auto& input) { return input.starts_with('^'); });
    node->inputs.insert(first_control, handles.begin(), handles.end());
    auto append = [&]<class T>(std::string_view attr, T element) {
      std::vector<T> list = *node->attrs.at(std::string(attr)).list<T>();
      list.insert(list.end(), handles.size(), element);
      node->attrs[std::string(attr)] = std::move(list);
    };
    const bool has_shapes = NotesShapes(*node, op);
    append(op.in_types, DType::kResource);
    if (has_shapes) append("output_shapes", Shape{});
  }

  // Functions that are replaced and that nothing else mentions.
  void RemoveOriginals() {
    std::set<std::string, std::less<>> originals;
    for (const LiftedNode& lifted : lifted_) {
      for (const LiftedBody& body : lifted.bodies) originals.insert(body.function.name);
    }
    const std::vector<bool> used = UsedFunctions(*graph_);
    size_t i = 0;
    std::erase_if(graph_->functions, [&](const FunctionDef& function) {
      return !used[i++] && originals.contains(function.signature.name);
    });
  }

  // Islands, and constants that only they read. What is left may read a constant of an island: the
  // value of a variable that both read.
  void RemoveIslands() {
    removable_.erase(-1);
    std::vector<int> pending;
    std::vector<bool> keep(graph_->nodes.size(), true);
    for (const int v : removable_) keep[static_cast<size_t>(v)] = false;
    for (size_t v = 0; v < keep.size(); ++v) {
      if (keep[v]) pending.push_back(static_cast<int>(v));
    }
    while (!pending.empty()) {
      const NodeDef& node = graph_->nodes[static_cast<size_t>(pending.back())];
      pending.pop_back();
      for (const std::string& input : node.inputs) {
        const int source = index_.Find(NodeOf(input));
        if (source < 0 || keep[static_cast<size_t>(source)]) continue;
        keep[static_cast<size_t>(source)] = true;
        pending.push_back(source);
      }
    }
    size_t i = 0;
    std::erase_if(graph_->nodes, [&](const NodeDef&) { return !keep[i++]; });
  }

  const LiftedNodes& lifted_;
  NodeIndex index_;
  GraphDef* graph_;
  std::map<std::string, FunctionDef> functions_;  // the new ones, by name
  std::set<int> removable_;
};

}  // namespace

bool HasBodies(const GraphDef& graph) {
  return std::ranges::any_of(graph.nodes,
                             [](const NodeDef& node) { return FindControlOp(node.op) != nullptr; });
}

LiftedNodes LiftBodies(const std::vector<std::string>& fetched, GraphDef* graph) {
  if (!HasBodies(*graph)) return {};
  return Lifter(fetched, graph).Run();
}

std::vector<std::string> Roots(const LiftedNodes& lifted) {
  std::vector<std::string> roots;
  for (const LiftedNode& node : lifted) {
    for (const LiftedBody& body : node.bodies) roots.push_back(body.root);
  }
  return roots;
}

std::vector<std::string> Arguments(const LiftedNodes& lifted) {
  std::vector<std::string> arguments;
  for (const LiftedNode& node : lifted) {
    for (const LiftedBody& body : node.bodies)
      arguments.insert(arguments.end(), body.arguments.begin(), body.arguments.end());
  }
  return arguments;
}

Status LowerBodies(const LiftedNodes& lifted, GraphDef* graph) {
  if (lifted.empty()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(NodeIndex index, NodeIndex::Of(graph->nodes));
  return Lowerer(lifted, std::move(index), graph).Run();
}

}  // namespace graft::tf
