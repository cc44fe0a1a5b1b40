#include "passes/rewrite.h"

#include <algorithm>
#include <variant>

namespace graft::passes {

namespace {

std::vector<int32_t> JoinedOrigin(const ir::Node& a, const ir::Node& b) {
  std::vector<int32_t> joined;
  std::ranges::set_union(a.origin, b.origin, std::back_inserter(joined));
  return joined;
}

}  // namespace

void Cover(ir::Module& module, ir::NodeId into, const ir::Node& from) {
  module.SetOrigin(into, JoinedOrigin(module.node(into), from));
}
void Cover(ir::Node& into, const ir::Node& from) { into.origin = JoinedOrigin(into, from); }

bool SameType(const ir::Value& a, const ir::Value& b) {
  return a.dtype == b.dtype && a.has_shape == b.has_shape && a.shape == b.shape;
}

bool Gives(const ir::Module& module, const ir::Attributes& attributes,
           const std::vector<ir::ValueId>& inputs, const ir::Value& wanted) {
  ir::Node node;
  node.attributes = attributes;
  node.inputs = inputs;
  const Result<std::vector<ir::Value>> results = ir::InferResults(module, node);
  return results.ok() && results->size() == 1 && SameType((*results)[0], wanted);
}

Status ReplaceValue(ir::Module& module, ir::ValueId from, ir::ValueId to) {
  const ir::Value& before = module.value(from);
  ir::Value& after = module.value(to);
  if (!SameType(before, after)) {
    return InternalError("{}: {}{} becomes {}{}", before.name, Name(before.dtype),
                         ToString(before.shape), Name(after.dtype), ToString(after.shape));
  }
  after.name = before.name;
  after.low = before.low;
  after.high = before.high;
  after.quantization = before.quantization;
  module.ReplaceUses(from, to);
  return OkStatus();
}

Result<ir::NodeId> ReplaceNode(ir::Module& module, ir::NodeId id, ir::Attributes attributes,
                               std::vector<ir::ValueId> inputs, std::string name) {
  if (name.empty()) name = module.node(id).name;
  GRAFT_ASSIGN_OR_RETURN(const ir::NodeId replacement,
                         module.AddNode(std::move(attributes), std::move(inputs), std::move(name)));
  const std::vector<ir::ValueId> old_outputs = module.node(id).outputs;
  const std::vector<ir::ValueId> new_outputs = module.node(replacement).outputs;
  GRAFT_CHECK(old_outputs.size() == new_outputs.size(), "{}: {} results become {}",
              module.node(id).name, old_outputs.size(), new_outputs.size());
  for (size_t i = 0; i < old_outputs.size(); ++i)
    GRAFT_RETURN_IF_ERROR(ReplaceValue(module, old_outputs[i], new_outputs[i]));
  Cover(module, replacement, module.node(id));
  module.RemoveNode(id);
  return replacement;
}

void ReplaceNodeByValue(ir::Module& module, ir::NodeId id, ir::ValueId value) {
  const ir::ValueId old = module.node(id).outputs[0];
  if (!module.value(value).quantization)
    module.value(value).quantization = module.value(old).quantization;
  module.ReplaceUses(old, value);
  if (const ir::NodeId producer = module.value(value).producer; producer >= 0) {
    Cover(module, producer, module.node(id));
  }
  module.RemoveNode(id);
}

PointwiseProgram* MutableEpilogue(ir::Attributes& attributes) {
  return std::visit(
      [](auto& a) -> PointwiseProgram* {
        if constexpr (requires { a.epilogue; }) {
          return &a.epilogue;
        } else {
          return nullptr;
        }
      },
      attributes);
}

const PointwiseProgram* Epilogue(const ir::Node& node) {
  return MutableEpilogue(const_cast<ir::Attributes&>(node.attributes));
}

bool AllZero(std::span<const ir::Dim> dims) {
  return std::ranges::all_of(dims, [](const ir::Dim& dim) { return dim == 0; });
}

DType OwnDType(const ir::Module& module, const ir::Node& node) {
  return std::visit(
      [&](const auto& a) {
        if constexpr (requires { a.accumulator; }) {
          return ir::AccumulatorOf(a, module.value(node.inputs[0]).dtype);
        } else {
          return module.value(node.outputs[0]).dtype;
        }
      },
      node.attributes);
}

std::optional<WeightAxes> AxesOfWeights(const ir::Node& node, size_t rank) {
  if (node.get<ir::ConvAttributes>()) return WeightAxes{rank - 2, rank - 1};
  if (node.get<ir::ConvTransposeAttributes>()) return WeightAxes{rank - 1, rank - 2};
  if (const auto* matmul = node.get<ir::MatMulAttributes>()) {
    return matmul->transpose_b ? WeightAxes{rank - 1, rank - 2} : WeightAxes{rank - 2, rank - 1};
  }
  return std::nullopt;
}

std::optional<std::vector<double>> ChannelVector(const ir::Value& value, int64_t channels) {
  if (!value.constant) return std::nullopt;
  const Tensor& tensor = *value.constant;
  const Dims& dims = tensor.dims();
  const int64_t last = dims.empty() ? 1 : dims.back();
  if (tensor.elements() != last || (last != 1 && last != channels)) return std::nullopt;
  std::vector<double> numbers(channels);
  auto expand = [&](auto data) {
    for (int64_t c = 0; c < channels; ++c) numbers[c] = data[last == 1 ? 0 : c];
  };
  if (tensor.dtype() == DType::kFloat32) {
    expand(tensor.data<float>());
  } else if (tensor.dtype() == DType::kFloat64) {
    expand(tensor.data<double>());
  } else {
    return std::nullopt;
  }
  return numbers;
}

}  // namespace graft::passes
