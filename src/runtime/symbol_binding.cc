#include "runtime/symbol_binding.h"

#include <cstring>

namespace graft {
namespace {

Status CheckForm(const ir::Module& module, std::span<const TensorView> inputs) {
  if (inputs.size() != module.inputs.size()) {
    return InvalidArgumentError("{} inputs are given, the engine has {}", inputs.size(),
                                module.inputs.size());
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Value& value = module.value(module.inputs[i]);
    if (inputs[i].dtype == DType::kInvalid)
      return InvalidArgumentError("input {} is not fed, and has no default", module.input_names[i]);
    if (inputs[i].dtype != value.dtype) {
      return InvalidArgumentError("input {}: dtype is {}, the engine takes {}",
                                  module.input_names[i], Name(inputs[i].dtype), Name(value.dtype));
    }
    const int64_t elements = CountElements(inputs[i].dims);
    if (inputs[i].dims.size() != value.shape.size() || elements < 0) {
      return InvalidArgumentError("input {}: shape is {}, the engine takes {}",
                                  module.input_names[i], Describe(value.dtype, inputs[i].dims),
                                  ir::ToString(value.shape));
    }
    if (elements > 0 && inputs[i].data == nullptr)
      return InvalidArgumentError("input {}: it has no data", module.input_names[i]);
  }
  return OkStatus();
}

}  // namespace

std::vector<bool> InputsThatSayShapes(const ir::Module& module) {
  std::vector<bool> result(module.inputs.size());
  for (const ir::Symbol& symbol : module.symbols) {
    if (symbol.kind == ir::Symbol::Kind::kHostValue) result[symbol.input] = true;
  }
  return result;
}

int64_t ReadHostValue(const TensorView& input, int32_t index) {
  const auto* bytes = static_cast<const std::byte*>(input.data);
  if (input.dtype == DType::kInt32) {
    int32_t value;
    std::memcpy(&value, bytes + index * sizeof(value), sizeof(value));
    return value;
  }
  int64_t value;
  std::memcpy(&value, bytes + index * sizeof(value), sizeof(value));
  return value;
}

Status BindSymbols(const ir::Module& module, std::span<const TensorView> inputs,
                   bool device_readable, std::vector<int64_t>* symbols) {
  GRAFT_RETURN_IF_ERROR(CheckForm(module, inputs));
  symbols->resize(module.symbols.size());
  for (size_t s = 0; s < module.symbols.size(); ++s) {
    const ir::Symbol& symbol = module.symbols[s];
    if (symbol.is_result() || symbol.expression) {
      (*symbols)[s] = -1;
      continue;
    }
    const TensorView& input = inputs[symbol.input];
    if (symbol.kind == ir::Symbol::Kind::kInputDim) {
      (*symbols)[s] = input.dims[symbol.axis];
    } else {
      if (symbol.axis >= CountElements(input.dims)) {
        return InvalidArgumentError("input {}: element {} is a shape, and it has {} elements",
                                    module.input_names[symbol.input], symbol.axis,
                                    CountElements(input.dims));
      }
      if (input.space != MemorySpace::kHost && !device_readable) {
        return InvalidArgumentError("input {}: its elements are shapes, so it is to be host memory",
                                    module.input_names[symbol.input]);
      }
      (*symbols)[s] = ReadHostValue(input, symbol.axis);
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Shape& shape = module.value(module.inputs[i]).shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      GRAFT_ASSIGN_OR_RETURN(const int64_t expected, shape[axis].Evaluate(*symbols));
      if (expected != inputs[i].dims[axis]) {
        return InvalidArgumentError("input {}: dimension {} is {}, the engine takes {}",
                                    module.input_names[i], axis, inputs[i].dims[axis],
                                    shape[axis].is_constant()
                                        ? fmt::format("{}", expected)
                                        : fmt::format("{} = {}", shape[axis].ToString(), expected));
      }
    }
  }
  return OkStatus();
}

}  // namespace graft
