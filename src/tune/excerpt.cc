#include "tune/excerpt.h"

#include <algorithm>

namespace graft {
namespace {

// Vector kernels work on so many rows at a time at most.
constexpr int64_t kRowMultiple = 64;

}  // namespace

std::optional<Excerpt> ExcerptOf(const ir::Module& module, const ir::Node& node,
                                 const BoundNode& bound) {
  const auto* product = std::get_if<ir::MatMulAttributes>(&bound.attributes);
  if (product == nullptr || product->transpose_b) return std::nullopt;
  const BoundValue& b = bound.inputs[1];
  if (!b.constant || b.dims.size() != 2 || b.constant->bytes() < kExcerptedBytes)
    return std::nullopt;
  const int64_t depth = b.dims[0];
  const auto row_bytes = static_cast<int64_t>(b.constant->bytes()) / depth;
  const int64_t rows = (static_cast<int64_t>(kExcerptBytes) / row_bytes + kRowMultiple - 1) /
                       kRowMultiple * kRowMultiple;
  if (rows >= depth) return std::nullopt;

  Excerpt excerpt;
  excerpt.factor = static_cast<double>(depth) / static_cast<double>(rows);
  std::vector<ir::ValueId> operands;
  for (size_t i = 0; i < bound.inputs.size(); ++i) {
    const BoundValue& operand = bound.inputs[i];
    Dims dims = operand.dims;
    if (i == 0) dims[dims.size() - (product->transpose_a ? 2 : 1)] = rows;
    if (i == 1) dims[0] = rows;
    const std::string name = fmt::format("operand {}", i);
    operands.push_back(operand.constant
                           ? excerpt.module.AddConstant(
                                 name, Tensor(operand.dtype, dims, operand.constant->shared()))
                           : excerpt.module.AddInput(name, operand.dtype, ir::MakeShape(dims)));
    const ir::Value& whole = module.value(node.inputs[i]);
    ir::Value& part = excerpt.module.value(operands.back());
    part.low = whole.low;
    part.high = whole.high;
  }
  const Result<ir::NodeId> added =
      excerpt.module.AddNode(bound.attributes, std::move(operands), bound.name);
  if (!added.ok()) return std::nullopt;
  Result<BoundNode> part = BindNode(excerpt.module, excerpt.source(), {});
  if (!part.ok()) return std::nullopt;
  excerpt.node = *std::move(part);
  // Rows stay as far apart as they are, but for those that became shorter.
  for (size_t i = 0; i < bound.inputs.size(); ++i) {
    if (!bound.inputs[i].dense() || i > 1)
      excerpt.node.inputs[i].row_stride = bound.inputs[i].row_stride;
  }
  for (size_t i = 0; i < bound.outputs.size(); ++i)
    excerpt.node.outputs[i].row_stride = bound.outputs[i].row_stride;
  return excerpt;
}

}  // namespace graft
