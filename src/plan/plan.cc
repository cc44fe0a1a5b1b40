#include "plan/plan.h"

#include <fmt/ranges.h>

namespace graft {
namespace {

Result<int> FindBinding(std::string_view what, const std::vector<std::string>& names,
                        std::string (*binding_name)(int), std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name || binding_name(static_cast<int>(i)) == name) return static_cast<int>(i);
  }
  // TensorFlow writes the first output of a node with and without ":0".
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == fmt::format("{}:0", name) || fmt::format("{}:0", names[i]) == name)
      return static_cast<int>(i);
  }
  return InvalidArgumentError("no {} is called {}: there is {}", what, name,
                              fmt::join(names, ", "));
}

}  // namespace

Status CheckWeight(const Plan& plan, const UncheckedWeight& weight) {
  const ir::Value& value = plan.module.value(weight.value);
  if (HashBytes(value.constant->raw(), value.constant->bytes()) != weight.hash)
    return DataLossError("weight {}: its bytes are altered", value.name);
  return OkStatus();
}

Status CheckWeights(const Plan& plan) {
  for (const UncheckedWeight& weight : plan.unchecked_weights)
    GRAFT_RETURN_IF_ERROR(CheckWeight(plan, weight));
  return OkStatus();
}

bool HasItsHash(const PackedConstants& packed) {
  return HashBytes(packed.bytes.get(), packed.size) == packed.hash;
}

Status FitsInput(const ir::Module& module, size_t input, const Tensor& tensor) {
  const ir::Value& value = module.value(module.inputs[input]);
  bool fits = tensor.dtype() == value.dtype && tensor.dims().size() == value.shape.size();
  for (size_t axis = 0; fits && axis < value.shape.size(); ++axis)
    fits = value.shape[axis].constant().value_or(tensor.dims()[axis]) == tensor.dims()[axis];
  if (fits) return OkStatus();
  return InvalidArgumentError("input {}: its default is {}, the engine takes {}{}",
                              module.input_names[input], Describe(tensor.dtype(), tensor.dims()),
                              Name(value.dtype), ir::ToString(value.shape));
}

Result<int> FindInput(const ir::Module& module, std::string_view name) {
  return FindBinding("input", module.input_names, InputBindingName, name);
}
Result<int> FindOutput(const ir::Module& module, std::string_view name) {
  return FindBinding("output", module.output_names, OutputBindingName, name);
}

}  // namespace graft
