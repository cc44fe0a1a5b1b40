#include "convert/external_weights.h"

#include <algorithm>
#include <map>

namespace graft::convert {

std::function<std::string(ir::ValueId)> ConstantsOf(const tf::GraphDef& segment, const Plan& plan) {
  std::map<std::string_view, const tf::NodeDef*> constants;
  for (const tf::NodeDef& node : segment.nodes) {
    if (node.op == "Const") constants[node.name] = &node;
  }
  // Small constants cost nothing, and TensorFlow's own optimisers fold many of them away.
  constexpr size_t kLeastExternalBytes = 4096;
  return [constants = std::move(constants), &plan](ir::ValueId id) -> std::string {
    const ir::Value& value = plan.module.value(id);
    if (value.constant->bytes() < kLeastExternalBytes) return "";
    const auto found = constants.find(value.name);
    if (found == constants.end()) return "";
    Result<tf::TensorValue> stored = found->second->Attr<tf::TensorValue>("value");
    if (!stored.ok()) return "";
    Result<Tensor> tensor = stored->Decode();
    if (!tensor.ok() || tensor->dtype() != value.dtype ||
        tensor->bytes() != value.constant->bytes())
      return "";
    const bool same =
        std::equal(tensor->raw(), tensor->raw() + tensor->bytes(), value.constant->raw());
    return same ? value.name : "";
  };
}

}  // namespace graft::convert
