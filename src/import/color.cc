// Colours: between red, green, blue and hue, saturation, value, and what changes one of these.
#include <array>

#include "import/node_context.h"

namespace graft::importer {
namespace {

int Constant(PointwiseProgram& program, DType dtype, double value) {
  return program.Add(PointwiseOp::kConstant, dtype, -1, -1, -1, value);
}

// Operand 0's three channels, the last axis.
Accepted<std::array<ir::ValueId, 3>> Channels(NodeContext& ctx) {
  const ir::Shape shape = ctx.shape(0);
  if (shape.empty() || !(shape.back() == 3))
    return Refuse("images {}: must have 3 channels", ToString(shape));
  std::array<ir::ValueId, 3> channels;
  for (int i = 0; i < 3; ++i) {
    ir::SliceAttributes channel{.begin = ir::Shape(shape.size(), 0),
                                .size = shape,
                                .strides = std::vector<int64_t>(shape.size(), 1)};
    channel.begin.back() = i;
    channel.size.back() = 1;
    GRAFT_ASSIGN_OR_RETURN(channels[i], ctx.Emit(std::move(channel), {ctx.operand(0)}, "channel"));
  }
  return channels;
}

Outcome Join(NodeContext& ctx, const std::array<ir::ValueId, 3>& channels) {
  return ctx.Output(ctx.Emit(ir::ConcatAttributes{.axis = ctx.rank(0) - 1},
                             {channels[0], channels[1], channels[2]}));
}

// A colour as its hue, from 0 to 1, its largest channel, and how far the smallest lies below it.
struct Hue {
  ir::ValueId hue, value, range;
};

Accepted<Hue> ToHue(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const auto rgb, Channels(ctx));
  const std::vector<ir::ValueId> operands(rgb.begin(), rgb.end());
  const DType dtype = ctx.dtype(0);
  auto extreme = [&](PointwiseProgram& program, PointwiseOp op) {
    return program.Add(op, dtype, program.Add(op, dtype, 0, 1), 2);
  };
  Hue color;
  PointwiseProgram value{.inputs = 3};
  extreme(value, PointwiseOp::kMax);
  GRAFT_ASSIGN_OR_RETURN(color.value, ctx.EmitPointwise(std::move(value), operands, "value"));
  PointwiseProgram range{.inputs = 3};
  const int most = extreme(range, PointwiseOp::kMax);
  range.Add(PointwiseOp::kSub, dtype, most, extreme(range, PointwiseOp::kMin));
  GRAFT_ASSIGN_OR_RETURN(color.range, ctx.EmitPointwise(std::move(range), operands, "range"));

  // In sixths: red, yellow, green, … begin at 0, 1, 2, … The largest channel says which is near.
  PointwiseProgram hue{.inputs = 5};  // r, g, b, value, range
  const int zero = Constant(hue, dtype, 0);
  const int sixth = Constant(hue, dtype, 1.0 / 6);
  const int step =
      hue.Add(PointwiseOp::kMul, dtype, hue.Add(PointwiseOp::kReciprocal, dtype, 4), sixth);
  auto towards = [&](int x, int y, double begin) {
    const int distance = hue.Add(PointwiseOp::kSub, dtype, x, y);
    const int steps = hue.Add(PointwiseOp::kMul, dtype, step, distance);
    return hue.Add(PointwiseOp::kAdd, dtype, steps, Constant(hue, dtype, begin));
  };
  const int by_red = towards(1, 2, 0);
  const int by_green = towards(2, 0, 2.0 / 6);
  const int by_blue = towards(0, 1, 4.0 / 6);
  const int is_red = hue.Add(PointwiseOp::kEqual, DType::kBool, 0, 3);
  const int is_green = hue.Add(PointwiseOp::kEqual, DType::kBool, 1, 3);
  const int rest = hue.Add(PointwiseOp::kSelect, dtype, is_green, by_green, by_blue);
  const int any = hue.Add(PointwiseOp::kSelect, dtype, is_red, by_red, rest);
  const int is_color = hue.Add(PointwiseOp::kGreater, DType::kBool, 4, zero);
  const int found = hue.Add(PointwiseOp::kSelect, dtype, is_color, any, zero);
  const int is_negative = hue.Add(PointwiseOp::kLess, DType::kBool, found, zero);
  const int turned = hue.Add(PointwiseOp::kAdd, dtype, found, Constant(hue, dtype, 1));
  hue.Add(PointwiseOp::kSelect, dtype, is_negative, turned, found);
  GRAFT_ASSIGN_OR_RETURN(
      color.hue,
      ctx.EmitPointwise(std::move(hue), {rgb[0], rgb[1], rgb[2], color.value, color.range}, "hue"));
  return color;
}

Outcome OutputOfHue(NodeContext& ctx, const Hue& color) {
  // How much of the range each channel has: sign · |6 · hue - centre| + offset, within [0, 1].
  struct Slope {
    double centre, sign, offset;
  };
  constexpr Slope kSlopes[] = {{3, 1, -1}, {2, -1, 2}, {4, -1, 2}};
  const DType dtype = ctx.dtype(0);
  std::array<ir::ValueId, 3> rgb;
  for (int i = 0; i < 3; ++i) {
    const auto& [centre, sign, offset] = kSlopes[i];
    PointwiseProgram channel{.inputs = 3};  // hue, value, range
    const int sixths = channel.Add(PointwiseOp::kMul, dtype, 0, Constant(channel, dtype, 6));
    const int from =
        channel.Add(PointwiseOp::kSub, dtype, sixths, Constant(channel, dtype, centre));
    const int distance = channel.Add(PointwiseOp::kAbs, dtype, from);
    const int start = Constant(channel, dtype, offset);
    const int share = channel.Add(sign > 0 ? PointwiseOp::kAdd : PointwiseOp::kSub, dtype,
                                  sign > 0 ? distance : start, sign > 0 ? start : distance);
    const int inside = channel.Add(PointwiseOp::kClamp, dtype, share, -1, -1, 0, 1);
    const int least = channel.Add(PointwiseOp::kSub, dtype, 1, 2);
    const int above = channel.Add(PointwiseOp::kMul, dtype, inside, 2);
    channel.Add(PointwiseOp::kAdd, dtype, least, above);
    GRAFT_ASSIGN_OR_RETURN(
        rgb[i],
        ctx.EmitPointwise(std::move(channel), {color.hue, color.value, color.range}, "channel"));
  }
  return Join(ctx, rgb);
}

// The scalar operand 1 in the images' dtype.
Accepted<ir::ValueId> Amount(NodeContext& ctx) {
  if (ctx.rank(1) != 0)
    return Refuse("{} {}: must be a scalar", ctx.OperandName(1), ToString(ctx.shape(1)));
  return ctx.Cast(ctx.operand(1), ctx.dtype(0), "amount");
}

// The range as a share of the value, in the last register; 0 where there is no value.
int AddSaturation(PointwiseProgram& program, DType dtype, int value, int range) {
  const int zero = Constant(program, dtype, 0);
  const int share = program.Add(PointwiseOp::kDiv, dtype, range, value);
  const int is_light = program.Add(PointwiseOp::kGreater, DType::kBool, value, zero);
  return program.Add(PointwiseOp::kSelect, dtype, is_light, share, zero);
}

}  // namespace

Outcome ImportRgbToHsv(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const Hue color, ToHue(ctx));
  PointwiseProgram program{.inputs = 2};
  AddSaturation(program, ctx.dtype(0), 0, 1);
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId saturation,
      ctx.EmitPointwise(std::move(program), {color.value, color.range}, "saturation"));
  return Join(ctx, {color.hue, saturation, color.value});
}

Outcome ImportHsvToRgb(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const auto hsv, Channels(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId range,
                         ctx.EmitPointwise(PointwiseOp::kMul, {hsv[1], hsv[2]}));
  return OutputOfHue(ctx, {.hue = hsv[0], .value = hsv[2], .range = range});
}

// images, delta: the hue is turned.
Outcome ImportAdjustHue(NodeContext& ctx) {
  const DType dtype = ctx.dtype(0);
  GRAFT_ASSIGN_OR_RETURN(Hue color, ToHue(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId delta, Amount(ctx));
  PointwiseProgram program{.inputs = 2};
  const int turned = program.Add(PointwiseOp::kAdd, dtype, 0, 1);
  program.Add(PointwiseOp::kFloorMod, dtype, turned, Constant(program, dtype, 1));
  GRAFT_ASSIGN_OR_RETURN(color.hue,
                         ctx.EmitPointwise(std::move(program), {color.hue, delta}, "turned"));
  return OutputOfHue(ctx, color);
}

// images, scale: the saturation is multiplied.
Outcome ImportAdjustSaturation(NodeContext& ctx) {
  const DType dtype = ctx.dtype(0);
  GRAFT_ASSIGN_OR_RETURN(Hue color, ToHue(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale, Amount(ctx));
  PointwiseProgram program{.inputs = 3};
  const int saturation = AddSaturation(program, dtype, 0, 1);
  const int scaled = program.Add(PointwiseOp::kMul, dtype, saturation, 2);
  const int inside = program.Add(PointwiseOp::kClamp, dtype, scaled, -1, -1, 0, 1);
  program.Add(PointwiseOp::kMul, dtype, inside, 0);
  GRAFT_ASSIGN_OR_RETURN(
      color.range,
      ctx.EmitPointwise(std::move(program), {color.value, color.range, scale}, "scaled"));
  return OutputOfHue(ctx, color);
}

// images[…, H, W, C], contrast_factor: distances from each channel's mean are multiplied.
Outcome ImportAdjustContrast(NodeContext& ctx) {
  const int rank = ctx.rank(0);
  if (rank < 3) return Refuse("images {}: must have rank 3 or more", ToString(ctx.shape(0)));
  const DType dtype = ctx.dtype(0);
  const DType wide = dtype == DType::kFloat64 ? dtype : DType::kFloat32;
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x, ctx.Cast(ctx.operand(0), wide, "images"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId factor, ctx.Cast(ctx.operand(1), wide, "factor"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId mean,
                         ctx.Emit(ir::ReduceAttributes{.kind = ir::ReduceKind::kMean,
                                                       .axes = {rank - 3, rank - 2},
                                                       .keep_dims = true},
                                  {x}, "mean"));
  PointwiseProgram program{.inputs = 3};
  const int distance = program.Add(PointwiseOp::kSub, wide, 0, 1);
  const int scaled = program.Add(PointwiseOp::kMul, wide, distance, 2);
  program.Add(PointwiseOp::kAdd, wide, scaled, 1);
  if (dtype != wide) program.Add(PointwiseOp::kCast, dtype, program.result());
  return ctx.Output(ctx.EmitPointwise(std::move(program), {x, mean, factor}));
}

}  // namespace graft::importer
