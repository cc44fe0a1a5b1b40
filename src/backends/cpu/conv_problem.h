// From convolution nodes to the kernels' problems. Attributes: ir::ConvAttributes or
// ir::ConvTransposeAttributes.
#pragma once

#include <span>

#include "backend_api/backend.h"
#include "kernels/cpu/conv/conv.h"

namespace graft::cpu {

// `weights` are the dimensions of the filter operand; the attributes' groups are a constant.
ConvFilter MakeConvFilter(const ir::ConvAttributes& attributes, std::span<const int64_t> weights);
ConvFilter MakeConvFilter(const ir::ConvTransposeAttributes& attributes,
                          std::span<const int64_t> weights);

template <class Attributes>
ConvProblem MakeConvProblem(const BoundNode& node);

}  // namespace graft::cpu
