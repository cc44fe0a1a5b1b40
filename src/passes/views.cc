#include "passes/views.h"

#include <algorithm>

namespace graft::passes {

std::optional<bool> WindowIsStrided(const ir::Module& module, ir::ValueId base, int64_t axis) {
  const ir::Shape& shape = module.value(base).shape;
  const bool single =
      std::all_of(shape.begin(), shape.begin() + axis, [](const ir::Dim& d) { return d == 1; });
  const bool last = axis + 1 == static_cast<int64_t>(shape.size());
  if (!single && !last) return std::nullopt;
  if (last) return !single;
  // A block of rows is as its base is.
  const std::optional<ir::View>& view = module.value(base).view;
  return view ? WindowIsStrided(module, view->base, view->axis) : false;
}

bool ReadersTakeStrided(const ir::Module& module, const PassContext& context, const ir::Uses& uses,
                        ir::ValueId v, ir::NodeId except) {
  return std::ranges::all_of(uses.of(v), [&](ir::NodeId id) {
    const ir::Node& reader = module.node(id);
    return id == except ||
           (std::ranges::count(reader.inputs, v) == 1 && reader.inputs[0] == v &&
            context.supports_strided_input && context.supports_strided_input(module, reader));
  });
}

}  // namespace graft::passes
