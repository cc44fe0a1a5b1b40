// What a concatenation joins is written where it belongs, by the nodes that make it: its operands
// become views of its result. An operand that cannot is copied when the concatenation runs.
#include <algorithm>

#include "ir/stages.h"
#include "passes/pass.h"
#include "passes/views.h"

namespace graft::passes {
namespace {

bool CanBeView(const ir::Module& module, const PassContext& context, const ir::Uses& uses,
               const ir::Stages& stages, ir::NodeId concat, ir::ValueId operand) {
  const ir::Value& value = module.value(operand);
  const ir::ValueId base = module.node(concat).outputs[0];
  const int64_t axis = module.node(concat).get<ir::ConcatAttributes>()->axis;
  if (value.producer < 0 || value.view || uses.is_output(operand)) return false;
  if (std::ranges::count(module.node(concat).inputs, operand) != 1) return false;
  const ir::Node& producer = module.node(value.producer);
  // The result's place must be known when the operand is written.
  if (stages.node[value.producer] < stages.node[concat]) return false;
  // A reshape shares its operand's bytes, or would only copy in the concatenation's stead.
  if (ir::Flags(producer.kind()) & (ir::kViewOfInput | ir::kOpaque)) return false;
  for (size_t i = 0; i < value.shape.size(); ++i) {
    if (static_cast<int64_t>(i) != axis && value.shape[i] != module.value(base).shape[i]) {
      return false;
    }
  }
  const std::optional<bool> strided = WindowIsStrided(module, base, axis);
  if (!strided) return false;
  if (!*strided) return true;
  return value.result == 0 && context.supports_strided_output &&
         context.supports_strided_output(module, producer) &&
         ReadersTakeStrided(module, context, uses, operand, concat);
}

}  // namespace

Result<bool> ConcatViews(ir::Module& module, PassContext& context) {
  const ir::Uses uses(module);
  GRAFT_ASSIGN_OR_RETURN(const ir::Stages stages, ir::FindStages(module));
  bool changed = false;
  // Backwards: whether a concatenation's result is a view itself decides what its operands can be.
  for (ir::NodeId id = module.node_count() - 1; id >= 0; --id) {
    const auto* concat = module.node(id).get<ir::ConcatAttributes>();
    if (concat == nullptr) continue;
    ir::Dim offset = 0;
    for (ir::ValueId operand : module.node(id).inputs) {
      ir::Value& value = module.value(operand);
      if (CanBeView(module, context, uses, stages, id, operand)) {
        value.view =
            ir::View{module.node(id).outputs[0], concat->axis, module.Shorten(offset, value.name)};
        changed = true;
      }
      offset += value.shape[concat->axis];
    }
  }
  return changed;
}

}  // namespace graft::passes
