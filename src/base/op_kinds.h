// Kinds of an operation, for what says them and what computes them: the IR's attributes and the
// problems of kernels, which know nothing of the IR.
#pragma once

#include <cstdint>

namespace graft {

enum class ReduceKind : uint8_t { kSum, kMean, kMax, kMin, kProd, kAll, kAny };

// kReflect leaves the edge out of the mirror, kSymmetric takes it in.
enum class PadMode : uint8_t { kConstant, kReflect, kSymmetric };

// kArea averages what lies under each result.
enum class ResizeMode : uint8_t { kNearest, kBilinear, kBicubic, kArea };

// What becomes of an element and its update.
enum class ScatterKind : uint8_t { kUpdate, kAdd, kSub, kMin, kMax };

// How numbers are rounded to those that integers stand for (ir::FakeQuantizeAttributes).
enum class FakeQuantizeArithmetic : uint8_t { kScaled, kNudged, kNudgedDividing };

}  // namespace graft
