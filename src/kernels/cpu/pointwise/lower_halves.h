// Arithmetic on the 16-bit floating-point types, as arithmetic on f32.
#pragma once

#include <span>

#include "base/pointwise.h"

namespace graft::cpu {

// The same program with casts to f32 before and from f32 behind every instruction that works on
// f16 or bf16: each result is rounded once, to its own type. Operands and result keep their dtypes.
// It may have more than kMaxPointwiseInstructions.
PointwiseProgram LowerHalves(const PointwiseProgram& program, std::span<const DType> inputs);

}  // namespace graft::cpu
