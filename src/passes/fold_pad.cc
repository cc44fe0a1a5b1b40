// Zero padding becomes part of the convolution or pooling that reads it.
#include <algorithm>
#include <array>

#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

// Pads the spatial dimensions of [N, spatial…, C] only, by `value`.
bool PadsImage(const ir::PadAttributes& pad) {
  return pad.mode == ir::PadMode::kConstant && pad.before.size() >= 3 &&
         AllZero(std::array{pad.before.front(), pad.after.front(), pad.before.back(),
                            pad.after.back()});
}

template <class Window>
void AddPads(const ir::PadAttributes& pad, Window& window) {
  for (size_t i = 0; i < window.pads_before.size(); ++i) {
    window.pads_before[i] += pad.before[i + 1];
    window.pads_after[i] += pad.after[i + 1];
  }
}

bool HasNoPads(const ir::PoolAttributes& pool) {
  return AllZero(pool.pads_before) && AllZero(pool.pads_after);
}

// No window lies in the padding alone: there a maximum would find nothing.
bool EveryWindowSeesInput(const ir::PadAttributes& pad, const ir::PoolAttributes& pool) {
  for (size_t i = 0; i < pool.window.size(); ++i) {
    for (const ir::Dim& dim : {pad.before[i + 1], pad.after[i + 1]}) {
      if (!dim.is_constant() || *dim.constant() >= pool.window[i]) return false;
    }
  }
  return true;
}

// The reader's attributes with the padding taken in; nullopt where that would change the result.
std::optional<ir::Attributes> TakeIn(const ir::PadAttributes& pad, const ir::Value& padded,
                                     const ir::Node& reader) {
  if (const auto* conv = reader.get<ir::ConvAttributes>()) {
    if (pad.value != 0) return std::nullopt;
    ir::ConvAttributes folded = *conv;
    AddPads(pad, folded);
    return folded;
  }
  const auto* pool = reader.get<ir::PoolAttributes>();
  if (pool == nullptr) return std::nullopt;
  ir::PoolAttributes folded = *pool;
  AddPads(pad, folded);
  if (pool->kind == ir::PoolKind::kAverage) {
    // The zeros counted as cells; the pooling's own padding must have counted as well.
    if (pad.value != 0 || !(pool->count_padding || HasNoPads(*pool))) return std::nullopt;
    folded.count_padding = true;
    return folded;
  }
  // A padding that is never larger than the elements never wins the maximum.
  if (!(pad.value <= padded.low) || !HasNoPads(*pool) || !EveryWindowSeesInput(pad, *pool)) {
    return std::nullopt;
  }
  return folded;
}

}  // namespace

Result<bool> FoldPad(ir::Module& module, PassContext&) {
  bool changed = false;
  const ir::NodeId nodes = module.node_count();
  for (ir::NodeId id = 0; id < nodes; ++id) {
    if (module.removed(id) || module.node(id).inputs.empty()) continue;
    const ir::NodeId producer = module.value(module.node(id).inputs[0]).producer;
    if (producer < 0) continue;
    const ir::Node pad_node = module.node(producer);
    const auto* pad = pad_node.get<ir::PadAttributes>();
    if (pad == nullptr || !PadsImage(*pad)) continue;
    std::vector<ir::ValueId> inputs = module.node(id).inputs;
    // An epilogue that reads the padded image as well keeps it.
    if (std::ranges::count(inputs, inputs[0]) > 1) continue;
    std::optional<ir::Attributes> folded =
        TakeIn(*pad, module.value(pad_node.inputs[0]), module.node(id));
    if (!folded) continue;
    inputs[0] = pad_node.inputs[0];
    // Pads that are expressions may give the same dimension in another form.
    if (!Gives(module, *folded, inputs, module.value(module.node(id).outputs[0]))) continue;
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId replacement,
                           ReplaceNode(module, id, std::move(*folded), std::move(inputs)));
    Cover(module, replacement, pad_node);
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
