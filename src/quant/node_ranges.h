// What a model's quantisation nodes say of the ranges of its values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/module.h"

namespace graft::quant {

struct NodeRange {
  std::optional<ir::QuantizationRange> range;  // none: it says nothing
  std::vector<std::string> warnings;
};

// The range that symmetric 8-bit integers take from a fake_quantize node with the constant operands
// `min` and `max`: amax = max(|min|, |max|) of the constants as they are, as TF-TRT took it. Bits,
// signedness, narrow range, rounding and whether the range is given do not count; that is not what
// the node computes in floats, and warnings say where the difference is large: zero outside of
// [min, max], another number of bits. A range of nothing, [0, 0], is none; along an axis it is so
// for a channel where others have one: that channel gets the smallest normal number.
// InvalidArgument for ends that are not finite or out of order.
Result<NodeRange> FromFakeQuantize(const ir::FakeQuantizeAttributes& attributes, const Tensor& min,
                                   const Tensor& max);

// One scale's integers: q = clamp(round(x · InverseScaleOf(amax))), x ≈ q · ScaleOf(amax).
// Multiplying gives TensorFlow's integers; dividing by the scale, others in two of a million.
inline float ScaleOf(float amax) { return amax / 127; }
inline float InverseScaleOf(float amax) { return 127 / amax; }

// For INT8: every fake_quantize node with constant ends gives its range to the value that it reads
// (origin kNode), and goes; nothing clips in its place. Ranges along an axis are kept for
// constants; other values get the largest. Of two nodes on one value the first counts, with a
// warning where they differ. Nodes whose ends are computed at run time, and those between an input
// and an output, stay. Returns the warnings, each with its node's name.
Result<std::vector<std::string>> ReadQuantizationNodes(ir::Module& module);

}  // namespace graft::quant
