#include "backends/reference/evaluator.h"

#include "backends/reference/reference_backend.h"

namespace graft::reference {
namespace {

constexpr int64_t kUnbound = -1;

// Symbols that the inputs decide; those of results stay kUnbound until their node has run.
Result<std::vector<int64_t>> BindInputs(const ir::Module& module, std::span<const Tensor> inputs) {
  std::vector<int64_t> symbols(module.symbols.size(), kUnbound);
  for (size_t i = 0; i < symbols.size(); ++i) {
    const ir::Symbol& symbol = module.symbols[i];
    if (symbol.is_result() || symbol.expression) continue;
    const Tensor& input = inputs[symbol.input];
    if (symbol.kind == ir::Symbol::Kind::kInputDim) {
      if (symbol.axis >= input.rank())
        return InvalidArgumentError("input {} has rank {}", module.input_names[symbol.input],
                                    input.rank());
      symbols[i] = input.dims()[symbol.axis];
    } else {
      GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> values, input.ToInt64());
      if (symbol.axis >= static_cast<int64_t>(values.size()))
        return InvalidArgumentError("input {} has {} elements", module.input_names[symbol.input],
                                    values.size());
      symbols[i] = values[symbol.axis];
    }
  }
  return symbols;
}

// What is made of symbols that are not bound yet is bound again when they are, before it is used.
void BindExpressions(const ir::Module& module, std::vector<int64_t>* symbols) {
  for (size_t s = 0; s < symbols->size(); ++s) {
    if (!module.symbols[s].expression) continue;
    const Result<int64_t> value = module.symbols[s].expression->Evaluate(*symbols);
    (*symbols)[s] = value.ok() ? *value : kUnbound;
  }
}

Status CheckTensor(const Tensor& tensor, const BoundValue& value, std::string_view name) {
  if (tensor.dtype() == value.dtype && tensor.dims() == value.dims) return OkStatus();
  return InvalidArgumentError("{}: an operand {} where {} is expected", name,
                              Describe(tensor.dtype(), tensor.dims()),
                              Describe(value.dtype, value.dims));
}

// Every tensor is dense here, whatever buffers the module plans.
void MakeDense(std::vector<BoundValue>& values) {
  for (BoundValue& v : values) v.row_stride = v.dims.empty() ? 1 : v.dims.back();
}

// The upper bound in the place of the node's result dim, so that it can be bound.
Result<std::vector<int64_t>> WithUpperBound(const ir::Module& module, ir::SymbolId result,
                                            std::span<const int64_t> symbols) {
  const ir::Symbol& symbol = module.symbols[result];
  std::vector<int64_t> bound(symbols.begin(), symbols.end());
  bound.resize(module.symbols.size(), kUnbound);
  if (symbol.kind == ir::Symbol::Kind::kResultValue) return bound;  // no dimension of the node
  if (!symbol.upper_bound) return InvalidArgumentError("{} has no upper bound", symbol.name);
  GRAFT_ASSIGN_OR_RETURN(bound[result], symbol.upper_bound->Evaluate(symbols));
  return bound;
}

}  // namespace

Status TrimResults(const ir::Module& module, const ir::Node& node, std::vector<Tensor>* results) {
  const ir::Dim* dim = ir::ResultDimOf(node.attributes);
  if (dim == nullptr) return OkStatus();
  const int64_t count = results->back().data<int64_t>()[0];
  for (size_t i = 0; i < results->size(); ++i) {
    const ir::Shape& shape = module.value(node.outputs[i]).shape;
    Tensor& tensor = (*results)[i];
    if (shape.empty() || shape[0] != *dim) continue;
    if (count < 0 || count > tensor.dims()[0])
      return InternalError("{}: {} results of {}", node.name, count, tensor.dims()[0]);
    Dims dims = tensor.dims();
    dims[0] = count;
    // A prefix of the rows.
    tensor = Tensor(tensor.dtype(), std::move(dims), tensor.shared());
  }
  return OkStatus();
}

Result<std::vector<Tensor>> Evaluate(const ir::Module& module, const ir::Node& node,
                                     std::span<const Tensor> inputs,
                                     std::span<const int64_t> symbols) {
  const std::vector<Candidate> candidates = ReferenceBackend().Candidates(module, node);
  if (candidates.empty())
    return UnsupportedError("{}: there is no kernel for {}", node.name, ir::Name(node.kind()));
  if (candidates[0].refusal)
    return UnsupportedError("{}: {}", node.name, candidates[0].refusal->reason);
  if (inputs.size() != node.inputs.size())
    return InvalidArgumentError("{}: {} operands", node.name, inputs.size());
  std::vector<int64_t> at_bound;
  if (const std::optional<ir::SymbolId> result = ir::ResultSymbolOf(node)) {
    GRAFT_ASSIGN_OR_RETURN(at_bound, WithUpperBound(module, *result, symbols));
    symbols = at_bound;
  }
  GRAFT_ASSIGN_OR_RETURN(BoundNode bound, BindNode(module, node, symbols));
  MakeDense(bound.inputs);
  MakeDense(bound.outputs);
  std::vector<const void*> input_pointers;
  for (size_t i = 0; i < inputs.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(CheckTensor(inputs[i], bound.inputs[i], node.name));
    input_pointers.push_back(inputs[i].raw());
  }
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<BoundStep> step,
                         candidates[0].tactic->Bind(bound, nullptr, ""));
  std::vector<Tensor> outputs;
  std::vector<void*> output_pointers;
  for (const BoundValue& v : bound.outputs) {
    GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(v.dtype, v.dims));
    output_pointers.push_back(tensor.mutable_raw());
    outputs.push_back(std::move(tensor));
  }
  GRAFT_RETURN_IF_ERROR(step->Enqueue({input_pointers, output_pointers, nullptr}, Queue()));
  GRAFT_RETURN_IF_ERROR(TrimResults(module, node, &outputs));
  return outputs;
}

Result<std::vector<Tensor>> RunModuleKeepingAll(const ir::Module& module,
                                                std::span<const Tensor> inputs,
                                                std::vector<int64_t>* bound) {
  if (inputs.size() != module.inputs.size())
    return InvalidArgumentError("{} inputs where {} are expected", inputs.size(),
                                module.inputs.size());
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> symbols, BindInputs(module, inputs));
  BindExpressions(module, &symbols);
  std::vector<Tensor> values(module.value_count());
  for (ir::ValueId id = 0; id < module.value_count(); ++id) {
    if (module.value(id).constant) values[id] = *module.value(id).constant;
  }
  for (size_t i = 0; i < inputs.size(); ++i) values[module.inputs[i]] = inputs[i];
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id)) continue;
    const ir::Node& node = module.node(id);
    std::vector<Tensor> operands;
    for (ir::ValueId v : node.inputs) operands.push_back(values[v]);
    GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> results, Evaluate(module, node, operands, symbols));
    if (const std::optional<ir::SymbolId> result = ir::ResultSymbolOf(node)) {
      symbols[*result] = results.back().data<int64_t>()[0];
      BindExpressions(module, &symbols);
    }
    for (size_t i = 0; i < results.size(); ++i) values[node.outputs[i]] = std::move(results[i]);
  }
  if (bound) *bound = std::move(symbols);
  return values;
}

Result<std::vector<Tensor>> RunModule(const ir::Module& module, std::span<const Tensor> inputs) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> values, RunModuleKeepingAll(module, inputs));
  std::vector<Tensor> outputs;
  for (ir::ValueId id : module.outputs) outputs.push_back(values[id]);
  return outputs;
}

}  // namespace graft::reference
