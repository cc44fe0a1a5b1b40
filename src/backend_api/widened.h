// How a node on 16-bit floats runs where the backend has no kernel for them: in f32, between casts.
// Its operands and results keep their dtypes, so values are stored in 16 bits.
#pragma once

#include <optional>
#include <vector>

#include "base/executor.h"
#include "ir/module.h"

namespace graft {

// What becomes of the weights of a convolution or product, its operand 1. All other operands that
// are halves are cast to f32.
enum class WidenedWeights : uint8_t {
  kAsStored,  // they stay halves, for a kernel that reads or packs them as they are
  kWidened,   // constants become f32 ones
};

// Whether the node has a widened form: an operand of the op itself (not of its epilogue) is f16 or
// bf16, or a result whose dtype no epilogue decides. Element-wise nodes have none, their programs
// cast by themselves.
bool CanWiden(const ir::Module& module, const ir::Node& node);

// The first widened form whose nodes `supports` takes, all of them; weights as they are stored come
// first. Tried in a module of its own.
std::optional<WidenedWeights> ChooseWidened(
    const ir::Module& module, const ir::Node& node,
    FunctionRef<bool(const ir::Module&, const ir::Node&)> supports);

// Appends the node's widened form to the module and gives its results. Sums in f32 become halves in
// the epilogue, before anything else; an epilogue that has no room for that is a node of its own.
Result<std::vector<ir::ValueId>> EmitWidened(ir::Module& module, const ir::Node& node,
                                             WidenedWeights weights);

}  // namespace graft
