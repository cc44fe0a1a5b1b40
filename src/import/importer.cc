#include "import/importer.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "import/graph_order.h"
#include "import/import_table.h"
#include "import/opaque_shapes.h"
#include "tf/opdefs.h"

namespace graft::importer {
namespace {

// A node with its defaults filled in and its signature resolved.
struct Signature {
  tf::NodeDef node;
  const tf::OpDef* op = nullptr;  // null for a custom op
  std::vector<DType> inputs;
  std::vector<DType> outputs;
};

class Importer {
 public:
  // `loops` holds for each node what is taken of a loop variable's shape.
  Importer(const tf::WiredGraph& wired, const GraphOrder& order,
           const std::vector<LoopShape>& loops, const ImportOptions& options)
      : wired_(wired), graph_(wired.graph()), order_(order), loops_(loops), options_(options) {}

  Result<ImportedGraph> Run(const std::vector<GraphInput>& inputs,
                            const std::vector<std::string>& outputs);

 private:
  Status AddInputs(const tf::NodeIndex& index, const std::vector<GraphInput>& inputs);
  void MarkRead(const Edge& edge);
  Status ImportNode(int n);
  Result<Signature> Resolve(int n) const;
  // Converts the node, or says why not; `outputs` gets its results.
  Outcome Convert(int n, const Signature& signature, std::vector<ir::ValueId>* outputs);
  // The shapes of the results where only the dtypes of operands keep the node from being converted.
  void InferShapes(const ImportRow& row, const Signature& signature,
                   std::vector<ir::ValueId> operands, std::vector<ir::ValueId>* outputs);
  Outcome CheckOperands(const ImportRow& row, const Signature& signature,
                        const std::vector<ir::ValueId>& operands) const;
  // Numbers all, and of some the rank is not known.
  bool LackRanks(const std::vector<ir::ValueId>& operands) const;
  Outcome CheckResults(int n, const Signature& signature,
                       const std::vector<ir::ValueId>& outputs) const;
  // `outputs` holds the results of an attempt to convert the node, where it came so far; their
  // shapes hold for the opaque node too.
  void AddOpaque(int n, const Signature& signature, std::vector<ir::ValueId>* outputs);
  void NameResults(int n, ir::NodeId first);
  // Computes the results of the nodes from `first` on where they are small and constants decide
  // them.
  void FindKnown(ir::NodeId first);
  const Tensor* Known(ir::ValueId id) const;

  const tf::WiredGraph& wired_;
  const tf::GraphDef& graph_;
  const GraphOrder& order_;
  const std::vector<LoopShape>& loops_;
  const ImportOptions& options_;
  ImportedGraph result_;
  std::vector<std::vector<std::pair<int, ir::ValueId>>> fed_;  // for each node: output, input value
  std::unordered_map<ir::ValueId, Tensor> known_;              // of computed values
  std::vector<std::vector<bool>> read_outputs_;  // for each node, up to the last that anyone reads
};

Result<ImportedGraph> Importer::Run(const std::vector<GraphInput>& inputs,
                                    const std::vector<std::string>& outputs) {
  const tf::NodeIndex& index = wired_.index();
  const size_t count = graph_.nodes.size();
  result_.nodes.resize(count);
  result_.tensors.resize(count);
  fed_.resize(count);
  read_outputs_.assign(count, {});
  GRAFT_RETURN_IF_ERROR(AddInputs(index, inputs));

  std::vector<Edge> fetched;
  for (const std::string& name : outputs) {
    GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(name));
    const int node = index.Find(ref.node);
    if (node < 0 || ref.is_control())
      return InvalidArgumentError("the graph has no tensor '{}'", name);
    fetched.push_back({node, ref.index});
  }
  for (const Edge& edge : fetched) MarkRead(edge);
  for (const auto& edges : order_.inputs) {
    for (const Edge& edge : edges) MarkRead(edge);
  }

  for (int n : order_.nodes) GRAFT_RETURN_IF_ERROR(ImportNode(n));

  for (size_t i = 0; i < fetched.size(); ++i) {
    result_.module.outputs.push_back(result_.tensors[fetched[i].node][fetched[i].output]);
    result_.module.output_names.push_back(outputs[i]);
  }
  return std::move(result_);
}

void Importer::MarkRead(const Edge& edge) {
  std::vector<bool>& read = read_outputs_[edge.node];
  if (read.size() <= static_cast<size_t>(edge.output)) read.resize(edge.output + 1);
  read[edge.output] = true;
}

Status Importer::AddInputs(const tf::NodeIndex& index, const std::vector<GraphInput>& inputs) {
  ir::Module& module = result_.module;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const GraphInput& input = inputs[i];
    GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(input.tensor));
    const int node = index.Find(ref.node);
    if (node < 0 || ref.is_control())
      return InvalidArgumentError("the graph has no tensor '{}'", input.tensor);
    ir::Shape shape;
    Dims dims = input.shape.dims;
    const bool assumed = input.shape.unknown_rank && options_.assumed_rank;
    if (assumed) dims.assign(static_cast<size_t>(*options_.assumed_rank), -1);
    for (size_t axis = 0; axis < dims.size(); ++axis) {
      if (dims[axis] >= 0) {
        shape.push_back(dims[axis]);
        continue;
      }
      ir::Symbol symbol;
      symbol.kind = ir::Symbol::Kind::kInputDim;
      symbol.input = static_cast<int32_t>(i);
      symbol.axis = static_cast<int32_t>(axis);
      symbol.name = fmt::format("{}.{}", input.tensor, axis);
      shape.push_back(ir::Dim::Symbol(module.AddSymbol(std::move(symbol))));
    }
    const ir::ValueId id = module.AddInput(input.tensor, input.dtype, std::move(shape));
    module.value(id).has_shape = assumed || !input.shape.unknown_rank;
    fed_[node].emplace_back(ref.index, id);
    result_.nodes[node].fed = true;
  }
  return OkStatus();
}

Result<Signature> Importer::Resolve(int n) const {
  Signature s{.node = graph_.nodes[n], .op = tf::FindOp(graph_.nodes[n].op)};
  const size_t operands = order_.inputs[n].size();
  if (s.op == nullptr) {
    // Nothing is known of a custom op but what its readers expect to be there.
    s.outputs.assign(read_outputs_[n].size(), DType::kInvalid);
    return s;
  }
  tf::AddDefaultAttrs(*s.op, &s.node);
  GRAFT_ASSIGN_OR_RETURN(s.inputs, tf::InputTypes(s.node, *s.op));
  GRAFT_ASSIGN_OR_RETURN(s.outputs, tf::OutputTypes(s.node, *s.op));
  // A loop's Merge has its back edge left out of the order.
  if (s.inputs.size() != operands && s.node.op != "Merge" && s.node.op != "RefMerge") {
    return DataLossError("{}: {} inputs for an op of {}", s.node.name, operands, s.inputs.size());
  }
  if (read_outputs_[n].size() > s.outputs.size()) {
    return DataLossError("{}: output {} is read of an op of {} outputs", s.node.name,
                         read_outputs_[n].size() - 1, s.outputs.size());
  }
  return s;
}

Status Importer::ImportNode(int n) {
  std::vector<ir::ValueId>& outputs = result_.tensors[n];
  GRAFT_ASSIGN_OR_RETURN(const Signature signature, Resolve(n));
  outputs.assign(signature.outputs.size(), -1);
  for (const auto& [output, id] : fed_[n]) {
    if (output >= static_cast<int>(outputs.size()))
      return InvalidArgumentError("the graph has no tensor '{}:{}'", signature.node.name, output);
    outputs[output] = id;
  }
  // A node all of whose results are fed does not run.
  if (!outputs.empty() && std::count(outputs.begin(), outputs.end(), -1) == 0) return OkStatus();

  const ir::NodeId first = result_.module.node_count();
  const size_t first_symbol = result_.module.symbols.size();
  std::vector<ir::ValueId> computed(outputs.size(), -1);
  if (const Outcome refusal = Convert(n, signature, &computed)) {
    for (ir::NodeId id = first; id < result_.module.node_count(); ++id)
      result_.module.RemoveNode(id);
    result_.nodes[n].decision = Decision::kRefused;
    result_.nodes[n].reason = refusal->reason;
    // Result dims of the attempt stay symbols of what the node gives.
    for (size_t s = first_symbol; s < result_.module.symbols.size(); ++s) {
      ir::Symbol& symbol = result_.module.symbols[s];
      if (symbol.is_result()) symbol.node = result_.module.node_count();
    }
    AddOpaque(n, signature, &computed);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] < 0) outputs[i] = computed[i];
  }
  NameResults(n, first);
  if (options_.evaluate && result_.nodes[n].decision != Decision::kRefused) FindKnown(first);
  return OkStatus();
}

Outcome Importer::Convert(int n, const Signature& signature, std::vector<ir::ValueId>* outputs) {
  const ImportRow* row = FindImport(
      options_.take_defaults && signature.node.op == "PlaceholderWithDefault" ? "Identity"
                                                                              : signature.node.op);
  if (row == nullptr) return Refuse("Op type {} is not supported.", signature.node.op);
  std::vector<ir::ValueId> operands;
  for (const Edge& edge : order_.inputs[n])
    operands.push_back(result_.tensors[edge.node][edge.output]);
  const bool computes = row->role == Role::kComputes;
  if (computes) result_.nodes[n].decision = Decision::kAccepted;
  Outcome refusal = computes ? CheckOperands(*row, signature, operands) : kAccepted;
  result_.nodes[n].unknown_rank = refusal && LackRanks(operands);
  if (refusal) {
    InferShapes(*row, signature, std::move(operands), outputs);
    return refusal;
  }
  NodeContext context(&result_.module, signature.node, std::move(operands), outputs,
                      read_outputs_[n]);
  if (!refusal && row->quantized) refusal = context.ReadAsStorage();
  if (!refusal) refusal = row->function(context);
  if (!refusal && row->quantized) refusal = context.GiveAsDeclared(signature.outputs);
  if (!refusal) refusal = CheckResults(n, signature, *outputs);
  // Converted for the shapes of its results alone.
  if (computes && order_.loop_depth[n] > 0) return Refuse("it runs inside a loop");
  if (computes && order_.branch_depth[n] > 0) return Refuse("it runs inside a conditional");
  return refusal;
}

// An op on strings, say, gives shapes as it does on numbers: it is imported as if it were on these.
void Importer::InferShapes(const ImportRow& row, const Signature& signature,
                           std::vector<ir::ValueId> operands, std::vector<ir::ValueId>* outputs) {
  for (ir::ValueId& id : operands) {
    const ir::Value& value = result_.module.value(id);
    if (!value.has_shape) return;
    if (IsNumeric(value.dtype)) continue;
    ir::Value number;
    number.name = value.name;
    number.dtype = DType::kFloat32;
    number.has_shape = true;
    number.shape = value.shape;
    id = result_.module.AddValue(std::move(number));
  }
  NodeContext context(&result_.module, signature.node, std::move(operands), outputs, {});
  if (const Outcome refusal = row.function(context)) return;  // what came before it holds
}

Outcome Importer::CheckOperands(const ImportRow& row, const Signature& signature,
                                const std::vector<ir::ValueId>& operands) const {
  for (size_t i = 0; i < operands.size(); ++i) {
    const ir::Value& value = result_.module.value(operands[i]);
    if (!(row.quantized ? IsHeld(value.dtype) : IsNumeric(value.dtype)))
      return Refuse("Unsupported tensorflow data type {} ({})", TensorFlowName(value.dtype),
                    value.name);
    if (value.dtype != signature.inputs[i])
      return Refuse("input {} is {}, not {}", i, TensorFlowName(value.dtype),
                    TensorFlowName(signature.inputs[i]));
    if (!value.has_shape) return Refuse("Input tensor rank is unknown. ({})", value.name);
  }
  return kAccepted;
}

bool Importer::LackRanks(const std::vector<ir::ValueId>& operands) const {
  bool lacks = false;
  for (const ir::ValueId id : operands) {
    const ir::Value& value = result_.module.value(id);
    if (!IsHeld(value.dtype)) return false;
    lacks = lacks || !value.has_shape;
  }
  return lacks;
}

Outcome Importer::CheckResults(int n, const Signature& signature,
                               const std::vector<ir::ValueId>& outputs) const {
  for (int i = 0; i < static_cast<int>(outputs.size()); ++i) {
    if (outputs[i] < 0) {
      if (i < static_cast<int>(read_outputs_[n].size()) && read_outputs_[n][i])
        return Refuse("output {} is used", i);
      continue;
    }
    const DType dtype = result_.module.value(outputs[i]).dtype;
    if (dtype != signature.outputs[i])
      return Refuse("output {} of type {} is not supported", i,
                    TensorFlowName(signature.outputs[i]));
  }
  return kAccepted;
}

void Importer::AddOpaque(int n, const Signature& signature, std::vector<ir::ValueId>* outputs) {
  ir::Module& module = result_.module;
  std::vector<ir::ValueId> operands;
  for (const Edge& edge : order_.inputs[n])
    operands.push_back(result_.tensors[edge.node][edge.output]);
  std::vector<ir::Value> results(signature.outputs.size());
  OpaqueNode opaque(&module, signature.node, operands, loops_[n]);
  for (size_t i = 0; i < results.size(); ++i) {
    results[i].name = tf::TensorName(signature.node.name, static_cast<int>(i));
    results[i].dtype = signature.outputs[i];
    if ((*outputs)[i] >= 0) {
      const ir::Value& computed = module.value((*outputs)[i]);
      results[i].has_shape = computed.has_shape;
      results[i].shape = computed.shape;
      results[i].contents = computed.contents;
    } else if (std::optional<ir::Shape> shape = OpaqueShape(opaque, static_cast<int>(i))) {
      results[i].has_shape = true;
      results[i].shape = *std::move(shape);
    } else if (options_.assumed_rank && IsHeld(results[i].dtype)) {
      results[i].has_shape = true;
      for (int axis = 0; axis < *options_.assumed_rank; ++axis)
        results[i].shape.push_back(opaque.Unknown(static_cast<int>(i), static_cast<size_t>(axis)));
    }
  }
  const ir::NodeId id =
      module.AddOpaque({.op = signature.node.op, .node_def = tf::SerializeNodeDef(graph_.nodes[n])},
                       std::move(operands), std::move(results), signature.node.name);
  *outputs = module.node(id).outputs;
}

const Tensor* Importer::Known(ir::ValueId id) const {
  if (const ir::Value& value = result_.module.value(id); value.constant) return &*value.constant;
  const auto found = known_.find(id);
  return found == known_.end() ? nullptr : &found->second;
}

void Importer::FindKnown(ir::NodeId first) {
  constexpr int64_t kMost = 64;  // elements: more are data
  ir::Module& module = result_.module;
  const auto small = [&](ir::ValueId id) {
    const ir::Value& value = module.value(id);
    const std::optional<Dims> dims =
        value.has_shape ? ir::ConstantDims(value.shape) : std::optional<Dims>();
    return dims && CountElements(*dims) <= kMost;
  };
  for (ir::NodeId id = first; id < module.node_count(); ++id) {
    if (module.removed(id)) continue;
    const ir::Node& node = module.node(id);
    std::vector<Tensor> operands;
    for (const ir::ValueId v : node.inputs) {
      if (const Tensor* known = small(v) ? Known(v) : nullptr) operands.push_back(*known);
    }
    if (node.inputs.empty() || operands.size() != node.inputs.size() ||
        ir::ResultDimOf(node.attributes) || !std::ranges::all_of(node.outputs, small))
      continue;
    Result<std::vector<Tensor>> results = options_.evaluate(module, node, operands);
    if (!results.ok()) continue;
    for (size_t i = 0; i < results->size(); ++i) {
      ir::Value& value = module.value(node.outputs[i]);
      if (!value.contents && (value.dtype == DType::kInt32 || value.dtype == DType::kInt64) &&
          value.shape.size() <= 1) {
        const Result<std::vector<int64_t>> integers = (*results)[i].ToInt64();
        if (integers.ok()) value.contents.emplace(integers->begin(), integers->end());
      }
      known_.insert_or_assign(node.outputs[i], std::move((*results)[i]));
    }
  }
}

void Importer::NameResults(int n, ir::NodeId first) {
  ir::Module& module = result_.module;
  for (ir::NodeId id = first; id < module.node_count(); ++id) module.SetOrigin(id, {n});
  const std::vector<ir::ValueId>& outputs = result_.tensors[n];
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] < 0) continue;
    ir::Value& value = module.value(outputs[i]);
    if (value.producer < first) continue;  // an identity: the name stays its producer's
    value.name = tf::TensorName(graph_.nodes[n].name, static_cast<int>(i));
    if (value.result == 0) module.SetName(value.producer, value.name);
  }
}

// Whether what a loop's body gives back is as its Merge was taken to be.
bool Holds(const ImportedGraph& imported, const GraphOrder& order, int merge, LoopShape taken) {
  auto value = [&](int node, int output) -> const ir::Value* {
    const std::vector<ir::ValueId>& results = imported.tensors[node];
    const bool known = output < static_cast<int>(results.size()) && results[output] >= 0;
    return known ? &imported.module.value(results[output]) : nullptr;
  };
  const Edge back = order.back_edges[merge];
  const ir::Value* first = value(merge, 0);
  const ir::Value* next = value(back.node, back.output);
  if (first == nullptr || !first->has_shape) return true;  // nothing was taken
  if (next == nullptr || !next->has_shape) return false;
  return taken == LoopShape::kSame ? next->shape == first->shape
                                   : next->shape.size() == first->shape.size();
}

}  // namespace

// A loop variable's shape is that of its first value as long as the body, imported on that
// assumption, gives the same back: then it holds on every turn. What does not hold is weakened.
Result<ImportedGraph> ImportGraph(const tf::GraphDef& graph, const std::vector<GraphInput>& inputs,
                                  const std::vector<std::string>& outputs,
                                  const ImportOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(const tf::WiredGraph wired, tf::WiredGraph::Of(graph));
  GRAFT_ASSIGN_OR_RETURN(const GraphOrder order, OrderGraph(wired));
  constexpr int kAttempts = 4;
  std::vector<LoopShape> loops(graph.nodes.size(), LoopShape::kSame);
  for (int attempt = 1;; ++attempt) {
    GRAFT_ASSIGN_OR_RETURN(ImportedGraph imported,
                           Importer(wired, order, loops, options).Run(inputs, outputs));
    bool holds = true;
    for (int n = 0; n < static_cast<int>(loops.size()); ++n) {
      if (order.back_edges[n].node < 0 || loops[n] == LoopShape::kUnknown) continue;
      if (Holds(imported, order, n, loops[n])) continue;
      loops[n] = loops[n] == LoopShape::kSame ? LoopShape::kRank : LoopShape::kUnknown;
      holds = false;
    }
    if (holds) return imported;
    if (attempt == kAttempts) {
      for (int n = 0; n < static_cast<int>(loops.size()); ++n) {
        if (order.back_edges[n].node >= 0) loops[n] = LoopShape::kUnknown;
      }
    }
  }
}

}  // namespace graft::importer
