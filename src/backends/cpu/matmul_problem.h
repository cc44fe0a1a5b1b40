// From matmul nodes to the kernels' problems.
#pragma once

#include "backend_api/backend.h"
#include "kernels/cpu/matmul/matmul.h"

namespace graft::cpu {

// What packing needs to know: B alone, dense, of dimensions `b`.
MatMulProblem MakePackedMatMulProblem(const ir::MatMulAttributes& attributes, const Dims& b);
MatMulProblem MakeMatMulProblem(const BoundNode& node);

}  // namespace graft::cpu
