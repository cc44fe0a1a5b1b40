// Reductions, arg reductions and top-k.
#include <algorithm>
#include <utility>

#include "import/node_context.h"

namespace graft::importer {
namespace {

constexpr std::pair<std::string_view, ir::ReduceKind> kKinds[] = {
    {"All", ir::ReduceKind::kAll},   {"Any", ir::ReduceKind::kAny}, {"Max", ir::ReduceKind::kMax},
    {"Mean", ir::ReduceKind::kMean}, {"Min", ir::ReduceKind::kMin}, {"Prod", ir::ReduceKind::kProd},
    {"Sum", ir::ReduceKind::kSum},
};

// x, axes; attribute keep_dims.
Accepted<ir::ReduceAttributes> ReadReduction(const NodeContext& ctx, ir::ReduceKind kind) {
  GRAFT_ASSIGN_OR_RETURN(const bool keep_dims, ctx.Attr<bool>("keep_dims"));
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> axes, ctx.Integers(1));
  for (int64_t& axis : axes) {
    GRAFT_ASSIGN_OR_RETURN(axis, ctx.Axis(axis, ctx.rank(0)));
  }
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end())
    return Refuse("an axis is given twice");
  return ir::ReduceAttributes{.kind = kind, .axes = std::move(axes), .keep_dims = keep_dims};
}

}  // namespace

Outcome ImportReduce(NodeContext& ctx) {
  const auto kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                                 [&](const auto& row) { return row.first == ctx.node().op; });
  GRAFT_ASSIGN_OR_RETURN(ir::ReduceAttributes reduction, ReadReduction(ctx, kind->second));
  if (reduction.axes.empty()) return ctx.SetOutput(0, ctx.operand(0));
  return ctx.Output(ctx.Emit(std::move(reduction), {ctx.operand(0)}));
}

// The root of the sum of squares. Sums of integers wrap in their own dtype; of halves, floats are
// summed.
Outcome ImportEuclideanNorm(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(ir::ReduceAttributes sum, ReadReduction(ctx, ir::ReduceKind::kSum));
  const DType dtype = ctx.dtype(0);
  const bool is_half = dtype == DType::kFloat16 || dtype == DType::kBFloat16;
  const DType wide = is_half ? DType::kFloat32 : dtype;
  PointwiseProgram square{.inputs = 1};
  square.Add(PointwiseOp::kSquare, wide,
             dtype == wide ? 0 : square.Add(PointwiseOp::kCast, wide, 0));
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId y,
                         ctx.EmitPointwise(std::move(square), {ctx.operand(0)}, "square"));
  if (!sum.axes.empty()) {
    GRAFT_ASSIGN_OR_RETURN(y, ctx.Emit(std::move(sum), {y}, "sum"));
  }
  if (IsInteger(dtype)) {
    GRAFT_ASSIGN_OR_RETURN(y, ctx.Cast(y, DType::kFloat64, "wide"));
  }
  GRAFT_ASSIGN_OR_RETURN(y, ctx.EmitPointwise(PointwiseOp::kSqrt, {y}));
  return ctx.Output(ctx.Cast(y, dtype));
}

Outcome ImportArgReduce(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const DType dtype, ctx.Attr<DType>("output_type"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.AxisOperand(1, ctx.rank(0)));
  const auto kind = ctx.node().op == "ArgMax" ? ir::ArgReduceKind::kMax : ir::ArgReduceKind::kMin;
  // Kernels give these; others are cast from int32.
  const bool direct = dtype == DType::kInt32 || dtype == DType::kInt64;
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y,
                         ctx.Emit(ir::ArgReduceAttributes{.kind = kind,
                                                          .axis = axis,
                                                          .dtype = direct ? dtype : DType::kInt32},
                                  {ctx.operand(0)}, direct ? "" : "index"));
  return ctx.Output(ctx.Cast(y, dtype));
}

Outcome ImportTopK(NodeContext& ctx) {
  // sorted=false leaves the order open; sorted is one.
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> k, ctx.Dims(1));
  GRAFT_ASSIGN_OR_RETURN(const DType index_type, ctx.Attr<DType>("index_type"));
  if (k.size() != 1) return Refuse("k {}: must be a scalar", ToString(ctx.shape(1)));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId values,
                         ctx.Emit(ir::TopKAttributes{.k = k[0]}, {ctx.operand(0)}));
  const ir::ValueId found = ctx.module().node(ctx.ValueOf(values).producer).outputs[1];
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices, ctx.Cast(found, index_type, "indices"));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(0, values));
  return ctx.SetOutput(1, indices);
}

Outcome ImportCumulative(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const bool exclusive, ctx.Attr<bool>("exclusive"));
  GRAFT_ASSIGN_OR_RETURN(const bool reverse, ctx.Attr<bool>("reverse"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.AxisOperand(1, ctx.rank(0)));
  const auto kind =
      ctx.node().op == "Cumprod" ? ir::CumulativeKind::kProd : ir::CumulativeKind::kSum;
  return ctx.Output(ctx.Emit(
      ir::CumulativeAttributes{
          .kind = kind, .axis = axis, .exclusive = exclusive, .reverse = reverse},
      {ctx.operand(0)}));
}

// Half of the sum of squares.
Outcome ImportL2Loss(NodeContext& ctx) {
  const DType dtype = ctx.dtype(0);
  PointwiseProgram square{.inputs = 1};
  square.Add(PointwiseOp::kSquare, dtype, 0);
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId y,
                         ctx.EmitPointwise(std::move(square), {ctx.operand(0)}, "square"));
  if (ctx.rank(0) > 0) {
    ir::ReduceAttributes sum{.kind = ir::ReduceKind::kSum};
    for (int64_t axis = 0; axis < ctx.rank(0); ++axis) sum.axes.push_back(axis);
    GRAFT_ASSIGN_OR_RETURN(y, ctx.Emit(std::move(sum), {y}, "sum"));
  }
  PointwiseProgram halve{.inputs = 1};
  const int half = halve.Add(PointwiseOp::kConstant, dtype, -1, -1, -1, 0.5);
  halve.Add(PointwiseOp::kMul, dtype, 0, half);
  return ctx.Output(ctx.EmitPointwise(std::move(halve), {y}));
}

}  // namespace graft::importer
