// Ops that choose elements by their values; most have as many results as the data says.
#include <limits>
#include <numeric>

#include "base/half.h"
#include "import/node_context.h"

namespace graft::importer {
namespace {

// Of a scalar operand that is known now.
std::optional<double> KnownNumber(const NodeContext& ctx, int i) {
  const std::optional<Tensor>& constant = ctx.value(i).constant;
  if (!constant || constant->rank() != 0) return std::nullopt;
  if (constant->dtype() == DType::kFloat32) return double{constant->data<float>()[0]};
  if (constant->dtype() == DType::kFloat16) return double{constant->data<Float16>()[0]};
  return std::nullopt;
}

// Scalars as the one operand that the IR's ops compare with.
Accepted<ir::ValueId> EmitThresholds(NodeContext& ctx, const std::vector<ir::ValueId>& scalars) {
  std::vector<ir::ValueId> parts;
  for (const ir::ValueId scalar : scalars) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId part, ctx.Cast(scalar, DType::kFloat32, "threshold"));
    GRAFT_ASSIGN_OR_RETURN(parts.emplace_back(), ctx.Reshape(part, {1}, "threshold"));
  }
  return ctx.Emit(ir::ConcatAttributes{.axis = 0}, std::move(parts), "thresholds");
}

ir::ValueId AddThreshold(NodeContext& ctx, float value) {
  return ctx.AddConstant(Tensor::Of<float>({}, {value}), "threshold");
}

Outcome CheckScalar(const NodeContext& ctx, int i) {
  if (ctx.rank(i) == 0) return kAccepted;
  return Refuse("{} {}: must be a scalar", ctx.OperandName(i), ToString(ctx.shape(i)));
}

Outcome CheckThreshold(std::string_view name, double value) {
  if (value >= 0 && value <= 1) return kAccepted;
  return Refuse("{} {}: must be in [0, 1]", name, value);
}

// Operand i, an overlap.
Outcome CheckIouThreshold(const NodeContext& ctx, int i) {
  GRAFT_RETURN_IF_REFUSED(CheckScalar(ctx, i));
  const std::optional<double> known = KnownNumber(ctx, i);
  return known ? CheckThreshold("iou_threshold", *known) : kAccepted;
}

// boxes or overlaps, scores, max_output_size; the thresholds are scalars. The results of the IR's
// op.
Accepted<std::vector<ir::ValueId>> EmitNonMaxSuppression(
    NodeContext& ctx, const ir::NonMaxSuppressionAttributes& attributes, const ir::Dim& most,
    const std::vector<ir::ValueId>& thresholds) {
  if (most.is_constant() && *most.constant() < 0)
    return Refuse("max_output_size {}: must not be negative", most.ToString());
  if (ctx.rank(1) != 1) return Refuse("scores {}: must have rank 1", ToString(ctx.shape(1)));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId operand, EmitThresholds(ctx, thresholds));
  return ctx.EmitWithResultDim(attributes, Min(ctx.shape(1)[0], most),
                               {ctx.operand(0), ctx.operand(1), operand});
}

// With zeros up to `size` elements.
Accepted<ir::ValueId> PadTo(NodeContext& ctx, ir::ValueId x, const ir::Dim& size,
                            std::string_view part) {
  const ir::Dim missing = size - ctx.ValueOf(x).shape[0];
  return ctx.Emit(ir::PadAttributes{.before = {0}, .after = {missing}}, {x}, part);
}

// Of the parts along an axis. The index type is an attribute under the same name in all four.
Outcome EmitUnique(NodeContext& ctx, size_t axis) {
  GRAFT_ASSIGN_OR_RETURN(const DType index, ctx.Attr<DType>("out_idx"));
  // The axis and the first one change places, and back.
  std::vector<int64_t> swapped(ctx.rank(0));
  std::iota(swapped.begin(), swapped.end(), 0);
  std::swap(swapped[0], swapped[axis]);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId rows, ctx.Transpose(ctx.operand(0), swapped, "rows"));
  GRAFT_ASSIGN_OR_RETURN(
      const std::vector<ir::ValueId> results,
      ctx.EmitWithResultDim(ir::UniqueAttributes{.dtype = index}, ctx.shape(0)[axis], {rows}));
  GRAFT_RETURN_IF_REFUSED(ctx.Output(ctx.Transpose(results[0], swapped)));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(1, results[1]));
  return ctx.node().op.starts_with("UniqueWithCounts") ? ctx.SetOutput(2, results[2]) : kAccepted;
}

Outcome CheckVector(const NodeContext& ctx) {
  if (ctx.rank(0) == 1) return kAccepted;
  return Refuse("x {}: must have rank 1", ToString(ctx.shape(0)));
}

}  // namespace

Outcome ImportWhere(NodeContext& ctx) {
  if (ctx.rank(0) == 0) return Refuse("input []: must not be a scalar");
  GRAFT_ASSIGN_OR_RETURN(
      const std::vector<ir::ValueId> results,
      ctx.EmitWithResultDim(ir::WhereAttributes(), Product(ctx.shape(0)), {ctx.operand(0)}));
  return ctx.SetOutput(0, results[0]);
}

// boxes, scores, max_output_size, from V2 on iou_threshold, from V3 on score_threshold, in V5
// soft_nms_sigma. V5 gives the scores too; V4 and V5 give the number of boxes and may fill up with
// zeros.
Outcome ImportNonMaxSuppression(NodeContext& ctx) {
  std::vector<ir::ValueId> thresholds;
  if (ctx.operand_count() == 3) {
    GRAFT_ASSIGN_OR_RETURN(const float threshold, ctx.Attr<float>("iou_threshold"));
    GRAFT_RETURN_IF_REFUSED(CheckThreshold("iou_threshold", threshold));
    thresholds.push_back(AddThreshold(ctx, threshold));
  } else {
    GRAFT_RETURN_IF_REFUSED(CheckIouThreshold(ctx, 3));
    thresholds.push_back(ctx.operand(3));
  }
  if (ctx.operand_count() > 4) {
    GRAFT_RETURN_IF_REFUSED(CheckScalar(ctx, 4));
    thresholds.push_back(ctx.operand(4));
  } else {
    const float least = ctx.dtype(1) == DType::kFloat16
                            ? static_cast<float>(std::numeric_limits<Float16>::lowest())
                            : std::numeric_limits<float>::lowest();
    thresholds.push_back(AddThreshold(ctx, least));
  }
  if (ctx.operand_count() > 5) {
    GRAFT_RETURN_IF_REFUSED(CheckScalar(ctx, 5));
    const std::optional<double> sigma = KnownNumber(ctx, 5);
    if (sigma && !(*sigma >= 0)) return Refuse("soft_nms_sigma {}: must not be negative", *sigma);
    thresholds.push_back(ctx.operand(5));
  } else {
    thresholds.push_back(AddThreshold(ctx, 0));
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::Dim most, ctx.Size(2));
  GRAFT_ASSIGN_OR_RETURN(std::vector<ir::ValueId> results,
                         EmitNonMaxSuppression(ctx, {}, most, thresholds));
  if (ctx.operand_count() < 5 || ctx.node().op == "NonMaxSuppressionV3")
    return ctx.SetOutput(0, results[0]);

  const ir::Dim count = ctx.ValueOf(results[0]).shape[0];
  GRAFT_ASSIGN_OR_RETURN(const bool pad, ctx.Attr<bool>("pad_to_max_output_size"));
  const bool with_scores = ctx.node().op == "NonMaxSuppressionV5";
  if (pad) {
    GRAFT_ASSIGN_OR_RETURN(results[0], PadTo(ctx, results[0], most, "padded"));
    if (with_scores) {
      GRAFT_ASSIGN_OR_RETURN(results[1], PadTo(ctx, results[1], most, "padded_scores"));
    }
  }
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(0, results[0]));
  if (with_scores) GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(1, results[1]));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId valid, ctx.EmitDim(count, DType::kInt32, "count"));
  return ctx.SetOutput(with_scores ? 2 : 1, valid);
}

// overlaps, scores, max_output_size, overlap_threshold, score_threshold
Outcome ImportNonMaxSuppressionWithOverlaps(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckScalar(ctx, 3));
  GRAFT_RETURN_IF_REFUSED(CheckScalar(ctx, 4));
  GRAFT_ASSIGN_OR_RETURN(const ir::Dim most, ctx.Size(2));
  GRAFT_ASSIGN_OR_RETURN(
      const std::vector<ir::ValueId> results,
      EmitNonMaxSuppression(ctx, {.overlaps = true}, most,
                            {ctx.operand(3), ctx.operand(4), AddThreshold(ctx, 0)}));
  return ctx.SetOutput(0, results[0]);
}

// boxes, scores, max_output_size_per_class, max_total_size, iou_threshold, score_threshold. Of
// fixed size: the best boxes of all classes, then zeros.
Outcome ImportCombinedNonMaxSuppression(NodeContext& ctx) {
  ir::CombinedNonMaxSuppressionAttributes a;
  if (ctx.rank(1) != 3) return Refuse("scores {}: must have rank 3", ToString(ctx.shape(1)));
  GRAFT_ASSIGN_OR_RETURN(a.per_class, ctx.Size(2));
  GRAFT_ASSIGN_OR_RETURN(a.size, ctx.Size(3));
  if (a.size.is_constant() && *a.size.constant() < 1)
    return Refuse("max_total_size {}: must be positive", a.size.ToString());
  GRAFT_RETURN_IF_REFUSED(CheckIouThreshold(ctx, 4));
  GRAFT_RETURN_IF_REFUSED(CheckScalar(ctx, 5));
  GRAFT_ASSIGN_OR_RETURN(const bool pad_per_class, ctx.Attr<bool>("pad_per_class"));
  if (pad_per_class) a.size = Min(a.size, a.per_class * ctx.shape(1)[2]);
  GRAFT_ASSIGN_OR_RETURN(a.clip, ctx.Attr<bool>("clip_boxes"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId thresholds,
                         EmitThresholds(ctx, {ctx.operand(4), ctx.operand(5)}));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId boxes,
                         ctx.Emit(a, {ctx.operand(0), ctx.operand(1), thresholds}));
  const std::vector<ir::ValueId> results = ctx.module().node(ctx.ValueOf(boxes).producer).outputs;
  for (int i = 0; i < 4; ++i) GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(i, results[i]));
  return kAccepted;
}

Outcome ImportUnique(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckVector(ctx));
  return EmitUnique(ctx, 0);
}

// x, axis: a vector of one axis, or of none where x is a vector.
Outcome ImportUniqueV2(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, ctx.Integers(1));
  if (axes.size() > 1) return Refuse("axis {}: must be one or none", ToString(ctx.shape(1)));
  if (axes.empty()) return ImportUnique(ctx);
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.Axis(axes[0], ctx.rank(0)));
  return EmitUnique(ctx, static_cast<size_t>(axis));
}

}  // namespace graft::importer
