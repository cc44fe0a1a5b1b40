#include "backend_api/flops.h"

#include <algorithm>

namespace graft {
namespace {

double Count(const BoundValue& v) { return static_cast<double>(CountElements(v.dims)); }

// Instructions of an epilogue on every element of the result.
double EpilogueFlops(const PointwiseProgram& program, const BoundNode& node) {
  return static_cast<double>(program.instructions.size()) * Count(node.outputs[0]);
}

double Of(const BoundNode& node, const ir::PointwiseAttributes& a) {
  return EpilogueFlops(a.program, node);
}
double Of(const BoundNode& node, const ir::ConvAttributes& a) {
  const Dims& filter = node.inputs[1].dims;  // [k…, C/groups, M]
  return 2 * Count(node.outputs[0]) * Count(node.inputs[1]) / static_cast<double>(filter.back()) +
         EpilogueFlops(a.epilogue, node);
}
double Of(const BoundNode& node, const ir::ConvTransposeAttributes& a) {
  // Every element of dy meets the filter's taps and channels once.
  const Dims& filter = node.inputs[1].dims;  // [k…, C, M]
  return 2 * Count(node.inputs[0]) * Count(node.inputs[1]) / static_cast<double>(filter.back()) +
         EpilogueFlops(a.epilogue, node);
}
double Of(const BoundNode& node, const ir::MatMulAttributes& a) {
  const Dims& lhs = node.inputs[0].dims;
  return 2 * Count(node.outputs[0]) *
             static_cast<double>(lhs[lhs.size() - (a.transpose_a ? 2 : 1)]) +
         EpilogueFlops(a.epilogue, node);
}
double Of(const BoundNode& node, const ir::PoolAttributes& a) {
  return Count(node.outputs[0]) * static_cast<double>(CountElements(a.window));
}
double Of(const BoundNode& node, const ir::ReduceAttributes&) { return Count(node.inputs[0]); }
double Of(const BoundNode& node, const ir::SoftmaxAttributes&) { return 4 * Count(node.inputs[0]); }
double Of(const BoundNode& node, const ir::ResizeAttributes& a) {
  switch (a.mode) {
    case ir::ResizeMode::kNearest:
      return 0;
    case ir::ResizeMode::kBilinear:
      return 8 * Count(node.outputs[0]);
    case ir::ResizeMode::kBicubic:
      return 32 * Count(node.outputs[0]);
    case ir::ResizeMode::kArea:
      return 2 * std::max(Count(node.inputs[0]), Count(node.outputs[0]));
  }
  return 0;
}
double Of(const BoundNode& node, const ir::CropAndResizeAttributes& a) {
  return a.mode == ir::ResizeMode::kBilinear ? 8 * Count(node.outputs[0]) : 0;
}
double Of(const BoundNode& node, const ir::CumulativeAttributes&) { return Count(node.inputs[0]); }
double Of(const BoundNode& node, const ir::LrnAttributes&) { return 8 * Count(node.inputs[0]); }
double Of(const BoundNode& node, const ir::QuantizeAttributes&) {
  return 5 * Count(node.outputs[0]);
}
double Of(const BoundNode& node, const ir::DequantizeAttributes&) {
  return 2 * Count(node.outputs[0]);
}
double Of(const BoundNode& node, const ir::FakeQuantizeAttributes&) {
  return 5 * Count(node.outputs[0]);
}
// Data movement and indices.
template <class T>
double Of(const BoundNode&, const T&) {
  return 0;
}

}  // namespace

double Flops(const BoundNode& node) {
  return std::visit([&](const auto& attributes) { return Of(node, attributes); }, node.attributes);
}

double BytesMoved(const BoundNode& node) {
  double bytes = 0;
  for (const auto* values : {&node.inputs, &node.outputs}) {
    for (const BoundValue& v : *values) {
      // An operand that lies in the result already is not moved.
      if (!v.in_result) bytes += Count(v) * static_cast<double>(SizeOf(v.dtype));
    }
  }
  return bytes;
}

}  // namespace graft
