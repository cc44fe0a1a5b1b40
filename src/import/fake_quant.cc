// Emulated quantisation: a tensor rounded to the values that integers of a few bits can stand for.
#include "import/range_program.h"

namespace graft::importer {
namespace {

// ---- FakeQuant

// round(shift / scale) · scale with the range moved so that zero is one of the values. All in the
// order in which TensorFlow computes, which decides where halves go.
Outcome EmitFakeQuant(NodeContext& ctx, ir::ValueId low, ir::ValueId high, bool divides) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t bits, ctx.Attr<int64_t>("num_bits"));
  GRAFT_ASSIGN_OR_RETURN(const bool narrow_range, ctx.Attr<bool>("narrow_range"));
  if (bits < 2 || bits > 16) return Refuse("num_bits {}", bits);
  const double least = narrow_range ? 1 : 0;
  const auto most = static_cast<double>((int64_t{1} << bits) - 1);
  using Op = PointwiseOp;
  RangeProgram p(ctx, low, high);
  const int zero = p.Constant(0);
  const int one = p.Constant(1);
  const int half = p.Constant(0.5);
  const int least_reg = p.Constant(least);
  const int most_reg = p.Constant(most);
  const int steps = p.Constant(most - least);
  // A range of nothing gives zeros.
  const int is_empty = p.Ask(Op::kAnd, p.Ask(Op::kEqual, RangeProgram::kLow, zero),
                             p.Ask(Op::kEqual, RangeProgram::kHigh, zero));
  const int width = p.Add(Op::kSub, RangeProgram::kHigh, RangeProgram::kLow);
  const int scale = p.Add(Op::kDiv, width, steps);
  const int inverse = p.Add(Op::kDiv, steps, width);
  // The value that stands for zero, rounded with halves up.
  const int exact = p.Add(Op::kSub, least_reg, p.Add(Op::kDiv, RangeProgram::kLow, scale));
  const int floor = p.Add(Op::kFloor, exact);
  const int is_up = p.Ask(Op::kGreaterEqual, p.Add(Op::kSub, exact, floor), half);
  const int rounded = p.Select(is_up, p.Add(Op::kAdd, floor, one), floor);
  const int point = p.Add(Op::kMin, p.Add(Op::kMax, rounded, least_reg), most_reg);
  const int nudged_low = p.Add(Op::kMul, p.Add(Op::kSub, least_reg, point), scale);
  const int nudged_high = p.Add(Op::kMul, p.Add(Op::kSub, most_reg, point), scale);
  const int shift = p.Add(
      Op::kFloor, p.Add(Op::kAdd, p.Add(Op::kMul, p.Add(Op::kNeg, nudged_low), inverse), half));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low_value,
                         p.Value(p.Select(is_empty, zero, nudged_low), "low"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high_value,
                         p.Value(p.Select(is_empty, zero, nudged_high), "high"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale_value,
                         p.Value(p.Select(is_empty, one, scale), "scale"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId factor,
                         p.Value(p.Select(is_empty, one, divides ? scale : inverse), "factor"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId shift_value,
                         p.Value(p.Select(is_empty, zero, shift), "zero"));
  // x, low, high, scale, factor, shift
  constexpr DType kType = DType::kFloat32;
  PointwiseProgram y{.inputs = 6};
  const int clamped = y.Add(Op::kMax, kType, y.Add(Op::kMin, kType, 0, 2), 1);
  const int offset = y.Add(Op::kSub, kType, clamped, 1);
  const int scaled = y.Add(divides ? Op::kDiv : Op::kMul, kType, offset, 4);
  const int shifted = y.Add(Op::kSub, kType, scaled, 5);
  const int upward = y.Add(Op::kConstant, kType, -1, -1, -1, 0.5);
  const int whole = y.Add(Op::kFloor, kType, y.Add(Op::kAdd, kType, shifted, upward));
  y.Add(Op::kMul, kType, whole, 3);
  return ctx.Output(ctx.EmitPointwise(
      std::move(y), {ctx.operand(0), low_value, high_value, scale_value, factor, shift_value}));
}

// ---- QuantizeAndDequantize

struct Quantizer {
  bool is_signed = true;
  bool narrow_range = false;
  bool range_given = false;
  bool half_up = false;
  int64_t bits = 8;
  int64_t axis = -1;  // that of the ranges; -1: one range for all

  bool HasBits() const { return bits >= 1 && bits <= (is_signed ? 61 : 62); }
};

Accepted<Quantizer> ReadQuantizer(const NodeContext& ctx) {
  const bool is_v3 = ctx.node().op == "QuantizeAndDequantizeV3";
  Quantizer q;
  GRAFT_ASSIGN_OR_RETURN(q.range_given, ctx.Attr<bool>("range_given"));
  GRAFT_ASSIGN_OR_RETURN(q.is_signed, ctx.Attr<bool>("signed_input"));
  if (ctx.node().op == "QuantizeAndDequantize") {
    GRAFT_ASSIGN_OR_RETURN(q.bits, ctx.Attr<int64_t>("num_bits"));
    if (!q.HasBits()) return Refuse("num_bits {}", q.bits);
    return q;
  }
  GRAFT_ASSIGN_OR_RETURN(q.narrow_range, ctx.Attr<bool>("narrow_range"));
  GRAFT_ASSIGN_OR_RETURN(q.axis, ctx.Attr<int64_t>("axis"));
  GRAFT_ASSIGN_OR_RETURN(q.bits, is_v3 ? ctx.Integer(3) : ctx.Attr<int64_t>("num_bits"));
  if (!is_v3) {
    GRAFT_ASSIGN_OR_RETURN(const std::string mode, ctx.Attr<std::string>("round_mode"));
    if (mode != "HALF_TO_EVEN" && mode != "HALF_UP")
      return Refuse("round_mode {} is not supported", mode);
    q.half_up = mode == "HALF_UP";
  }
  if (!q.HasBits()) return Refuse("num_bits {}", q.bits);
  if (q.axis < -1 || q.axis >= ctx.rank(0))
    return Refuse("axis {} of rank {}", q.axis, ctx.rank(0));
  return q;
}

// The end of the range that operand i gives, or else that of the data, to broadcast to the input.
Accepted<ir::ValueId> RangeEnd(NodeContext& ctx, const Quantizer& q, int i) {
  if (q.range_given && ctx.operand_count() == 1) {  // the first version has attributes
    GRAFT_ASSIGN_OR_RETURN(const float end, ctx.Attr<float>(i == 1 ? "input_min" : "input_max"));
    return ctx.Scalar(end, ctx.dtype(0), fmt::format("range_{}", i));
  }
  ir::Shape shape;
  if (q.axis >= 0) {
    shape.assign(ctx.rank(0), 1);
    shape[q.axis] = ctx.shape(0)[q.axis];
  }
  if (q.range_given) {
    if (ctx.rank(i) != (q.axis < 0 ? 0 : 1) && ctx.shape(i) != ir::Shape{1})
      return Refuse("{} {} with axis {}", ctx.OperandName(i), ToString(ctx.shape(i)), q.axis);
    return ctx.Reshape(ctx.operand(i), std::move(shape), fmt::format("range_{}", i));
  }
  ir::ReduceAttributes end{.kind = i == 1 ? ir::ReduceKind::kMin : ir::ReduceKind::kMax,
                           .keep_dims = q.axis >= 0};
  for (int64_t axis = 0; axis < ctx.rank(0); ++axis) {
    if (axis != q.axis) end.axes.push_back(axis);
  }
  return ctx.Emit(std::move(end), {ctx.operand(0)}, fmt::format("range_{}", i));
}

}  // namespace

Outcome ImportFakeQuantArgs(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const float low, ctx.Attr<float>("min"));
  GRAFT_ASSIGN_OR_RETURN(const float high, ctx.Attr<float>("max"));
  if (!(low < high)) return Refuse("the range [{}, {}]", low, high);
  return EmitFakeQuant(ctx, ctx.AddConstant(Tensor::Scalar(low), "min"),
                       ctx.AddConstant(Tensor::Scalar(high), "max"), false);
}

// inputs, min, max; scalars, or vectors over the last axis
Outcome ImportFakeQuantVars(NodeContext& ctx) {
  const bool per_channel = ctx.node().op == "FakeQuantWithMinMaxVarsPerChannel";
  for (int i : {1, 2}) {
    bool fits = ctx.rank(i) == (per_channel ? 1 : 0);
    if (fits && per_channel) {
      fits = ctx.rank(0) > 0;
      if (fits && ctx.shape(i)[0].is_constant() && ctx.shape(0).back().is_constant())
        fits = ctx.shape(i)[0] == ctx.shape(0).back();
    }
    if (!fits) {
      return Refuse("{} {} for input {}", ctx.OperandName(i), ToString(ctx.shape(i)),
                    ToString(ctx.shape(0)));
    }
  }
  return EmitFakeQuant(ctx, ctx.operand(1), ctx.operand(2), !per_channel);
}

// input, input_min, input_max, (num_bits: V3): round(clamp(x, min, max) * scale) / scale, where the
// range grows so that both of its ends fit. A range of the data needs no clamp.
Outcome ImportQuantizeAndDequantize(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const Quantizer q, ReadQuantizer(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low, RangeEnd(ctx, q, 1));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high, RangeEnd(ctx, q, 2));
  const DType dtype = ctx.dtype(0);
  const auto levels = static_cast<double>(int64_t{1} << (q.is_signed ? q.bits - 1 : q.bits));
  using Op = PointwiseOp;
  // In the order in which TensorFlow computes: the constants must be its own, bit for bit.
  RangeProgram p(ctx, low, high);
  const int least = p.Constant(q.is_signed ? (q.narrow_range ? 1 - levels : -levels) : 0);
  const int most = p.Constant(levels - 1);
  const int zero = p.Constant(0);
  const int none = p.Constant(LargestOf(dtype));
  auto scale_of = [&](int quantized, int end) {
    const int is_used = p.Ask(Op::kGreater, p.Add(Op::kMul, quantized, end), zero);
    return p.Select(is_used, p.Add(Op::kDiv, quantized, end), none);
  };
  const int scale_of_low = scale_of(least, RangeProgram::kLow);
  const int scale_of_high = scale_of(most, RangeProgram::kHigh);
  const int by_low = p.Ask(Op::kLess, scale_of_low, scale_of_high);
  const int scale = p.Select(by_low, scale_of_low, scale_of_high);
  const int inverse = p.Select(by_low, p.Add(Op::kDiv, RangeProgram::kLow, least),
                               p.Add(Op::kDiv, RangeProgram::kHigh, most));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale_value, p.Value(scale, "scale"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId inverse_value, p.Value(inverse, "inverse"));
  std::vector<ir::ValueId> operands = {ctx.operand(0), scale_value, inverse_value};
  PointwiseProgram y{.inputs = q.range_given ? 5 : 3};
  int x = 0;
  if (q.range_given) {
    const int least_end = p.Select(by_low, RangeProgram::kLow, p.Add(Op::kMul, least, inverse));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low_value, p.Value(least_end, "low"));
    const int most_end = p.Select(by_low, p.Add(Op::kMul, most, inverse), RangeProgram::kHigh);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high_value, p.Value(most_end, "high"));
    operands.insert(operands.end(), {low_value, high_value});
    x = y.Add(Op::kMax, dtype, y.Add(Op::kMin, dtype, 0, 4), 3);
  }
  x = y.Add(Op::kMul, dtype, x, 1);
  if (q.half_up) {
    const int half = y.Add(Op::kConstant, dtype, -1, -1, -1, 0.5);
    x = y.Add(Op::kFloor, dtype, y.Add(Op::kAdd, dtype, x, half));
  } else {
    x = y.Add(Op::kRound, dtype, x);
  }
  y.Add(Op::kMul, dtype, x, 2);
  return ctx.Output(ctx.EmitPointwise(std::move(y), std::move(operands)));
}

}  // namespace graft::importer
