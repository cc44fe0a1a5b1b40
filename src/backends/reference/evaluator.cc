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
    if (symbol.kind == ir::Symbol::Kind::kResultDim) continue;
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

}  // namespace

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
  GRAFT_ASSIGN_OR_RETURN(BoundNode bound, BindNode(module, node, symbols));
  MakeDense(bound.inputs);
  MakeDense(bound.outputs);
  std::vector<const void*> input_pointers;
  for (size_t i = 0; i < inputs.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(CheckTensor(inputs[i], bound.inputs[i], node.name));
    input_pointers.push_back(inputs[i].raw());
  }
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<BoundStep> step,
                         candidates[0].tactic->Bind(bound, nullptr));
  std::vector<Tensor> outputs;
  std::vector<void*> output_pointers;
  for (const BoundValue& v : bound.outputs) {
    GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(v.dtype, v.dims));
    output_pointers.push_back(tensor.mutable_raw());
    outputs.push_back(std::move(tensor));
  }
  GRAFT_RETURN_IF_ERROR(step->Enqueue({input_pointers, output_pointers, nullptr}, Queue()));
  return outputs;
}

Result<std::vector<Tensor>> RunModuleKeepingAll(const ir::Module& module,
                                                std::span<const Tensor> inputs,
                                                std::vector<int64_t>* bound) {
  if (inputs.size() != module.inputs.size())
    return InvalidArgumentError("{} inputs where {} are expected", inputs.size(),
                                module.inputs.size());
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> symbols, BindInputs(module, inputs));
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
    for (size_t i = 0; i < symbols.size(); ++i) {
      const ir::Symbol& symbol = module.symbols[i];
      if (symbol.kind == ir::Symbol::Kind::kResultDim && symbol.input == id)
        symbols[i] = results[0].dims()[symbol.axis];
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
