#include "backend_api/widened.h"

#include <algorithm>

#include "backend_api/backend.h"
#include "backend_api/lowered.h"
#include "base/half.h"

namespace graft {
namespace {

PointwiseProgram CastTo(DType dtype) {
  PointwiseProgram program{.inputs = 1};
  program.Add(PointwiseOp::kCast, dtype, 0);
  return program;
}

// The epilogue of a half as one of f32: it rounds the op's result first, as the half would be.
PointwiseProgram WidenedEpilogue(const PointwiseProgram& epilogue, DType half) {
  PointwiseProgram widened = Compose(epilogue, 0, CastTo(half));
  widened.Add(PointwiseOp::kCast, DType::kFloat32, widened.result());
  return widened;
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
  Widening(ir::Module& module, const ir::Node& node) : module_(module), node_(node) {}

  Result<std::vector<ir::ValueId>> Emit() {
    ir::Attributes attributes = node_.attributes;
    std::vector<ir::ValueId> inputs = node_.inputs;
    const size_t own = OwnOperands(node_).size();
    PointwiseProgram epilogue;
    std::visit(
        [&](auto& a) {
          if constexpr (requires { a.epilogue; }) epilogue = std::move(a.epilogue), a.epilogue = {};
        },
        attributes);
    const DType half = module_.value(node_.outputs[0]).dtype;
    constexpr size_t kCasts = 2;
    const bool fused =
        !epilogue.empty() && epilogue.instructions.size() + kCasts <= kMaxPointwiseInstructions;
    if (fused) {
      std::visit(
          [&](auto& a) {
            if constexpr (requires { a.epilogue; }) a.epilogue = WidenedEpilogue(epilogue, half);
          },
          attributes);
    }
    for (size_t i = 0; i < own; ++i) {
      GRAFT_ASSIGN_OR_RETURN(inputs[i], Widened(inputs[i]));
    }
    std::vector<ir::ValueId> rest(inputs.begin() + own, inputs.end());
    if (!fused) inputs.resize(own);
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId op,
                           module_.AddNode(std::move(attributes), std::move(inputs), node_.name));
    std::vector<ir::ValueId> results = module_.node(op).outputs;
    for (size_t i = 0; i < results.size(); ++i) {
      const DType wanted = module_.value(node_.outputs[i]).dtype;
      if (module_.value(results[i]).dtype == wanted) continue;
      GRAFT_ASSIGN_OR_RETURN(results[i], Pointwise(CastTo(wanted), {results[i]}));
    }
    if (!epilogue.empty() && !fused) {
      rest.insert(rest.begin(), results[0]);
      GRAFT_ASSIGN_OR_RETURN(results[0], Pointwise(std::move(epilogue), std::move(rest)));
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
         std::ranges::any_of(node.outputs, is_half);
}

Result<std::vector<ir::ValueId>> EmitWidened(ir::Module& module, const ir::Node& node) {
  return Widening(module, node).Emit();
}

std::optional<Refusal> Backend::Supports(const ir::Module& module, const ir::Node& node) const {
  std::optional<Refusal> refusal = SupportsAsIs(module, node);
  const bool can_lower = CanLower(node);
  if (!refusal || !(can_lower || CanWiden(module, node))) return refusal;
  ir::Node copy = node;
  ir::Module alone = Alone(module, &copy);
  const bool emitted = can_lower ? EmitLowered(alone, copy).ok() : EmitWidened(alone, copy).ok();
  if (!emitted) return refusal;
  for (ir::NodeId id = 0; id < alone.node_count(); ++id) {
    // What a node is lowered to may run widened.
    refusal = can_lower ? Supports(alone, alone.node(id)) : SupportsAsIs(alone, alone.node(id));
    if (refusal) return refusal;
  }
  return std::nullopt;
}

}  // namespace graft
