// A slice along one axis is read where it lies: its result becomes a view of its operand, and the
// slice has nothing left to do.
#include "passes/pass.h"
#include "passes/views.h"

namespace graft::passes {
namespace {

// The one axis along which the slice leaves something out; nullopt when there are others or steps.
std::optional<int64_t> SlicedAxis(const ir::SliceAttributes& slice, const ir::Shape& shape) {
  std::optional<int64_t> sliced;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (slice.strides[i] != 1) return std::nullopt;
    if (slice.begin[i] == 0 && slice.size[i] == shape[i]) continue;
    if (sliced) return std::nullopt;
    sliced = static_cast<int64_t>(i);
  }
  return sliced;
}

}  // namespace

Result<bool> SliceViews(ir::Module& module, PassContext& context) {
  const ir::Uses uses(module);
  bool changed = false;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const ir::Node& node = module.node(id);
    const auto* slice = node.get<ir::SliceAttributes>();
    if (slice == nullptr) continue;
    const ir::ValueId base = node.inputs[0];
    const ir::ValueId result = node.outputs[0];
    if (module.value(base).constant || module.value(result).view || uses.is_output(result))
      continue;
    const std::optional<int64_t> axis = SlicedAxis(*slice, module.value(base).shape);
    if (!axis) continue;
    const std::optional<bool> strided = WindowIsStrided(module, base, *axis);
    if (!strided || (*strided && !ReadersTakeStrided(module, context, uses, result, -1))) continue;
    module.value(result).view = ir::View{base, *axis, slice->begin[*axis]};
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
