#pragma once

#include "import/node_context.h"

namespace graft::importer {

// x·scale + shift from batch-norm statistics, all vectors over x's last axis.
Accepted<ir::ValueId> EmitBatchNorm(NodeContext& ctx, ir::ValueId x, ir::ValueId gamma,
                                    ir::ValueId beta, ir::ValueId mean, ir::ValueId variance,
                                    float epsilon);

// The attribute fused_ops of _FusedConv2D and _FusedMatMul applied to `x` (channels last), with the
// operands from 2 on.
Accepted<ir::ValueId> EmitFusedOps(NodeContext& ctx, ir::ValueId x);

}  // namespace graft::importer
