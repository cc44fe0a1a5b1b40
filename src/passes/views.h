// Values that are windows of others (ir::View): which can be.
#pragma once

#include "passes/pass.h"

namespace graft::passes {

// Whether rows of a window of `base` along `axis` are apart in memory. nullopt: the window is not
// one run of rows at all, so it cannot be a view.
std::optional<bool> WindowIsStrided(const ir::Module& module, ir::ValueId base, int64_t axis);

// Whether every reader of v but `except` takes v with rows that are not dense.
bool ReadersTakeStrided(const ir::Module& module, const PassContext& context, const ir::Uses& uses,
                        ir::ValueId v, ir::NodeId except);

}  // namespace graft::passes
