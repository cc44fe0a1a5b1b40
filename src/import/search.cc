// Places in sorted numbers.
#include "import/node_context.h"

namespace graft::importer {
namespace {

// How many of `sorted`, along the last axis, are less than x; or, with `through`, not greater. One
// of the two has 1 there. What is compared with NaN is not less.
Outcome EmitCount(NodeContext& ctx, ir::ValueId sorted, ir::ValueId x, bool through, DType dtype) {
  PointwiseProgram program{.inputs = 2};
  if (through) {
    const int greater = program.Add(PointwiseOp::kLess, DType::kBool, 1, 0);
    program.Add(PointwiseOp::kNot, DType::kBool, greater);
  } else {
    program.Add(PointwiseOp::kLess, DType::kBool, 0, 1);
  }
  program.Add(PointwiseOp::kCast, dtype, program.result());
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId passed,
                         ctx.EmitPointwise(std::move(program), {sorted, x}, "passed"));
  const auto last = static_cast<int64_t>(ctx.ValueOf(passed).shape.size()) - 1;
  return ctx.Output(
      ctx.Emit(ir::ReduceAttributes{.kind = ir::ReduceKind::kSum, .axes = {last}}, {passed}));
}

}  // namespace

// The number of boundaries, of attribute boundaries, that are not greater than an element.
Outcome ImportBucketize(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<float> boundaries, ctx.AttrList<float>("boundaries"));
  const auto count = static_cast<int64_t>(boundaries.size());
  // As in C++: a float and an integer are compared as floats.
  const DType dtype = ctx.dtype(0) == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId sorted,
      ctx.Cast(ctx.AddConstant(Tensor::Of<float>({count}, boundaries), "boundaries"), dtype,
               "sorted"));
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId x, ctx.Cast(ctx.operand(0), dtype, "cast"));
  ir::Shape shape = ctx.shape(0);
  shape.emplace_back(1);
  GRAFT_ASSIGN_OR_RETURN(x, ctx.Reshape(x, std::move(shape), "input"));
  return EmitCount(ctx, sorted, x, true, DType::kInt32);
}

// sorted_inputs[B, N], values[B, M]
Outcome ImportBound(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const DType dtype, ctx.Attr<DType>("out_type"));
  const ir::Shape sorted = ctx.shape(0);
  const ir::Shape values = ctx.shape(1);
  if (sorted.size() != 2 || values.size() != 2)
    return Refuse("sorted_inputs {} and values {}: must be matrices", ToString(sorted),
                  ToString(values));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId numbers,
                         ctx.Reshape(ctx.operand(0), {sorted[0], 1, sorted[1]}, "sorted"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x,
                         ctx.Reshape(ctx.operand(1), {values[0], values[1], 1}, "values"));
  return EmitCount(ctx, numbers, x, ctx.node().op == "UpperBound", dtype);
}

}  // namespace graft::importer
