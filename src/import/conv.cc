// Convolutions: plain, grouped, depthwise, transposed (the gradient ops), and TensorFlow's own
// fused form.
#include "import/layout.h"
#include "import/normalize.h"
#include "import/pointwise.h"

namespace graft::importer {
namespace {

Outcome CheckRanks(const NodeContext& ctx, int image, int filter, int rank) {
  if (ctx.rank(image) != rank || ctx.rank(filter) != rank)
    return Refuse("input {} and filter {}: must have rank {}", ToString(ctx.shape(image)),
                  ToString(ctx.shape(filter)), rank);
  return kAccepted;
}

// How many input elements a dilated filter covers on each spatial axis.
std::vector<ir::Dim> Extents(const ir::Shape& filter, const std::vector<int64_t>& dilations) {
  std::vector<ir::Dim> extents;
  for (size_t i = 0; i < dilations.size(); ++i)
    extents.push_back((filter[i] - 1) * dilations[i] + 1);
  return extents;
}

int ImageRank(const NodeContext& ctx) { return ctx.node().op.starts_with("Conv3D") ? 5 : 4; }

// Operand 0 convolved with `filter`, [N, spatial…, C] whatever the node's data format is.
Accepted<ir::ValueId> EmitConv(NodeContext& ctx, ir::ValueId filter, ir::Dim groups,
                               bool channels_first) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> strides, SpatialAttr(ctx, "strides", channels_first));
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> dilations,
                         SpatialAttr(ctx, "dilations", channels_first));
  ir::ValueId x = ctx.operand(0);
  if (channels_first) {
    GRAFT_ASSIGN_OR_RETURN(x, ToChannelsLast(ctx, x));
  }
  const std::vector<ir::Dim> sizes = SpatialDims(ctx.ValueOf(x).shape);
  if (strides.size() != sizes.size() || dilations.size() != sizes.size())
    return Refuse("strides and dilations for {} spatial dimensions", strides.size());
  const std::vector<ir::Dim> extents = Extents(ctx.ValueOf(filter).shape, dilations);
  GRAFT_ASSIGN_OR_RETURN(Pads pads, ReadPads(ctx, sizes, extents, strides, channels_first));
  return ctx.Emit(ir::ConvAttributes{.strides = std::move(strides),
                                     .dilations = std::move(dilations),
                                     .pads_before = std::move(pads.before),
                                     .pads_after = std::move(pads.after),
                                     .groups = std::move(groups)},
                  {x, filter});
}

// A convolution has as many groups as its filter's depth goes into the input's. Of a depth that is
// not known yet one group is assumed: when another comes, the engine refuses that run.
Accepted<ir::Dim> Groups(const NodeContext& ctx, bool channels_first) {
  const ir::Dim depth = channels_first ? ctx.shape(0)[1] : ctx.shape(0).back();
  const ir::Dim filter_depth = ctx.shape(1)[ctx.rank(1) - 2];
  if (!depth.is_constant() || !filter_depth.is_constant()) return ir::Dim(1);
  if (*filter_depth.constant() < 1 || *depth.constant() % *filter_depth.constant() != 0)
    return Refuse("input depth {} is no multiple of the filter's {}", depth.ToString(),
                  filter_depth.ToString());
  return ir::Dim(*depth.constant() / *filter_depth.constant());
}

Outcome OutputInFormat(NodeContext& ctx, ir::ValueId y, bool channels_first) {
  if (!channels_first) return ctx.SetOutput(0, y);
  return ctx.Output(ToChannelsFirst(ctx, y));
}

}  // namespace

Outcome ImportConv(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckRanks(ctx, 0, 1, ImageRank(ctx)));
  GRAFT_ASSIGN_OR_RETURN(const bool channels_first, ReadChannelsFirst(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::Dim groups, Groups(ctx, channels_first));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y,
                         EmitConv(ctx, ctx.operand(1), groups, channels_first));
  return OutputInFormat(ctx, y, channels_first);
}

Outcome ImportDepthwiseConv(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckRanks(ctx, 0, 1, 4));
  GRAFT_ASSIGN_OR_RETURN(const bool channels_first, ReadChannelsFirst(ctx));
  // [h, w, C, multiplier] → [h, w, 1, C*multiplier]: output channel c*multiplier + m is ours too.
  const ir::Shape& w = ctx.shape(1);
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId filter,
      ctx.Reshape(ctx.operand(1), {w[0], w[1], 1, w[2] * w[3]}, "depthwise_filter"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y,
                         EmitConv(ctx, filter, ctx.shape(1)[2], channels_first));
  return OutputInFormat(ctx, y, channels_first);
}

// input_sizes, filter, out_backprop
Outcome ImportConvBackpropInput(NodeContext& ctx) {
  const int rank = ImageRank(ctx);
  GRAFT_RETURN_IF_REFUSED(CheckRanks(ctx, 2, 1, rank));
  GRAFT_ASSIGN_OR_RETURN(const bool channels_first, ReadChannelsFirst(ctx));
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> strides, SpatialAttr(ctx, "strides", channels_first));
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> dilations,
                         SpatialAttr(ctx, "dilations", channels_first));
  GRAFT_ASSIGN_OR_RETURN(std::vector<ir::Dim> sizes, ctx.Dims(0));
  // The whole shape of the image, or its two spatial dimensions alone.
  if (static_cast<int>(sizes.size()) == rank) {
    sizes.erase(sizes.begin() + (channels_first ? 1 : rank - 1));
    sizes.erase(sizes.begin());
  }
  if (static_cast<int>(sizes.size()) != rank - 2)
    return Refuse("input_sizes of {} entries", sizes.size());
  ir::ValueId dy = ctx.operand(2);
  if (channels_first) {
    GRAFT_ASSIGN_OR_RETURN(dy, ToChannelsLast(ctx, dy));
  }
  if (strides.size() != sizes.size() || dilations.size() != sizes.size())
    return Refuse("strides and dilations for {} spatial dimensions", strides.size());
  const std::vector<ir::Dim> extents = Extents(ctx.shape(1), dilations);
  GRAFT_ASSIGN_OR_RETURN(Pads pads, ReadPads(ctx, sizes, extents, strides, channels_first));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId dx,
                         ctx.Emit(ir::ConvTransposeAttributes{.strides = std::move(strides),
                                                              .dilations = std::move(dilations),
                                                              .pads_before = std::move(pads.before),
                                                              .pads_after = std::move(pads.after),
                                                              .output_size = std::move(sizes)},
                                  {dy, ctx.operand(1)}));
  return OutputInFormat(ctx, dx, channels_first);
}

// input, filter, args…: what Grappler's remapper makes of a convolution and what follows it.
Outcome ImportFusedConv(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckRanks(ctx, 0, 1, 4));
  GRAFT_ASSIGN_OR_RETURN(const bool channels_first, ReadChannelsFirst(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::Dim groups, Groups(ctx, channels_first));
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId y, EmitConv(ctx, ctx.operand(1), groups, channels_first));
  GRAFT_ASSIGN_OR_RETURN(y, EmitFusedOps(ctx, y));
  return OutputInFormat(ctx, y, channels_first);
}

// conv_input, filter, bias, side_input, conv_input_scale, side_input_scale:
// activation(conv_input_scale · convolution + side_input_scale · side_input + bias)
Outcome ImportFusedConvBiasActivation(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::string filter_format, ctx.Attr<std::string>("filter_format"));
  GRAFT_ASSIGN_OR_RETURN(const std::string activation, ctx.Attr<std::string>("activation_mode"));
  GRAFT_ASSIGN_OR_RETURN(const bool channels_first, ReadChannelsFirst(ctx));
  GRAFT_RETURN_IF_REFUSED(CheckRanks(ctx, 0, 1, 4));
  if (filter_format != "HWIO" && filter_format != "OIHW")
    return Refuse("filter_format {} is not supported", filter_format);
  ir::ValueId filter = ctx.operand(1);
  if (filter_format == "OIHW") {
    GRAFT_ASSIGN_OR_RETURN(filter, ctx.Transpose(filter, {2, 3, 1, 0}, "filter"));
  }
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId y, EmitConv(ctx, filter, 1, channels_first));
  const DType dtype = ctx.dtype(0);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale, ctx.Cast(ctx.operand(4), dtype, "scale"));
  PointwiseProgram program{.inputs = 3};
  int sum = program.Add(PointwiseOp::kMul, dtype, 0, 1);
  std::vector<ir::ValueId> operands = {y, scale, ctx.operand(2)};
  // Without one, the operand is an empty vector.
  const bool has_side = ctx.rank(3) == 4 && !(Product(ctx.shape(3)) == 0);
  if (has_side) {
    ir::ValueId side = ctx.operand(3);
    if (channels_first) {
      GRAFT_ASSIGN_OR_RETURN(side, ToChannelsLast(ctx, side));
    }
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId factor, ctx.Cast(ctx.operand(5), dtype, "side_scale"));
    operands.insert(operands.end(), {side, factor});
    program = {.inputs = 5};
    sum = program.Add(PointwiseOp::kMul, dtype, 0, 1);
    sum = program.Add(PointwiseOp::kAdd, dtype, sum, program.Add(PointwiseOp::kMul, dtype, 3, 4));
  }
  program.Add(PointwiseOp::kAdd, dtype, sum, 2);
  GRAFT_ASSIGN_OR_RETURN(y, ctx.EmitPointwise(std::move(program), std::move(operands), "sum"));
  if (activation != "None") {
    GRAFT_ASSIGN_OR_RETURN(y, EmitActivation(ctx, y, activation, 0));
  }
  return OutputInFormat(ctx, y, channels_first);
}

}  // namespace graft::importer
