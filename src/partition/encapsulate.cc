#include "partition/encapsulate.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "base/executor.h"
#include "ir/binding_names.h"
#include "tf/opdefs.h"
#include "tf/tidy.h"

namespace graft::partition {
namespace {

// In a function's signature the binding names are lower case, as TensorFlow writes argument names.
std::string ArgName(size_t i) { return fmt::format("tensorrtinputph_{}", i); }
std::string RetName(size_t i) { return fmt::format("tensorrtoutputph_{}", i); }

using Edge = WiredGraph::Edge;

// "output_arg:index" of a node's output, as function bodies name it.
Result<std::string> BodyEdge(const tf::NodeDef& node, int output) {
  if (output == tf::TensorRef::kControl) return "^" + node.name;
  const tf::OpDef* op = tf::FindOp(node.op);
  if (op == nullptr) return UnsupportedError("{}: op {} is not TensorFlow's", node.name, node.op);
  GRAFT_ASSIGN_OR_RETURN(const std::string name, tf::OutputName(node, *op, output));
  return fmt::format("{}:{}", node.name, name);
}

using Tensor = std::pair<int, int>;  // node, output

// For every tensor that enters a segment, the number of its port.
std::map<Tensor, size_t> PortNumbers(const std::vector<Port>& ports) {
  std::map<Tensor, size_t> numbers;
  for (size_t i = 0; i < ports.size(); ++i) numbers[{ports[i].node, ports[i].output}] = i;
  return numbers;
}

// Members and copied constants, constants first.
std::vector<int> BodyNodes(const SegmentPorts& ports) {
  std::vector<int> nodes = ports.constants;
  nodes.insert(nodes.end(), ports.nodes.begin(), ports.nodes.end());
  return nodes;
}

// A copy of the node without its inputs and its place: inside an engine there is one device.
tf::NodeDef Bare(const tf::NodeDef& node) {
  tf::NodeDef copy = node;
  copy.inputs.clear();
  copy.device.clear();
  std::erase_if(copy.attrs, [](const auto& attr) { return attr.first == "_class"; });
  return copy;
}

// Adds a copied node, after what it is computed of, unless it is there.
void AddConstant(const WiredGraph& wired, int node, std::set<int>* known, std::vector<int>* list) {
  if (known->contains(node)) return;
  std::vector<std::pair<int, size_t>> stack = {{node, 0}};
  known->insert(node);
  while (!stack.empty()) {
    auto& [v, next] = stack.back();
    if (next == wired.inputs(v).size()) {
      list->push_back(v);
      stack.pop_back();
      continue;
    }
    const Edge& e = wired.inputs(v)[next++];
    if (e.output != tf::TensorRef::kControl && known->insert(e.node).second)
      stack.emplace_back(e.node, 0);
  }
}

// Removes from each engine's control inputs those that its other inputs wait for. A Merge waits for
// one of its inputs only.
Status DropImpliedControls(tf::GraphDef* graph) {
  GRAFT_ASSIGN_OR_RETURN(const tf::NodeIndex index, tf::NodeIndex::Of(graph->nodes));
  for (tf::NodeDef& engine : graph->nodes) {
    if (engine.op != "TRTEngineOp" || engine.inputs.empty() || engine.inputs.back()[0] != '^')
      continue;
    std::vector<bool> waits(graph->nodes.size(), false);  // for these the engine waits anyway
    std::vector<int> pending;
    auto wait_for_inputs = [&](const tf::NodeDef& node, bool also_controls) -> Status {
      for (const std::string& input : node.inputs) {
        GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(input));
        const int source = index.Find(ref.node);
        if (source < 0 || waits[source] || (ref.is_control() && !also_controls)) continue;
        waits[source] = true;
        pending.push_back(source);
      }
      return OkStatus();
    };
    GRAFT_RETURN_IF_ERROR(wait_for_inputs(engine, false));
    for (const std::string& input : engine.inputs) {
      if (input[0] == '^') pending.push_back(index.Find(std::string_view(input).substr(1)));
    }
    while (!pending.empty()) {
      const int v = pending.back();
      pending.pop_back();
      if (v < 0) continue;
      const tf::NodeDef& node = graph->nodes[v];
      if (node.op != "Merge" && node.op != "RefMerge")
        GRAFT_RETURN_IF_ERROR(wait_for_inputs(node, true));
    }
    std::erase_if(engine.inputs, [&](const std::string& input) {
      if (input[0] != '^') return false;
      const int source = index.Find(std::string_view(input).substr(1));
      return source >= 0 && waits[source];
    });
  }
  return OkStatus();
}

}  // namespace

std::string NativeSegmentName(const std::string& engine) { return engine + "_native_segment"; }

Result<std::vector<SegmentPorts>> FindPorts(const WiredGraph& wired,
                                            const std::vector<std::vector<int>>& segments,
                                            const std::vector<bool>& copied,
                                            const std::vector<std::string>& fetches,
                                            const std::vector<std::string>& engine_names,
                                            const TensorInfo& info) {
  const int n = wired.node_count();
  std::vector<int> segment_of(n, -1);
  std::vector<SegmentPorts> all(segments.size());
  for (size_t s = 0; s < segments.size(); ++s) {
    all[s].engine = engine_names[s];
    all[s].nodes = segments[s];
    for (int v : segments[s]) segment_of[v] = static_cast<int>(s);
  }
  for (SegmentPorts& ports : all) {
    std::set<Tensor> known;
    std::set<int> constants, controls;
    for (int v : ports.nodes) {
      for (const Edge& e : wired.inputs(v)) {
        if (segment_of[e.node] == segment_of[v]) continue;
        const bool control = e.output == tf::TensorRef::kControl;
        if (copied[e.node]) {
          if (!control) AddConstant(wired, e.node, &constants, &ports.constants);
        } else if (control) {
          if (controls.insert(e.node).second) ports.control_inputs.push_back(e.node);
        } else if (known.insert({e.node, e.output}).second) {
          GRAFT_ASSIGN_OR_RETURN(Port port, info(e.node, e.output));
          ports.inputs.push_back(std::move(port));
        }
      }
    }
  }
  // Outputs: what others read, then what the user fetches, in topological order of the members.
  std::set<Tensor> needed;
  for (int v = 0; v < n; ++v) {
    for (const Edge& e : wired.inputs(v)) {
      if (e.output >= 0 && segment_of[e.node] >= 0 && segment_of[e.node] != segment_of[v])
        needed.insert({e.node, e.output});
    }
  }
  for (const std::string& fetch : fetches) {
    GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(fetch));
    const int v = wired.index().Find(ref.node);
    if (v < 0) return InvalidArgumentError("output '{}' does not exist", fetch);
    if (ref.is_control()) return InvalidArgumentError("output '{}' is no tensor", fetch);
    if (segment_of[v] < 0) continue;
    // All outputs up to the fetched one: their stand-in has them in order.
    for (int i = 0; i <= ref.index; ++i) needed.insert({v, i});
  }
  for (SegmentPorts& ports : all) {
    for (int v : ports.nodes) {
      for (auto it = needed.lower_bound({v, 0}); it != needed.end() && it->first == v; ++it) {
        GRAFT_ASSIGN_OR_RETURN(Port port, info(v, it->second));
        ports.outputs.push_back(std::move(port));
      }
    }
  }
  return all;
}

std::vector<std::string> OutputTensors(const tf::GraphDef& graph, const SegmentPorts& ports) {
  std::vector<std::string> names;
  for (const Port& port : ports.outputs)
    names.push_back(tf::TensorName(graph.nodes[port.node].name, port.output));
  return names;
}

namespace {

// The segment's nodes, their inputs named by `argument` where they are ports and by `edge` where
// they are nodes of the segment. Control edges from outside are left out: the engine node waits for
// them.
Result<std::vector<tf::NodeDef>> Members(
    const WiredGraph& wired, const SegmentPorts& ports, std::string (*argument)(size_t port),
    FunctionRef<Result<std::string>(const tf::NodeDef& producer, int output)> edge) {
  const std::map<Tensor, size_t> numbers = PortNumbers(ports.inputs);
  const std::vector<int> body = BodyNodes(ports);
  const std::set<int> inside(body.begin(), body.end());
  std::vector<tf::NodeDef> members;
  for (int v : body) {
    tf::NodeDef& node = members.emplace_back(Bare(wired.node(v)));
    for (const Edge& e : wired.inputs(v)) {
      if (const auto port = numbers.find({e.node, e.output}); port != numbers.end()) {
        node.inputs.push_back(argument(port->second));
      } else if (inside.contains(e.node)) {
        GRAFT_ASSIGN_OR_RETURN(std::string name, edge(wired.node(e.node), e.output));
        node.inputs.push_back(std::move(name));
      }
    }
  }
  return members;
}

}  // namespace

Result<tf::GraphDef> SegmentGraph(const WiredGraph& wired, const SegmentPorts& ports) {
  const auto name = [](size_t i) { return InputBindingName(static_cast<int>(i)); };
  tf::GraphDef segment;
  segment.versions = wired.graph().versions;
  for (size_t i = 0; i < ports.inputs.size(); ++i) {
    tf::NodeDef placeholder{.name = name(i), .op = "Placeholder"};
    placeholder.attrs = {{"dtype", ports.inputs[i].dtype}, {"shape", ports.inputs[i].shape}};
    segment.nodes.push_back(std::move(placeholder));
  }
  GRAFT_ASSIGN_OR_RETURN(
      std::vector<tf::NodeDef> members,
      Members(wired, ports, name,
              [](const tf::NodeDef& producer, int output) -> Result<std::string> {
                return tf::TensorName(producer.name, output);
              }));
  std::move(members.begin(), members.end(), std::back_inserter(segment.nodes));
  return segment;
}

Result<tf::FunctionDef> NativeSegment(const WiredGraph& wired, const SegmentPorts& ports) {
  tf::FunctionDef function;
  function.signature.name = NativeSegmentName(ports.engine);
  for (size_t i = 0; i < ports.inputs.size(); ++i) {
    function.signature.inputs.push_back({.name = ArgName(i), .type = ports.inputs[i].dtype});
  }
  GRAFT_ASSIGN_OR_RETURN(
      function.nodes, Members(wired, ports, ArgName, [](const tf::NodeDef& producer, int output) {
        return BodyEdge(producer, output);
      }));
  for (size_t i = 0; i < ports.outputs.size(); ++i) {
    const Port& port = ports.outputs[i];
    function.signature.outputs.push_back({.name = RetName(i), .type = port.dtype});
    GRAFT_ASSIGN_OR_RETURN(function.ret[RetName(i)], BodyEdge(wired.node(port.node), port.output));
  }
  return function;
}

namespace {

// TF-TRT's, which fixed an engine's batch: what its nodes say, else the first dimension of its
// inputs where that never changes, else the converter's. To Graft it is a word for others.
int64_t MaxBatchSize(const tf::GraphDef& graph, const EngineNode& engine) {
  const EngineAttributes& a = engine.attributes;
  if (!a.use_implicit_batch) return a.max_batch_size;
  int64_t said = 0;
  for (const int v : engine.ports.nodes) {
    const Result<int64_t> size = graph.nodes[v].Attr<int64_t>("_tftrt_op_max_batch_size");
    if (size.ok()) said = std::max(said, *size);
  }
  if (said > 0) return said;
  std::optional<int64_t> batch;
  for (const Port& p : engine.ports.inputs) {
    if (p.shape.unknown_rank || p.shape.dims.size() < 2) continue;
    if (p.shape.dims[0] <= 0 || batch.value_or(p.shape.dims[0]) != p.shape.dims[0])
      return a.max_batch_size;
    batch = p.shape.dims[0];
  }
  return batch.value_or(a.max_batch_size);
}

tf::NodeDef MakeEngineNode(const tf::GraphDef& graph, const EngineNode& engine) {
  const SegmentPorts& ports = engine.ports;
  const EngineAttributes& a = engine.attributes;
  tf::NodeDef node{.name = ports.engine, .op = "TRTEngineOp"};
  // Where the members agree on a device the engine stays there.
  node.device = graph.nodes[ports.nodes[0]].device;
  for (int v : ports.nodes) {
    if (graph.nodes[v].device != node.device) node.device.clear();
  }
  std::vector<DType> in_types, out_types;
  std::vector<tf::Shape> in_shapes, out_shapes;
  for (const Port& p : ports.inputs) in_types.push_back(p.dtype), in_shapes.push_back(p.shape);
  for (const Port& p : ports.outputs) out_types.push_back(p.dtype), out_shapes.push_back(p.shape);
  node.attrs = {{"InT", in_types},
                {"OutT", out_types},
                {"input_shapes", in_shapes},
                {"output_shapes", out_shapes},
                {"serialized_segment", a.serialized_segment},
                {"segment_funcdef_name", a.native_segment ? NativeSegmentName(ports.engine) : ""},
                {"max_cached_engines_count", a.max_cached_engines_count},
                {"max_batch_size", MaxBatchSize(graph, engine)},
                {"workspace_size_bytes", a.workspace_size_bytes},
                {"precision_mode", a.precision_mode},
                {"calibration_data", a.calibration_data},
                {"use_calibration", a.use_calibration},
                {"static_engine", a.static_engine},
                {"profile_strategy", a.profile_strategy},
                {"use_explicit_precision", false},
                {"_use_implicit_batch", a.use_implicit_batch},
                {"_allow_build_at_runtime", a.allow_build_at_runtime}};
  // Without a native segment there is no attribute: TensorFlow's loaders look up the function that
  // it names, even if the name is empty.
  if (a.native_segment)
    node.attrs["segment_func"] = tf::FuncValue{NativeSegmentName(ports.engine), {}};
  return node;
}

// A node that gives the fetched member's tensors under its old name.
tf::NodeDef StandIn(const tf::NodeDef& member, const std::vector<std::string>& inputs,
                    const std::vector<DType>& types) {
  tf::NodeDef node{.name = member.name,
                   .op = inputs.size() == 1 ? "Identity" : "IdentityN",
                   .inputs = inputs,
                   .device = member.device};
  if (inputs.size() == 1)
    node.attrs = {{"T", types[0]}};
  else
    node.attrs = {{"T", types}};
  return node;
}

}  // namespace

Result<tf::GraphDef> Encapsulate(const WiredGraph& wired, const std::vector<EngineNode>& engines,
                                 const std::vector<std::string>& fetches) {
  const tf::GraphDef& graph = wired.graph();
  const int n = wired.node_count();
  std::vector<int> engine_of(n, -1);
  std::map<Tensor, std::string> renamed;  // member tensors that leave a segment → "engine:i"
  for (size_t s = 0; s < engines.size(); ++s) {
    const SegmentPorts& ports = engines[s].ports;
    for (int v : ports.nodes) engine_of[v] = static_cast<int>(s);
    for (size_t i = 0; i < ports.outputs.size(); ++i) {
      renamed[{ports.outputs[i].node, ports.outputs[i].output}] =
          tf::TensorName(ports.engine, static_cast<int>(i));
    }
  }
  // An edge to a node outside of the producer's segment.
  auto edge_name = [&](int node, int output) {
    if (engine_of[node] < 0) return tf::TensorName(graph.nodes[node].name, output);
    if (output == tf::TensorRef::kControl) return "^" + engines[engine_of[node]].ports.engine;
    return renamed.at({node, output});
  };
  auto add_once = [](std::vector<std::string>& inputs, std::string edge) {
    if (edge[0] == '^' && std::find(inputs.begin(), inputs.end(), edge) != inputs.end()) return;
    inputs.push_back(std::move(edge));
  };

  // Which constants somebody outside still needs.
  std::vector<bool> read_outside(n, false);
  std::set<int> fetched;
  for (const std::string& fetch : fetches) {
    GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(fetch));
    const int v = wired.index().Find(ref.node);
    if (v < 0) return InvalidArgumentError("output '{}' does not exist", fetch);
    fetched.insert(v);
    read_outside[v] = true;
  }
  std::vector<bool> copied(n, false);
  for (const EngineNode& engine : engines) {
    for (int c : engine.ports.constants) copied[c] = true;
  }
  std::vector<int> outside;
  for (int v = 0; v < n; ++v) {
    if (engine_of[v] < 0 && (!copied[v] || read_outside[v])) outside.push_back(v);
  }
  while (!outside.empty()) {
    const int v = outside.back();
    outside.pop_back();
    for (const auto& e : wired.inputs(v)) {
      if (copied[e.node] && !read_outside[e.node]) outside.push_back(e.node);
      read_outside[e.node] = true;
    }
  }

  tf::GraphDef converted;
  converted.functions = graph.functions;
  converted.gradients = graph.gradients;
  converted.versions = graph.versions;
  converted.other = graph.other;
  converted.other_library = graph.other_library;
  std::vector<bool> written(engines.size(), false);
  for (int v = 0; v < n; ++v) {
    if (engine_of[v] < 0) {
      if (copied[v] && !read_outside[v]) continue;
      tf::NodeDef node = graph.nodes[v];
      node.inputs.clear();
      for (const auto& e : wired.inputs(v)) add_once(node.inputs, edge_name(e.node, e.output));
      converted.nodes.push_back(std::move(node));
      continue;
    }
    const EngineNode& engine = engines[engine_of[v]];
    if (!written[engine_of[v]]) {
      written[engine_of[v]] = true;
      tf::NodeDef node = MakeEngineNode(graph, engine);
      for (const Port& p : engine.ports.inputs) node.inputs.push_back(edge_name(p.node, p.output));
      for (int c : engine.ports.control_inputs)
        add_once(node.inputs, edge_name(c, tf::TensorRef::kControl));
      converted.nodes.push_back(std::move(node));
      if (engine.attributes.native_segment) {
        GRAFT_ASSIGN_OR_RETURN(tf::FunctionDef function, NativeSegment(wired, engine.ports));
        converted.functions.push_back(std::move(function));
      }
    }
    if (fetched.contains(v)) {
      std::vector<std::string> inputs;
      std::vector<DType> types;
      for (const Port& p : engine.ports.outputs) {
        if (p.node != v) continue;
        // All up to the last fetched one are there; one after a gap is for other nodes only.
        if (p.output != static_cast<int>(inputs.size())) break;
        inputs.push_back(renamed.at({v, p.output}));
        types.push_back(p.dtype);
      }
      converted.nodes.push_back(StandIn(graph.nodes[v], inputs, types));
    }
  }
  GRAFT_RETURN_IF_ERROR(DropImpliedControls(&converted));
  // Who was to share a member's place has lost it.
  tf::DropDanglingColocation(&converted);
  return converted;
}

}  // namespace graft::partition
