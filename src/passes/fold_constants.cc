// Nodes whose operands are all constant become constants themselves.
#include <algorithm>

#include "backend_api/lowered.h"
#include "passes/pass.h"
#include "quant/range_rules.h"

namespace graft::passes {
namespace {

// A fill or a broadcast is cheaper to run than to store: results that are larger than this and than
// all operands together stay computed.
constexpr int64_t kAlwaysFoldBytes = 1 << 16;

// The results' sizes; nullopt where a dimension is symbolic.
std::optional<int64_t> ResultBytes(const ir::Module& module, const ir::Node& node) {
  int64_t bytes = 0;
  for (ir::ValueId id : node.outputs) {
    const auto dims = ir::ConstantDims(module.value(id).shape);
    if (!dims) return std::nullopt;
    bytes += CountElements(*dims) * static_cast<int64_t>(SizeOf(module.value(id).dtype));
  }
  return bytes;
}

bool CanFold(const ir::Module& module, const ir::Node& node, const ir::Uses& uses) {
  if (ir::Flags(node.kind()) & ir::kOpaque) return false;
  // How a constant is quantised is still to be read, or lowered.
  if (CanLower(node)) return false;
  int64_t operand_bytes = 0;
  for (ir::ValueId id : node.inputs) {
    if (!module.value(id).constant) return false;
    operand_bytes += static_cast<int64_t>(module.value(id).constant->bytes());
  }
  // An output of the module needs somebody who writes it.
  if (std::ranges::any_of(node.outputs, [&](ir::ValueId id) { return uses.is_output(id); })) {
    return false;
  }
  bool symbolic = false;
  auto notice = [&](const ir::Dim& dim) -> Result<ir::Dim> {
    symbolic |= !dim.is_constant();
    return dim;
  };
  if (!ir::SubstituteDims(node.attributes, notice).ok() || symbolic) return false;
  const std::optional<int64_t> bytes = ResultBytes(module, node);
  return bytes && *bytes <= std::max(kAlwaysFoldBytes, operand_bytes);
}

// Where axis `axis` of operand 0 lies in the result: the indices along both are the same.
std::optional<int64_t> AxisInResult(const ir::Node& node, const Dims& from, const Dims& to,
                                    int64_t axis) {
  if (const auto* transpose = node.get<ir::TransposeAttributes>()) {
    const auto at = std::ranges::find(transpose->permutation, axis);
    return at - transpose->permutation.begin();
  }
  if (node.get<ir::ReshapeAttributes>() == nullptr) {
    return from[axis] == to[axis] ? std::optional(axis) : std::nullopt;
  }
  int64_t before = 1;
  for (int64_t i = 0; i < axis; ++i) before *= from[i];
  for (size_t i = 0; i < to.size(); before /= std::max<int64_t>(to[i], 1), ++i) {
    if (before == 1 && to[i] == from[axis]) return static_cast<int64_t>(i);
    if (to[i] == 0 || before % to[i] != 0) break;
  }
  return std::nullopt;
}

// How a constant is to be quantised holds for one that has its elements elsewhere: along the axis
// where those are now, or, where there is none, for all alike.
std::optional<ir::QuantizationRange> MovedRange(const ir::Module& module, const ir::Node& node,
                                                const Dims& to) {
  if (!quant::SharesScale(node)) return std::nullopt;
  const ir::Value& operand = module.value(node.inputs[0]);
  std::optional<ir::QuantizationRange> range = operand.quantization;
  if (!range || range->axis < 0) return range;
  const std::optional<int64_t> axis = AxisInResult(node, operand.constant->dims(), to, range->axis);
  if (!axis) range->amax = {std::ranges::max(range->amax)};
  range->axis = axis.value_or(-1);
  return range;
}

}  // namespace

Result<bool> FoldConstants(ir::Module& module, PassContext& context) {
  if (!context.evaluate) return false;
  const ir::Uses uses(module);
  bool changed = false;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id) || !CanFold(module, module.node(id), uses)) continue;
    std::vector<Tensor> operands;
    for (ir::ValueId v : module.node(id).inputs) operands.push_back(*module.value(v).constant);
    Result<std::vector<Tensor>> results = context.evaluate(module, module.node(id), operands);
    // An op that fails on its data, by an index out of range or a division by zero, fails when it
    // runs.
    if (!results.ok()) continue;
    const std::vector<ir::ValueId> outputs = module.node(id).outputs;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const std::string name = module.value(outputs[i]).name;
      std::optional<ir::QuantizationRange> range =
          MovedRange(module, module.node(id), (*results)[i].dims());
      const ir::ValueId constant = module.AddConstant(name, std::move((*results)[i]));
      module.value(constant).quantization = std::move(range);
      module.ReplaceUses(outputs[i], constant);
    }
    module.RemoveNode(id);
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
