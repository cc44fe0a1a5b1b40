// Joining, padding, repeating.

#include "base/dtype_visit.h"
#include "import/node_context.h"

namespace graft::importer {
namespace {

Outcome ConcatAlong(NodeContext& ctx, int first, int count, int64_t axis) {
  std::vector<ir::ValueId> operands;
  for (int i = first; i < first + count; ++i) operands.push_back(ctx.operand(i));
  if (count == 1) return ctx.SetOutput(0, operands[0]);
  return ctx.Output(ctx.Emit(ir::ConcatAttributes{.axis = axis}, std::move(operands)));
}

Outcome ConcatOperands(NodeContext& ctx, int first, int count, int axis_operand) {
  if (count < 1) return Refuse("no operands");
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.AxisOperand(axis_operand, ctx.rank(first)));
  return ConcatAlong(ctx, first, count, axis);
}

// [rank, 2] of before and after.
Accepted<ir::PadAttributes> ReadPaddings(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> all, ctx.Contents(1));
  if (static_cast<int>(all.size()) != 2 * ctx.rank(0))
    return Refuse("paddings {} of input {}", ToString(ctx.shape(1)), ToString(ctx.shape(0)));
  ir::PadAttributes pad;
  for (size_t axis = 0; axis < all.size() / 2; ++axis) {
    pad.before.push_back(all[2 * axis]);
    pad.after.push_back(all[2 * axis + 1]);
  }
  return pad;
}

// A constant scalar, where a double holds its value.
std::optional<double> ScalarValue(const ir::Value& value) {
  if (!value.constant || value.constant->elements() != 1) return std::nullopt;
  const Tensor& tensor = *value.constant;
  const auto number = [&]<class T>(T) { return std::optional<double>(tensor.data<T>()[0]); };
  if (IsFloating(tensor.dtype())) return TryVisitDType(kFloatTypes, tensor.dtype(), number);
  const Result<std::vector<int64_t>> integers = tensor.ToInt64();
  constexpr int64_t kExact = int64_t{1} << 53;
  if (!integers.ok() || (*integers)[0] > kExact || (*integers)[0] < -kExact) return std::nullopt;
  return static_cast<double>((*integers)[0]);
}

// x padded with a value that is data: padding marks where it goes.
Accepted<ir::ValueId> EmitPadWith(NodeContext& ctx, ir::PadAttributes pad, ir::ValueId value) {
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId yes, ctx.Scalar(1, DType::kBool, "yes"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId inside,
                         ctx.Emit(ir::BroadcastAttributes{.shape = ctx.shape(0)}, {yes}, "inside"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId mask, ctx.Emit(pad, {inside}, "mask"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId padded,
                         ctx.Emit(std::move(pad), {ctx.operand(0)}, "padded"));
  PointwiseProgram program{.inputs = 3};
  program.Add(PointwiseOp::kSelect, ctx.dtype(0), 0, 1, 2);
  return ctx.EmitPointwise(std::move(program), {mask, padded, value});
}

}  // namespace

Outcome ImportConcat(NodeContext& ctx) {
  return ConcatOperands(ctx, 1, ctx.operand_count() - 1, 0);
}

Outcome ImportConcatV2(NodeContext& ctx) {
  return ConcatOperands(ctx, 0, ctx.operand_count() - 1, ctx.operand_count() - 1);
}

Outcome ImportParallelConcat(NodeContext& ctx) {
  if (ctx.operand_count() < 1 || ctx.rank(0) < 1) return Refuse("no operands");
  return ConcatAlong(ctx, 0, ctx.operand_count(), 0);
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
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> depth, ctx.Dims(1));
  GRAFT_ASSIGN_OR_RETURN(axis, ctx.Axis(axis, ctx.rank(0) + 1));
  if (ctx.rank(1) != 0)
    return Refuse("{} {}: must be a scalar", ctx.OperandName(1), ToString(ctx.shape(1)));
  const DType index_type = ctx.dtype(0) == DType::kInt64 ? DType::kInt64 : DType::kInt32;
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId indices, ctx.Cast(ctx.operand(0), index_type, "cast"));
  ir::Shape shape = ctx.shape(0);
  shape.insert(shape.begin() + axis, 1);
  GRAFT_ASSIGN_OR_RETURN(indices, ctx.Reshape(indices, std::move(shape), "indices"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId classes,
                         ctx.Positions(depth[0], ctx.rank(0) + 1, axis, index_type));
  PointwiseProgram program{.inputs = 4};
  const int equal = program.Add(PointwiseOp::kEqual, DType::kBool, 0, 1);
  program.Add(PointwiseOp::kSelect, ctx.dtype(2), equal, 2, 3);
  return ctx.Output(
      ctx.EmitPointwise(std::move(program), {indices, classes, ctx.operand(2), ctx.operand(3)}));
}

Outcome ImportPad(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(ir::PadAttributes pad, ReadPaddings(ctx));
  if (ctx.node().op == "PadV2") {
    if (ctx.rank(2) != 0)
      return Refuse("{} {}: must be a scalar", ctx.OperandName(2), ToString(ctx.shape(2)));
    const std::optional<double> value = ScalarValue(ctx.value(2));
    if (!value) return ctx.Output(EmitPadWith(ctx, std::move(pad), ctx.operand(2)));
    pad.value = *value;
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

Outcome ImportBitcast(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const DType type, ctx.Attr<DType>("type"));
  if (!IsHeld(type)) return Refuse("Unsupported tensorflow data type {}", TensorFlowName(type));
  return ctx.Output(ctx.Emit(ir::BitcastAttributes{.dtype = StorageOf(type)}, {ctx.operand(0)}));
}

// The positions of a permutation's entries.
Outcome ImportInvertPermutation(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> permutation, ctx.Integers(0));
  const auto count = static_cast<int64_t>(permutation.size());
  std::vector<int64_t> inverse(permutation.size(), -1);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t to = permutation[i];
    if (to < 0 || to >= count || inverse[to] >= 0) return Refuse("not a permutation");
    inverse[to] = i;
  }
  Tensor tensor =
      ctx.dtype(0) == DType::kInt64
          ? Tensor::Of<int64_t>({count}, inverse)
          : Tensor::Of<int32_t>({count}, std::vector<int32_t>(inverse.begin(), inverse.end()));
  return ctx.SetOutput(0, ctx.AddConstant(std::move(tensor), "value"));
}

Outcome ImportTranspose(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> permutation, ctx.Integers(1));
  for (int64_t& axis : permutation) {
    GRAFT_ASSIGN_OR_RETURN(axis, ctx.Axis(axis, ctx.rank(0)));
  }
  return ctx.Output(ctx.Transpose(ctx.operand(0), std::move(permutation)));
}

}  // namespace graft::importer
