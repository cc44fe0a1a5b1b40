// Nodes whose operands are all constant become constants themselves.
#include <algorithm>

#include "backend_api/lowered.h"
#include "passes/pass.h"

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
      module.ReplaceUses(outputs[i], module.AddConstant(name, std::move((*results)[i])));
    }
    module.RemoveNode(id);
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
