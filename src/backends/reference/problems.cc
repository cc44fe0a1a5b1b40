#include "backends/reference/problems.h"

namespace graft::reference {
namespace {

// The attributes of a bound node hold constants only.
std::vector<int64_t> Known(const std::vector<ir::Dim>& dims) {
  std::optional<std::vector<int64_t>> known = ir::ConstantDims(dims);
  GRAFT_CHECK(known.has_value(), "{} is not bound", ir::ToString(dims));
  return *std::move(known);
}

}  // namespace

PointwiseProblem ToProblem(const ir::PointwiseAttributes& a) { return {a.program}; }
ConvProblem ToProblem(const ir::ConvAttributes& a) {
  return {a.strides,  a.dilations,  Known(a.pads_before), *a.groups.constant(),
          a.epilogue, a.accumulator};
}
ConvTransposeProblem ToProblem(const ir::ConvTransposeAttributes& a) {
  return {a.strides, a.dilations, Known(a.pads_before), a.epilogue, a.accumulator};
}
MatMulProblem ToProblem(const ir::MatMulAttributes& a) {
  return {a.transpose_a, a.transpose_b, a.epilogue, a.accumulator};
}
PoolProblem ToProblem(const ir::PoolAttributes& a) {
  return {a.kind == ir::PoolKind::kAverage, a.window, a.strides, Known(a.pads_before),
          a.count_padding};
}
ReduceProblem ToProblem(const ir::ReduceAttributes& a) { return {a.kind, a.axes}; }
ArgReduceProblem ToProblem(const ir::ArgReduceAttributes& a) {
  return {a.kind == ir::ArgReduceKind::kMin, a.axis};
}
SoftmaxProblem ToProblem(const ir::SoftmaxAttributes& a) { return {a.log}; }
ReshapeProblem ToProblem(const ir::ReshapeAttributes&) { return {}; }
TransposeProblem ToProblem(const ir::TransposeAttributes& a) { return {a.permutation}; }
ConcatProblem ToProblem(const ir::ConcatAttributes& a) { return {a.axis}; }
SliceProblem ToProblem(const ir::SliceAttributes& a) { return {Known(a.begin), a.strides}; }
PadProblem ToProblem(const ir::PadAttributes& a) { return {a.mode, Known(a.before), a.value}; }
BroadcastProblem ToProblem(const ir::BroadcastAttributes&) { return {}; }
TileProblem ToProblem(const ir::TileAttributes&) { return {}; }
GatherProblem ToProblem(const ir::GatherAttributes& a) { return {a.axis, a.batch_dims}; }
GatherNdProblem ToProblem(const ir::GatherNdAttributes& a) { return {a.batch_dims}; }
ResizeProblem ToProblem(const ir::ResizeAttributes& a) {
  return {a.mode, a.align_corners, a.half_pixel_centers};
}
DepthToSpaceProblem ToProblem(const ir::DepthToSpaceAttributes& a) { return {a.block, a.to_depth}; }
DimsProblem ToProblem(const ir::DimsAttributes& a) { return {Known(a.values)}; }
TopKProblem ToProblem(const ir::TopKAttributes&) { return {}; }
CumulativeProblem ToProblem(const ir::CumulativeAttributes& a) {
  return {a.kind == ir::CumulativeKind::kProd, a.axis, a.exclusive, a.reverse};
}
ScatterNdProblem ToProblem(const ir::ScatterNdAttributes& a) { return {a.kind}; }
CropAndResizeProblem ToProblem(const ir::CropAndResizeAttributes& a) {
  return {a.mode == ir::ResizeMode::kBilinear, static_cast<float>(a.extrapolation)};
}
LrnProblem ToProblem(const ir::LrnAttributes& a) { return {a.radius, a.bias, a.alpha, a.beta}; }
IotaProblem ToProblem(const ir::IotaAttributes&) { return {}; }
BitcastProblem ToProblem(const ir::BitcastAttributes&) { return {}; }
ReadIntegerProblem ToProblem(const ir::ReadIntegerAttributes& a) { return {a.element}; }
WhereProblem ToProblem(const ir::WhereAttributes&) { return {}; }
NonMaxSuppressionProblem ToProblem(const ir::NonMaxSuppressionAttributes& a) {
  return {a.overlaps};
}
CombinedNonMaxSuppressionProblem ToProblem(const ir::CombinedNonMaxSuppressionAttributes& a) {
  return {*a.per_class.constant(), a.clip};
}
UniqueProblem ToProblem(const ir::UniqueAttributes&) { return {}; }
QuantizeProblem ToProblem(const ir::QuantizeAttributes& a) { return {a.axis}; }
DequantizeProblem ToProblem(const ir::DequantizeAttributes& a) { return {a.axis}; }
FakeQuantizeProblem ToProblem(const ir::FakeQuantizeAttributes& a) {
  return {a.arithmetic,  a.bits, a.is_signed, a.narrow_range, a.rounding == ir::Rounding::kHalfUp,
          a.range_given, a.axis};
}

}  // namespace graft::reference
