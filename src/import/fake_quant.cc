// Emulated quantisation: a tensor rounded to the values that integers of a few bits can stand for.
#include "import/node_context.h"

namespace graft::importer {
namespace {

// One node each: what it computes is that of ir::FakeQuantizeAttributes, whose operands are the
// ends of the range as the graph gives them.
Outcome EmitFakeQuantize(NodeContext& ctx, ir::FakeQuantizeAttributes attributes, ir::ValueId low,
                         ir::ValueId high) {
  return ctx.Output(ctx.Emit(attributes, {ctx.operand(0), low, high}));
}

// ---- FakeQuant

Outcome EmitFakeQuant(NodeContext& ctx, ir::ValueId low, ir::ValueId high, bool divides,
                      int64_t axis) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t bits, ctx.Attr<int64_t>("num_bits"));
  GRAFT_ASSIGN_OR_RETURN(const bool narrow_range, ctx.Attr<bool>("narrow_range"));
  if (bits < 2 || bits > 16) return Refuse("num_bits {}", bits);
  return EmitFakeQuantize(ctx,
                          {.arithmetic = divides ? ir::FakeQuantizeArithmetic::kNudgedDividing
                                                 : ir::FakeQuantizeArithmetic::kNudged,
                           .bits = bits,
                           .is_signed = false,
                           .narrow_range = narrow_range,
                           .rounding = ir::Rounding::kHalfUp,
                           .axis = axis},
                          low, high);
}

// ---- QuantizeAndDequantize

bool HasBits(const ir::FakeQuantizeAttributes& a) {
  return a.bits >= 1 && a.bits <= (a.is_signed ? 61 : 62);
}

Accepted<ir::FakeQuantizeAttributes> ReadQuantizer(const NodeContext& ctx) {
  const bool is_v3 = ctx.node().op == "QuantizeAndDequantizeV3";
  ir::FakeQuantizeAttributes q;
  GRAFT_ASSIGN_OR_RETURN(q.range_given, ctx.Attr<bool>("range_given"));
  GRAFT_ASSIGN_OR_RETURN(q.is_signed, ctx.Attr<bool>("signed_input"));
  if (ctx.node().op == "QuantizeAndDequantize") {
    GRAFT_ASSIGN_OR_RETURN(q.bits, ctx.Attr<int64_t>("num_bits"));
    if (!HasBits(q)) return Refuse("num_bits {}", q.bits);
    return q;
  }
  GRAFT_ASSIGN_OR_RETURN(q.narrow_range, ctx.Attr<bool>("narrow_range"));
  GRAFT_ASSIGN_OR_RETURN(q.axis, ctx.Attr<int64_t>("axis"));
  GRAFT_ASSIGN_OR_RETURN(q.bits, is_v3 ? ctx.Integer(3) : ctx.Attr<int64_t>("num_bits"));
  if (!is_v3) {
    GRAFT_ASSIGN_OR_RETURN(const std::string mode, ctx.Attr<std::string>("round_mode"));
    if (mode != "HALF_TO_EVEN" && mode != "HALF_UP")
      return Refuse("round_mode {} is not supported", mode);
    if (mode == "HALF_UP") q.rounding = ir::Rounding::kHalfUp;
  }
  if (!HasBits(q)) return Refuse("num_bits {}", q.bits);
  if (q.axis < -1 || q.axis >= ctx.rank(0))
    return Refuse("axis {} of rank {}", q.axis, ctx.rank(0));
  return q;
}

// An end of the range: operand i, or the attribute that the first version has.
Accepted<ir::ValueId> RangeEnd(NodeContext& ctx, const ir::FakeQuantizeAttributes& q, int i) {
  if (ctx.operand_count() == 1) {
    GRAFT_ASSIGN_OR_RETURN(const float end, ctx.Attr<float>(i == 1 ? "input_min" : "input_max"));
    return ctx.Scalar(end, ctx.dtype(0), fmt::format("range_{}", i));
  }
  // TensorFlow reads them only where the range is given.
  if (q.range_given && ctx.rank(i) != (q.axis < 0 ? 0 : 1) && ctx.shape(i) != ir::Shape{1})
    return Refuse("{} {} with axis {}", ctx.OperandName(i), ToString(ctx.shape(i)), q.axis);
  return ctx.operand(i);
}

}  // namespace

Outcome ImportFakeQuantArgs(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const float low, ctx.Attr<float>("min"));
  GRAFT_ASSIGN_OR_RETURN(const float high, ctx.Attr<float>("max"));
  if (!(low < high)) return Refuse("the range [{}, {}]", low, high);
  return EmitFakeQuant(ctx, ctx.AddConstant(Tensor::Scalar(low), "min"),
                       ctx.AddConstant(Tensor::Scalar(high), "max"), false, -1);
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
  return EmitFakeQuant(ctx, ctx.operand(1), ctx.operand(2), !per_channel,
                       per_channel ? ctx.rank(0) - 1 : -1);
}

// input, input_min, input_max, (num_bits: V3)
Outcome ImportQuantizeAndDequantize(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const ir::FakeQuantizeAttributes q, ReadQuantizer(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low, RangeEnd(ctx, q, 1));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high, RangeEnd(ctx, q, 2));
  return EmitFakeQuantize(ctx, q, low, high);
}

}  // namespace graft::importer
