// What constants alone decide, known before any pass.
#pragma once

#include "ir/module.h"

namespace graft::convert {

// Computes what constants alone decide, so that a backend sees a filter that is reshaped or scaled
// before it is used as the constant that it will be. The nodes stay: they are the graph's.
void MarkConstants(ir::Module& module);

}  // namespace graft::convert
