// Emulated quantisation: a tensor rounded to the values that integers of a few bits can stand for.
#include <algorithm>
#include <limits>

#include "import/node_context.h"

namespace graft::importer {
namespace {

Accepted<float> ConstantScalar(const NodeContext& ctx, int i) {
  const ir::Value& value = ctx.value(i);
  if (!value.constant || value.dtype != DType::kFloat32 || value.constant->elements() != 1)
    return Refuse("The input \"{}\" for {} must be a constant scalar", ctx.OperandName(i),
                  ctx.node().op);
  return value.constant->data<float>()[0];
}

}  // namespace

// input, input_min, input_max, (num_bits: V3): round(clamp(x, min, max) * scale) / scale, where the
// range grows so that both of its ends fit.
Outcome ImportQuantizeAndDequantize(NodeContext& ctx) {
  const bool is_v3 = ctx.node().op == "QuantizeAndDequantizeV3";
  GRAFT_ASSIGN_OR_RETURN(const bool range_given, ctx.Attr<bool>("range_given"));
  GRAFT_ASSIGN_OR_RETURN(const bool is_signed, ctx.Attr<bool>("signed_input"));
  GRAFT_ASSIGN_OR_RETURN(const bool narrow_range, ctx.Attr<bool>("narrow_range"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.Attr<int64_t>("axis"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t bits,
                         is_v3 ? ctx.Integer(3) : ctx.Attr<int64_t>("num_bits"));
  if (!is_v3) {
    GRAFT_ASSIGN_OR_RETURN(const std::string round_mode, ctx.Attr<std::string>("round_mode"));
    if (round_mode != "HALF_TO_EVEN") return Refuse("round_mode {} is not supported", round_mode);
  }
  if (!range_given) return Refuse("range_given=false: the range must be constant");
  if (axis != -1) return Refuse("axis {}: only one range for the whole tensor is supported", axis);
  if (ctx.dtype(0) != DType::kFloat32)
    return Refuse("Unsupported tensorflow data type {}", TensorFlowName(ctx.dtype(0)));
  if (bits < 2 || bits > 24) return Refuse("num_bits {}", bits);
  GRAFT_ASSIGN_OR_RETURN(float low, ConstantScalar(ctx, 1));
  GRAFT_ASSIGN_OR_RETURN(float high, ConstantScalar(ctx, 2));
  const auto levels = static_cast<float>(int64_t{1} << (is_signed ? bits - 1 : bits));
  const float least = is_signed ? (narrow_range ? 1 - levels : -levels) : 0;
  const float most = levels - 1;
  // In float as TensorFlow does it: the constants must be its own, bit for bit.
  constexpr float kNone = std::numeric_limits<float>::max();
  const float scale_of_low = least * low > 0 ? least / low : kNone;
  const float scale_of_high = most * high > 0 ? most / high : kNone;
  const float scale = std::min(scale_of_low, scale_of_high);
  if (!(low <= high) || scale == kNone) return Refuse("the range [{}, {}]", low, high);
  float inverse;
  if (scale_of_low < scale_of_high) {
    inverse = low / least;
    high = most * inverse;
  } else {
    inverse = high / most;
    low = least * inverse;
  }
  PointwiseProgram program{.inputs = 1};
  auto constant = [&](float v) {
    return program.Add(PointwiseOp::kConstant, DType::kFloat32, -1, -1, -1, v);
  };
  const int clamped = program.Add(PointwiseOp::kClamp, DType::kFloat32, 0, -1, -1, low, high);
  const int scaled = program.Add(PointwiseOp::kMul, DType::kFloat32, clamped, constant(scale));
  const int rounded = program.Add(PointwiseOp::kRound, DType::kFloat32, scaled);
  program.Add(PointwiseOp::kMul, DType::kFloat32, rounded, constant(inverse));
  return ctx.Output(ctx.EmitPointwise(std::move(program), {ctx.operand(0)}));
}

}  // namespace graft::importer
