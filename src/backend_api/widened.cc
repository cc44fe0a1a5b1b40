#include "backend_api/widened.h"

#include <algorithm>

#include "backend_api/backend.h"
#include "backend_api/lowered.h"
#include "base/dtype_visit.h"

namespace graft {
namespace {

PointwiseProgram CastTo(DType dtype) {
  PointwiseProgram program{.inputs = 1};
  program.Add(PointwiseOp::kCast, dtype, 0);
  return program;
}

// How the f32 result of an op becomes the half that the op itself gives. A maximum of nothing, or
// of minus infinity alone, is the lowest number of its dtype; that of f32 would round to infinity.
PointwiseProgram Narrowing(const ir::Attributes& attributes, DType dtype) {
  const auto* pool = std::get_if<ir::PoolAttributes>(&attributes);
  if (pool == nullptr || pool->kind != ir::PoolKind::kMax) return CastTo(dtype);
  const auto lowest = TryVisitDType(kHalfTypes, dtype, []<class Half>(Half) {
    return static_cast<float>(std::numeric_limits<Half>::lowest());
  });
  PointwiseProgram program{.inputs = 1};
  const int bound = program.Add(PointwiseOp::kConstant, DType::kFloat32, -1, -1, -1, lowest);
  program.Add(PointwiseOp::kCast, dtype, program.Add(PointwiseOp::kMax, DType::kFloat32, 0, bound));
  return program;
}

// Calls f with the attributes of a convolution or product; they alone have epilogues.
template <class AnyAttributes, class F>
bool VisitProduct(AnyAttributes& attributes, F f) {
  return std::visit(
      [&](auto& a) {
        if constexpr (requires { a.accumulator; }) return f(a), true;
        return false;
      },
      attributes);
}

bool IsProduct(const ir::Node& node) {
  return VisitProduct(node.attributes, [](const auto&) {});
}

// Those of the op itself, without its epilogue's.
std::span<const ir::ValueId> OwnOperands(const ir::Node& node) {
  const PointwiseProgram* epilogue = ir::ProgramOf(node.attributes);
  const size_t others = epilogue == nullptr || epilogue->empty() ? 0 : epilogue->inputs - 1;
  return std::span(node.inputs).first(node.inputs.size() - others);
}

template <class Half>
Result<Tensor> Widen(const Tensor& tensor) {
  GRAFT_ASSIGN_OR_RETURN(Tensor wide, Tensor::Allocate(DType::kFloat32, tensor.dims()));
  std::ranges::copy(tensor.data<Half>(), wide.mutable_data<float>().begin());
  return wide;
}

class Widening {
 public:
  Widening(ir::Module& module, const ir::Node& node, WidenedWeights weights)
      : module_(module), node_(node), weights_(weights) {}

  Result<std::vector<ir::ValueId>> Emit() {
    ir::Attributes attributes = node_.attributes;
    std::vector<ir::ValueId> inputs = node_.inputs;
    const size_t own = OwnOperands(node_).size();
    const bool product = IsProduct(node_);
    const bool keeps_weights = product && weights_ == WidenedWeights::kAsStored;
    for (size_t i = 0; i < own; ++i) {
      if (i == 1 && keeps_weights) continue;
      GRAFT_ASSIGN_OR_RETURN(inputs[i], Widened(inputs[i]));
    }
    PointwiseProgram behind;  // what is left of the epilogue
    std::vector<ir::ValueId> rest(inputs.begin() + own, inputs.end());
    VisitProduct(attributes, [&](auto& a) {
      const DType sums = AccumulatorOf(a, module_.value(node_.inputs[0]).dtype);
      a.accumulator = keeps_weights ? DType::kFloat32 : DType::kInvalid;
      if (!IsHalf(sums)) return;
      // As the half would be, the sum is rounded first.
      if (a.epilogue.instructions.size() < kMaxPointwiseInstructions) {
        a.epilogue = a.epilogue.empty() ? CastTo(sums) : Compose(a.epilogue, 0, CastTo(sums));
      } else {
        behind = std::exchange(a.epilogue, CastTo(sums));
        inputs.resize(own);
      }
    });
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId op,
                           module_.AddNode(std::move(attributes), std::move(inputs), node_.name));
    std::vector<ir::ValueId> results = module_.node(op).outputs;
    if (!behind.empty()) {
      rest.insert(rest.begin(), results[0]);
      GRAFT_ASSIGN_OR_RETURN(results[0], Pointwise(std::move(behind), std::move(rest)));
    }
    for (size_t i = 0; i < results.size(); ++i) {
      const DType wanted = module_.value(node_.outputs[i]).dtype;
      if (module_.value(results[i]).dtype == wanted) continue;
      GRAFT_ASSIGN_OR_RETURN(results[i],
                             Pointwise(Narrowing(node_.attributes, wanted), {results[i]}));
    }
    return results;
  }

 private:
  Result<ir::ValueId> Widened(ir::ValueId id) {
    const ir::Value& value = module_.value(id);
    if (!IsHalf(value.dtype)) return id;
    if (!value.constant) return Pointwise(CastTo(DType::kFloat32), {id});
    GRAFT_ASSIGN_OR_RETURN(Tensor wide, value.dtype == DType::kFloat16
                                            ? Widen<Float16>(*value.constant)
                                            : Widen<BFloat16>(*value.constant));
    return module_.AddConstant(value.name, std::move(wide));
  }

  Result<ir::ValueId> Pointwise(PointwiseProgram program, std::vector<ir::ValueId> inputs) {
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId id,
                           module_.AddNode(ir::PointwiseAttributes{std::move(program)},
                                           std::move(inputs), node_.name));
    return module_.node(id).outputs[0];
  }

  ir::Module& module_;
  const ir::Node node_;  // a copy: the module's nodes move when it grows
  const WidenedWeights weights_;
};

// The node alone, in a module of its own.
ir::Module Alone(const ir::Module& module, ir::Node* node) {
  ir::Module alone;
  alone.symbols = module.symbols;
  for (std::vector<ir::ValueId>* ids : {&node->inputs, &node->outputs}) {
    for (ir::ValueId& id : *ids) {
      const ir::Value& original = module.value(id);
      ir::Value value;
      value.name = original.name;
      value.dtype = original.dtype;
      value.has_shape = original.has_shape;
      value.shape = original.shape;
      value.constant = original.constant;
      value.contents = original.contents;
      id = alone.AddValue(std::move(value));
    }
  }
  return alone;
}

}  // namespace

bool CanWiden(const ir::Module& module, const ir::Node& node) {
  if (node.kind() == ir::OpKind::kPointwise || node.kind() == ir::OpKind::kOpaque) return false;
  if (CanLower(node)) return false;  // to programs, which round every instruction
  auto is_half = [&](ir::ValueId id) { return IsHalf(module.value(id).dtype); };
  return std::ranges::any_of(OwnOperands(node), is_half) ||
         (!IsProduct(node) && std::ranges::any_of(node.outputs, is_half));
}

Result<std::vector<ir::ValueId>> EmitWidened(ir::Module& module, const ir::Node& node,
                                             WidenedWeights weights) {
  return Widening(module, node, weights).Emit();
}

std::optional<WidenedWeights> ChooseWidened(
    const ir::Module& module, const ir::Node& node,
    FunctionRef<bool(const ir::Module&, const ir::Node&)> supports) {
  for (const WidenedWeights weights : {WidenedWeights::kAsStored, WidenedWeights::kWidened}) {
    if (weights == WidenedWeights::kAsStored &&
        !(IsProduct(node) && IsHalf(module.value(node.inputs[1]).dtype)))
      continue;
    ir::Node copy = node;
    ir::Module alone = Alone(module, &copy);
    bool fits = EmitWidened(alone, copy, weights).ok();
    for (ir::NodeId id = 0; fits && id < alone.node_count(); ++id)
      fits = supports(alone, alone.node(id));
    if (fits) return weights;
  }
  return std::nullopt;
}

std::optional<Refusal> Backend::Supports(const ir::Module& module, const ir::Node& node) const {
  std::optional<Refusal> refusal = SupportsAsIs(module, node);
  if (refusal && CanLower(node)) {
    ir::Node copy = node;
    ir::Module alone = Alone(module, &copy);
    if (!EmitLowered(alone, copy).ok()) return refusal;
    for (ir::NodeId id = 0; id < alone.node_count(); ++id) {
      // What a node is lowered to may run widened.
      refusal = Supports(alone, alone.node(id));
      if (refusal) return refusal;
    }
    return std::nullopt;
  }
  if (!refusal || !CanWiden(module, node)) return refusal;
  // The last form's reason is the one that a user can act on.
  const auto form = ChooseWidened(module, node, [&](const ir::Module& m, const ir::Node& n) {
    std::optional<Refusal> reason = SupportsAsIs(m, n);
    const bool supported = !reason;
    if (reason) refusal = std::move(reason);
    return supported;
  });
  return form ? std::nullopt : refusal;
}

}  // namespace graft
