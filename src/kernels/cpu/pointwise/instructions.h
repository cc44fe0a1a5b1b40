// The instructions of element-wise programs as loops over blocks of elements.
#pragma once

#include <cstddef>

#include "base/pointwise.h"

namespace graft::cpu {

// A uniform register holds one value, repeated over this many bytes: a vector of any length reads
// it at offset 0.
inline constexpr size_t kUniformBytes = 64;

// Operand k's element i is x[k][i & mask[k]]: the mask is 0 for a uniform register, else all ones.
struct InstructionBlock {
  const void* x[3];
  size_t mask[3];
  void* y;
  size_t count;
  double p;
  double q;
  // Set where integer arithmetic has no result: a division by zero, a negative power.
  bool* undefined = nullptr;
};
using InstructionLoop = void (*)(const InstructionBlock&);

// The vectorised f32 loop of an op for this processor; null where there is none, for which
// ScalarLoop serves. `operand` below is the dtype of the op's (non-bool) operands.
InstructionLoop VectorLoop(PointwiseOp op, DType operand);
// Null when the op has no meaning on the dtype.
InstructionLoop ScalarLoop(PointwiseOp op, DType operand);
// Between f32 and the 16-bit floats or integers of up to 32 bits, u32 excepted, vectorised; null
// for other pairs.
InstructionLoop VectorCastLoop(DType from, DType to);
// Null unless both are numeric. The same dtype on both sides copies.
InstructionLoop CastLoop(DType from, DType to);

}  // namespace graft::cpu
