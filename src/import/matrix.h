#pragma once

#include "import/node_context.h"

namespace graft::importer {

// x where the positions along axes p and q are the same, and the scalar `otherwise` elsewhere. Axis
// q is 1 long, or as long as p.
Accepted<ir::ValueId> EmitOnDiagonal(NodeContext& ctx, ir::ValueId x, size_t p, size_t q,
                                     ir::ValueId otherwise);

}  // namespace graft::importer
