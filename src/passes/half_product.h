// The product of which most of a network is made, on weights that are stored as halves: what a
// backend is asked where it matters whether it computes on halves at all.
#pragma once

#include "ir/module.h"

namespace graft::passes {

struct HalfProduct {
  ir::Module module;
  ir::NodeId id = 0;

  const ir::Node& node() const { return module.node(id); }
};

// dtype: of what is multiplied by the weights. Sums are f32.
Result<HalfProduct> MakeHalfProduct(DType dtype);

}  // namespace graft::passes
