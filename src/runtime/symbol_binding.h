// Gives every symbol of a module its value from an engine's inputs.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "ir/module.h"
#include "runtime/tensor_view.h"

namespace graft {

// Checks number, dtypes and dimensions of the inputs; of their data only host values are read.
// `symbols` has one entry for each symbol afterwards, -1 for result dims and expressions.
// kInvalidArgument names the input. `device_readable`: the host can read the device's memory.
Status BindSymbols(const ir::Module& module, std::span<const TensorView> inputs,
                   bool device_readable, std::vector<int64_t>* symbols);

// By input, whether elements of it are dimensions: its memory must then be the host's.
std::vector<bool> InputsThatSayShapes(const ir::Module& module);

// Element `index` of a small int32 or int64 input.
int64_t ReadHostValue(const TensorView& input, int32_t index);

}  // namespace graft
