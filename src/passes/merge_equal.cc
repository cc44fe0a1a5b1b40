// Nodes that compute the same from the same operands become one; equal constants become one.
#include <unordered_map>

#include "base/hash.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

// Weights are rarely equal and take long to compare.
constexpr size_t kMaxComparedBytes = 1 << 16;

bool MergeConstants(ir::Module& module) {
  std::unordered_map<std::string, ir::ValueId> first;
  bool changed = false;
  for (ir::ValueId id = 0; id < module.value_count(); ++id) {
    const ir::Value& value = module.value(id);
    if (!value.constant || value.constant->bytes() > kMaxComparedBytes) continue;
    const Tensor& tensor = *value.constant;
    const std::string key = fmt::format("{} {}", Describe(tensor.dtype(), tensor.dims()),
                                        ToHex(HashBytes(tensor.raw(), tensor.bytes())));
    const auto [entry, fresh] = first.emplace(key, id);
    if (fresh) continue;
    module.ReplaceUses(id, entry->second);
    module.value(id).constant.reset();
    changed = true;
  }
  return changed;
}

}  // namespace

Result<bool> MergeEqual(ir::Module& module, PassContext&) {
  bool changed = MergeConstants(module);
  const ir::Uses uses(module);
  std::unordered_map<std::string, ir::NodeId> first;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id)) continue;
    const ir::Node& node = module.node(id);
    // Opaque nodes may have effects.
    if (ir::Flags(node.kind()) & ir::kOpaque) continue;
    std::string key = ir::AttributesToString(node.attributes);
    for (ir::ValueId input : node.inputs) key += fmt::format(" %{}", input);
    const auto [entry, fresh] = first.emplace(std::move(key), id);
    if (fresh) continue;
    // Two outputs of the module need two values.
    bool two_outputs = false;
    for (ir::ValueId output : node.outputs) two_outputs |= uses.is_output(output);
    if (two_outputs) continue;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      module.ReplaceUses(node.outputs[i], module.node(entry->second).outputs[i]);
    }
    Cover(module, entry->second, node);
    module.RemoveNode(id);
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
