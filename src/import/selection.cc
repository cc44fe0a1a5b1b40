// Ops that choose elements by their values; most have as many results as the data says.
#include <limits>

#include "base/half.h"
#include "import/node_context.h"

namespace graft::importer {
namespace {

// A scalar operand that must be known now.
Accepted<double> Number(NodeContext& ctx, int i) {
  const std::optional<Tensor>& constant = ctx.value(i).constant;
  if (!constant) {
    return Refuse("The input \"{}\" for {} must be a constant", ctx.OperandName(i), ctx.node().op);
  }
  if (constant->rank() != 0)
    return Refuse("{} {}: must be a scalar", ctx.OperandName(i), ToString(ctx.shape(i)));
  if (constant->dtype() == DType::kFloat32) return double{constant->data<float>()[0]};
  if (constant->dtype() == DType::kFloat16) return double{constant->data<Float16>()[0]};
  return Refuse("{} of type {}", ctx.OperandName(i), TensorFlowName(constant->dtype()));
}

Outcome CheckThreshold(std::string_view name, double value) {
  if (value >= 0 && value <= 1) return kAccepted;
  return Refuse("{} {}: must be in [0, 1]", name, value);
}

Accepted<ir::ValueId> EmitCount(NodeContext& ctx, const ir::Dim& count) {
  return ctx.Emit(ir::DimsAttributes{.values = {count}, .dtype = DType::kInt32, .rank = 0}, {},
                  "count");
}

// boxes or overlaps, scores, max_output_size, the rest in `attributes`. The results of the IR's op.
Accepted<std::vector<ir::ValueId>> EmitNonMaxSuppression(
    NodeContext& ctx, const ir::NonMaxSuppressionAttributes& attributes, const ir::Dim& most) {
  if (most.is_constant() && *most.constant() < 0)
    return Refuse("max_output_size {}: must not be negative", most.ToString());
  if (ctx.rank(1) != 1) return Refuse("scores {}: must have rank 1", ToString(ctx.shape(1)));
  return ctx.EmitWithResultDim(attributes, Min(ctx.shape(1)[0], most),
                               {ctx.operand(0), ctx.operand(1)});
}

// With zeros up to `size` elements.
Accepted<ir::ValueId> PadTo(NodeContext& ctx, ir::ValueId x, const ir::Dim& size,
                            std::string_view part) {
  const ir::Dim missing = size - ctx.ValueOf(x).shape[0];
  return ctx.Emit(ir::PadAttributes{.before = {0}, .after = {missing}}, {x}, part);
}

// The index type is an attribute under the same name in all four.
Outcome EmitUnique(NodeContext& ctx) {
  if (ctx.rank(0) != 1) return Refuse("x {}: must have rank 1", ToString(ctx.shape(0)));
  GRAFT_ASSIGN_OR_RETURN(const DType index, ctx.Attr<DType>("out_idx"));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::ValueId> results,
                         ctx.EmitWithResultDim(ir::UniqueAttributes{.dtype = index},
                                               ctx.shape(0)[0], {ctx.operand(0)}));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(0, results[0]));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(1, results[1]));
  return ctx.node().op.starts_with("UniqueWithCounts") ? ctx.SetOutput(2, results[2]) : kAccepted;
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
  ir::NonMaxSuppressionAttributes a;
  if (ctx.operand_count() == 3) {
    GRAFT_ASSIGN_OR_RETURN(const float threshold, ctx.Attr<float>("iou_threshold"));
    a.iou_threshold = threshold;
  } else {
    GRAFT_ASSIGN_OR_RETURN(a.iou_threshold, Number(ctx, 3));
  }
  GRAFT_RETURN_IF_REFUSED(CheckThreshold("iou_threshold", a.iou_threshold));
  a.score_threshold = ctx.dtype(1) == DType::kFloat16 ? std::numeric_limits<Float16>::lowest()
                                                      : std::numeric_limits<float>::lowest();
  if (ctx.operand_count() > 4) {
    GRAFT_ASSIGN_OR_RETURN(a.score_threshold, Number(ctx, 4));
  }
  if (ctx.operand_count() > 5) {
    GRAFT_ASSIGN_OR_RETURN(a.soft_sigma, Number(ctx, 5));
    if (!(a.soft_sigma >= 0))
      return Refuse("soft_nms_sigma {}: must not be negative", a.soft_sigma);
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::Dim most, ctx.Size(2));
  GRAFT_ASSIGN_OR_RETURN(std::vector<ir::ValueId> results, EmitNonMaxSuppression(ctx, a, most));
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
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId valid, EmitCount(ctx, count));
  return ctx.SetOutput(with_scores ? 2 : 1, valid);
}

// overlaps, scores, max_output_size, overlap_threshold, score_threshold
Outcome ImportNonMaxSuppressionWithOverlaps(NodeContext& ctx) {
  ir::NonMaxSuppressionAttributes a;
  a.overlaps = true;
  GRAFT_ASSIGN_OR_RETURN(a.iou_threshold, Number(ctx, 3));
  GRAFT_ASSIGN_OR_RETURN(a.score_threshold, Number(ctx, 4));
  GRAFT_ASSIGN_OR_RETURN(const ir::Dim most, ctx.Size(2));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::ValueId> results,
                         EmitNonMaxSuppression(ctx, a, most));
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
  GRAFT_ASSIGN_OR_RETURN(a.iou_threshold, Number(ctx, 4));
  GRAFT_ASSIGN_OR_RETURN(a.score_threshold, Number(ctx, 5));
  GRAFT_RETURN_IF_REFUSED(CheckThreshold("iou_threshold", a.iou_threshold));
  GRAFT_ASSIGN_OR_RETURN(const bool pad_per_class, ctx.Attr<bool>("pad_per_class"));
  if (pad_per_class) a.size = Min(a.size, a.per_class * ctx.shape(1)[2]);
  GRAFT_ASSIGN_OR_RETURN(a.clip, ctx.Attr<bool>("clip_boxes"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId boxes, ctx.Emit(a, {ctx.operand(0), ctx.operand(1)}));
  const std::vector<ir::ValueId> results = ctx.module().node(ctx.ValueOf(boxes).producer).outputs;
  for (int i = 0; i < 4; ++i) GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(i, results[i]));
  return kAccepted;
}

Outcome ImportUnique(NodeContext& ctx) { return EmitUnique(ctx); }

// x, axis: a vector of one axis or none.
Outcome ImportUniqueV2(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, ctx.Integers(1));
  if (axes.size() > 1) return Refuse("axis {}: must be one or none", ToString(ctx.shape(1)));
  if (!axes.empty()) {
    const Accepted<int64_t> axis = ctx.Axis(axes[0], ctx.rank(0));
    if (!axis.ok()) return axis.status();
  }
  return EmitUnique(ctx);
}

}  // namespace graft::importer
