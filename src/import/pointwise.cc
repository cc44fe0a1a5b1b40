#include "import/pointwise.h"

#include <algorithm>
#include <optional>

namespace graft::importer {
namespace {

bool GivesBool(PointwiseOp op) {
  switch (op) {
    case PointwiseOp::kEqual:
    case PointwiseOp::kNotEqual:
    case PointwiseOp::kLess:
    case PointwiseOp::kLessEqual:
    case PointwiseOp::kGreater:
    case PointwiseOp::kGreaterEqual:
    case PointwiseOp::kIsNan:
    case PointwiseOp::kIsInf:
    case PointwiseOp::kIsFinite:
      return true;
    default:
      return false;
  }
}

// Whether two shapes broadcast, where that is the same for every binding of their symbols.
std::optional<bool> Broadcast(const ir::Shape& a, const ir::Shape& b) {
  bool known = true;
  for (size_t i = 1; i <= std::min(a.size(), b.size()); ++i) {
    const ir::Dim& x = a[a.size() - i];
    const ir::Dim& y = b[b.size() - i];
    if (x == y || x == 1 || y == 1) continue;
    if (x.is_constant() && y.is_constant()) return false;
    known = false;
  }
  return known ? std::optional(true) : std::nullopt;
}

int BitsOf(DType dtype) { return 8 * static_cast<int>(SizeOf(dtype)); }

}  // namespace

Outcome ImportInstruction(NodeContext& ctx, PointwiseOp op) {
  const int count = OperandCount(op);
  PointwiseInstruction instruction{.op = op};
  std::vector<ir::ValueId> operands;
  for (int i = 0; i < count; ++i) {
    instruction.operands[i] = i;
    operands.push_back(ctx.operand(i));
  }
  // The last operand's: a select's condition comes first.
  instruction.dtype = GivesBool(op) ? DType::kBool : ctx.dtype(count - 1);
  PointwiseProgram program{.inputs = count};
  program.Add(instruction);
  return ctx.Output(ctx.EmitPointwise(std::move(program), std::move(operands)));
}

Accepted<ir::ValueId> EmitActivation(NodeContext& ctx, ir::ValueId x, std::string_view name,
                                     float alpha) {
  if (name == "Relu") return ctx.EmitPointwise(PointwiseOp::kRelu, {x});
  if (name == "Relu6") return ctx.EmitPointwise(PointwiseOp::kClamp, {x}, 0, 6);
  if (name == "Elu") return ctx.EmitPointwise(PointwiseOp::kElu, {x}, 1);
  if (name == "LeakyRelu") return ctx.EmitPointwise(PointwiseOp::kLeakyRelu, {x}, alpha);
  if (name == "Sigmoid") return ctx.EmitPointwise(PointwiseOp::kSigmoid, {x});
  if (name == "Tanh") return ctx.EmitPointwise(PointwiseOp::kTanh, {x});
  if (name == "GeluExact") return ctx.EmitPointwise(PointwiseOp::kGelu, {x});
  if (name == "GeluApproximate") return ctx.EmitPointwise(PointwiseOp::kGeluTanh, {x});
  return Refuse("the fused op {} is not supported", name);
}

Outcome ImportRelu6(NodeContext& ctx) {
  return ctx.Output(EmitActivation(ctx, ctx.operand(0), "Relu6", 0));
}

Outcome ImportElu(NodeContext& ctx) {
  return ctx.Output(EmitActivation(ctx, ctx.operand(0), "Elu", 0));
}

Outcome ImportLeakyRelu(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const float alpha, ctx.Attr<float>("alpha"));
  return ctx.Output(EmitActivation(ctx, ctx.operand(0), "LeakyRelu", alpha));
}

Outcome ImportCast(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const DType to, ctx.Attr<DType>("DstT"));
  GRAFT_ASSIGN_OR_RETURN(const bool truncate, ctx.Attr<bool>("Truncate"));
  if (!IsNumeric(to)) return Refuse("Unsupported tensorflow data type {}", TensorFlowName(to));
  if (to == ctx.dtype(0)) return ctx.SetOutput(0, ctx.operand(0));
  if (truncate && IsFloating(to)) return Refuse("Truncate=true: only rounding casts are supported");
  return ctx.Output(ctx.Cast(ctx.operand(0), to));
}

Outcome ImportTruncateDiv(NodeContext& ctx) {
  if (!IsFloating(ctx.dtype(0))) return ImportInstruction(ctx, PointwiseOp::kDiv);
  PointwiseProgram program{.inputs = 2};
  const int quotient = program.Add(PointwiseOp::kDiv, ctx.dtype(0), 0, 1);
  program.Add(PointwiseOp::kTrunc, ctx.dtype(0), quotient);
  return ctx.Output(ctx.EmitPointwise(std::move(program), {ctx.operand(0), ctx.operand(1)}));
}

Outcome ImportClipByValue(NodeContext& ctx) {
  // TensorFlow: max(min(x, high), low), with bounds of any shape that broadcasts.
  PointwiseProgram program{.inputs = 3};
  const int least = program.Add(PointwiseOp::kMin, ctx.dtype(0), 0, 2);
  program.Add(PointwiseOp::kMax, ctx.dtype(0), least, 1);
  return ctx.Output(
      ctx.EmitPointwise(std::move(program), {ctx.operand(0), ctx.operand(1), ctx.operand(2)}));
}

Outcome ImportEqual(NodeContext& ctx) {
  const bool asks_equal = ctx.node().op == "Equal";
  // Without the error, shapes that do not broadcast give one scalar: a result of another rank.
  GRAFT_ASSIGN_OR_RETURN(const bool error, ctx.Attr<bool>("incompatible_shape_error"));
  if (!error) {
    const std::optional<bool> broadcast = Broadcast(ctx.shape(0), ctx.shape(1));
    if (!broadcast)
      return Refuse("incompatible_shape_error=false: whether {} and {} broadcast is not known",
                    ToString(ctx.shape(0)), ToString(ctx.shape(1)));
    if (!*broadcast) return ctx.Output(ctx.Scalar(asks_equal ? 0 : 1, DType::kBool, ""));
  }
  return ImportInstruction(ctx, asks_equal ? PointwiseOp::kEqual : PointwiseOp::kNotEqual);
}

Outcome ImportSelect(NodeContext& ctx) {
  ir::ValueId condition = ctx.operand(0);
  // A vector condition picks whole rows.
  if (ctx.rank(0) == 1 && ctx.rank(1) > 1) {
    ir::Shape rows(ctx.rank(1), 1);
    rows[0] = ctx.shape(0)[0];
    GRAFT_ASSIGN_OR_RETURN(condition, ctx.Reshape(condition, std::move(rows), "condition"));
  }
  PointwiseProgram program{.inputs = 3};
  program.Add(PointwiseOp::kSelect, ctx.dtype(1), 0, 1, 2);
  return ctx.Output(
      ctx.EmitPointwise(std::move(program), {condition, ctx.operand(1), ctx.operand(2)}));
}

Outcome ImportAddN(NodeContext& ctx) {
  if (ctx.operand_count() == 1) return ctx.SetOutput(0, ctx.operand(0));
  if (ctx.operand_count() > kMaxPointwiseInstructions)
    return Refuse("{} operands", ctx.operand_count());
  PointwiseProgram program{.inputs = ctx.operand_count()};
  std::vector<ir::ValueId> operands;
  int sum = 0;
  for (int i = 0; i < ctx.operand_count(); ++i) {
    operands.push_back(ctx.operand(i));
    if (i > 0) sum = program.Add(PointwiseOp::kAdd, ctx.dtype(0), sum, i);
  }
  return ctx.Output(ctx.EmitPointwise(std::move(program), std::move(operands)));
}

Outcome ImportXlog1py(NodeContext& ctx) {
  const DType dtype = ctx.dtype(0);
  PointwiseProgram program{.inputs = 2};
  const int product =
      program.Add(PointwiseOp::kMul, dtype, 0, program.Add(PointwiseOp::kLog1p, dtype, 1));
  const int zero = program.Add(PointwiseOp::kConstant, dtype);
  const int is_zero = program.Add(PointwiseOp::kEqual, DType::kBool, 0, zero);
  program.Add(PointwiseOp::kSelect, dtype, is_zero, zero, product);
  return ctx.Output(ctx.EmitPointwise(std::move(program), {ctx.operand(0), ctx.operand(1)}));
}

// x · 2^y, where y is brought into the range of the dtype's bits.
Outcome ImportLeftShift(NodeContext& ctx) {
  const DType dtype = ctx.dtype(0);
  PointwiseProgram program{.inputs = 2};
  const int two = program.Add(PointwiseOp::kConstant, dtype, -1, -1, -1, 2);
  const int bits = program.Add(PointwiseOp::kClamp, dtype, 1, -1, -1, 0, BitsOf(dtype) - 1);
  program.Add(PointwiseOp::kMul, dtype, 0, program.Add(PointwiseOp::kPow, dtype, two, bits));
  return ctx.Output(ctx.EmitPointwise(std::move(program), {ctx.operand(0), ctx.operand(1)}));
}

// floor(x / 2^y). The power that is the sign's bit would be negative: that one bit is shifted
// alone.
Outcome ImportRightShift(NodeContext& ctx) {
  const DType dtype = ctx.dtype(0);
  PointwiseProgram program{.inputs = 2};
  const int two = program.Add(PointwiseOp::kConstant, dtype, -1, -1, -1, 2);
  const int bits = program.Add(PointwiseOp::kClamp, dtype, 1, -1, -1, 0, BitsOf(dtype) - 1);
  const int most = program.Add(PointwiseOp::kClamp, dtype, bits, -1, -1, 0, BitsOf(dtype) - 2);
  const int rest = program.Add(PointwiseOp::kSub, dtype, bits, most);
  int y = 0;
  for (int shift : {most, rest}) {
    const int power = program.Add(PointwiseOp::kPow, dtype, two, shift);
    y = program.Add(PointwiseOp::kFloorDiv, dtype, y, power);
  }
  return ctx.Output(ctx.EmitPointwise(std::move(program), {ctx.operand(0), ctx.operand(1)}));
}

}  // namespace graft::importer
