// Joining, padding, repeating.
#include <algorithm>

#include "base/half.h"
#include "import/node_context.h"

namespace graft::importer {
namespace {

Outcome ConcatOperands(NodeContext& ctx, int first, int count, int axis_operand) {
  if (count < 1) return Refuse("no operands");
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.AxisOperand(axis_operand, ctx.rank(first)));
  std::vector<ir::ValueId> operands;
  for (int i = first; i < first + count; ++i) operands.push_back(ctx.operand(i));
  if (count == 1) return ctx.SetOutput(0, operands[0]);
  return ctx.Output(ctx.Emit(ir::ConcatAttributes{.axis = axis}, std::move(operands)));
}

// [rank, 2] of before and after.
Accepted<ir::PadAttributes> ReadPaddings(NodeContext& ctx) {
  const ir::Value& operand = ctx.value(1);
  if (!operand.contents)
    return Refuse("The input \"{}\" for {} must be a constant", ctx.OperandName(1), ctx.node().op);
  const std::vector<ir::Dim>& all = *operand.contents;
  if (static_cast<int>(all.size()) != 2 * ctx.rank(0))
    return Refuse("paddings {} of input {}", ToString(ctx.shape(1)), ToString(ctx.shape(0)));
  ir::PadAttributes pad;
  for (size_t axis = 0; axis < all.size() / 2; ++axis) {
    pad.before.push_back(all[2 * axis]);
    pad.after.push_back(all[2 * axis + 1]);
  }
  return pad;
}

// A constant scalar as a double; its dtype is any numeric one that converts exactly.
Accepted<double> ScalarValue(const NodeContext& ctx, int i) {
  const ir::Value& value = ctx.value(i);
  if (!value.constant || value.constant->elements() != 1)
    return Refuse("The input \"{}\" for {} must be a constant scalar", ctx.OperandName(i),
                  ctx.node().op);
  const Tensor& tensor = *value.constant;
  if (tensor.dtype() == DType::kFloat32) return double{tensor.data<float>()[0]};
  if (tensor.dtype() == DType::kFloat64) return tensor.data<double>()[0];
  if (tensor.dtype() == DType::kFloat16) return double{float{tensor.data<Float16>()[0]}};
  if (tensor.dtype() == DType::kBFloat16) return double{float{tensor.data<BFloat16>()[0]}};
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> integers,
                         Accepted<std::vector<int64_t>>(tensor.ToInt64()));
  return static_cast<double>(integers[0]);
}

}  // namespace

Outcome ImportConcat(NodeContext& ctx) {
  return ConcatOperands(ctx, 1, ctx.operand_count() - 1, 0);
}

Outcome ImportConcatV2(NodeContext& ctx) {
  return ConcatOperands(ctx, 0, ctx.operand_count() - 1, ctx.operand_count() - 1);
}

Outcome ImportPack(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(int64_t axis, ctx.Attr<int64_t>("axis"));
  if (ctx.operand_count() < 1) return Refuse("no operands");
  GRAFT_ASSIGN_OR_RETURN(axis, ctx.Axis(axis, ctx.rank(0) + 1));
  std::vector<ir::ValueId> operands;
  for (int i = 0; i < ctx.operand_count(); ++i) {
    if (ctx.rank(i) != ctx.rank(0))
      return Refuse("operands of ranks {} and {}", ctx.rank(0), ctx.rank(i));
    ir::Shape shape = ctx.shape(i);
    shape.insert(shape.begin() + axis, 1);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x, ctx.Reshape(ctx.operand(i), std::move(shape),
                                                            fmt::format("expand_{}", i)));
    operands.push_back(x);
  }
  if (operands.size() == 1) return ctx.SetOutput(0, operands[0]);
  return ctx.Output(ctx.Emit(ir::ConcatAttributes{.axis = axis}, std::move(operands)));
}

// indices, depth, on_value, off_value
Outcome ImportOneHot(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(int64_t axis, ctx.Attr<int64_t>("axis"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t depth, ctx.Integer(1));
  GRAFT_ASSIGN_OR_RETURN(axis, ctx.Axis(axis, ctx.rank(0) + 1));
  constexpr int64_t kMaxDepth = int64_t{1} << 20;  // the classes become a constant
  if (depth < 0 || depth > kMaxDepth) return Refuse("depth {}", depth);
  const DType index_type = ctx.dtype(0);
  if (index_type != DType::kInt32 && index_type != DType::kInt64)
    return Refuse("Unsupported tensorflow data type {}", TensorFlowName(index_type));
  ir::Shape shape = ctx.shape(0);
  shape.insert(shape.begin() + axis, 1);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices,
                         ctx.Reshape(ctx.operand(0), std::move(shape), "indices"));
  ::graft::Dims class_dims(ctx.rank(0) + 1, 1);
  class_dims[axis] = depth;
  std::vector<int64_t> classes(depth);
  for (int64_t i = 0; i < depth; ++i) classes[i] = i;
  Tensor table =
      index_type == DType::kInt64
          ? Tensor::Of<int64_t>(class_dims, classes)
          : Tensor::Of<int32_t>(class_dims, std::vector<int32_t>(classes.begin(), classes.end()));
  PointwiseProgram program{.inputs = 4};
  const int equal = program.Add(PointwiseOp::kEqual, DType::kBool, 0, 1);
  program.Add(PointwiseOp::kSelect, ctx.dtype(2), equal, 2, 3);
  return ctx.Output(ctx.EmitPointwise(
      std::move(program),
      {indices, ctx.AddConstant(std::move(table), "classes"), ctx.operand(2), ctx.operand(3)}));
}

Outcome ImportPad(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(ir::PadAttributes pad, ReadPaddings(ctx));
  if (ctx.node().op == "PadV2") {
    GRAFT_ASSIGN_OR_RETURN(pad.value, ScalarValue(ctx, 2));
  }
  return ctx.Output(ctx.Emit(std::move(pad), {ctx.operand(0)}));
}

Outcome ImportMirrorPad(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(ir::PadAttributes pad, ReadPaddings(ctx));
  GRAFT_ASSIGN_OR_RETURN(const std::string mode, ctx.Attr<std::string>("mode"));
  if (mode != "REFLECT" && mode != "SYMMETRIC") return Refuse("mode {} is not supported", mode);
  pad.mode = mode == "REFLECT" ? ir::PadMode::kReflect : ir::PadMode::kSymmetric;
  return ctx.Output(ctx.Emit(std::move(pad), {ctx.operand(0)}));
}

Outcome ImportTile(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<ir::Dim> multiples, ctx.Dims(1));
  return ctx.Output(
      ctx.Emit(ir::TileAttributes{.multiples = std::move(multiples)}, {ctx.operand(0)}));
}

Outcome ImportTranspose(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> permutation, ctx.Integers(1));
  for (int64_t& axis : permutation) {
    GRAFT_ASSIGN_OR_RETURN(axis, ctx.Axis(axis, ctx.rank(0)));
  }
  return ctx.Output(ctx.Transpose(ctx.operand(0), std::move(permutation)));
}

}  // namespace graft::importer
