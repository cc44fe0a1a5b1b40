// From the IR's attributes, all dimensions known, to the reference kernels' problems.
#pragma once

#include "ir/attributes.h"
#include "kernels/reference/kernels.h"

namespace graft::reference {

#define GRAFT_REFERENCE_KERNEL(Op, name, dtypes) \
  Op##Problem ToProblem(const ir::Op##Attributes& attributes);
#include "kernels/reference/kernels.inc"
#undef GRAFT_REFERENCE_KERNEL

}  // namespace graft::reference
