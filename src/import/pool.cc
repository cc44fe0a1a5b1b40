// Pooling.
#include "import/layout.h"

namespace graft::importer {
namespace {

// The largest of every `window` neighbouring channels, which is all that TensorFlow has of windows
// over channels.
Accepted<ir::ValueId> EmitChannelMax(NodeContext& ctx, int64_t window) {
  ir::Shape shape = ctx.shape(0);
  const ir::Dim depth = shape.back();
  if (depth.is_constant() && *depth.constant() % window != 0)
    return Refuse("windows of {} of {} channels", window, *depth.constant());
  shape.back() = FloorDiv(depth, window);
  shape.emplace_back(window);
  const auto last = static_cast<int64_t>(shape.size()) - 1;
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x,
                         ctx.Reshape(ctx.operand(0), std::move(shape), "windows"));
  return ctx.Emit(ir::ReduceAttributes{.kind = ir::ReduceKind::kMax, .axes = {last}}, {x});
}

// Over windows whose entries, one for each dimension of the input, are `ksize` and `all_strides`.
Outcome EmitPool(NodeContext& ctx, std::vector<int64_t> ksize, std::vector<int64_t> all_strides) {
  const bool is_3d = ctx.node().op.ends_with("3D");
  if (ctx.rank(0) != (is_3d ? 5 : 4))
    return Refuse("input {}: must have rank {}", ToString(ctx.shape(0)), is_3d ? 5 : 4);
  GRAFT_ASSIGN_OR_RETURN(const bool channels_first, ReadChannelsFirst(ctx));
  const bool is_max = ctx.node().op.starts_with("Max");
  const bool over_channels = !is_3d && is_max && !channels_first && ksize == all_strides &&
                             ksize.size() == 4 && ksize[3] > 1 &&
                             ksize == std::vector<int64_t>{1, 1, 1, ksize[3]};
  if (over_channels) return ctx.Output(EmitChannelMax(ctx, ksize[3]));
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> window,
                         SpatialEntries("ksize", std::move(ksize), channels_first));
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> strides,
                         SpatialEntries("strides", std::move(all_strides), channels_first));
  ir::ValueId x = ctx.operand(0);
  if (channels_first) {
    GRAFT_ASSIGN_OR_RETURN(x, ToChannelsLast(ctx, x));
  }
  const std::vector<ir::Dim> sizes = SpatialDims(ctx.ValueOf(x).shape);
  if (strides.size() != sizes.size() || window.size() != sizes.size())
    return Refuse("a window of {} spatial dimensions", window.size());
  GRAFT_ASSIGN_OR_RETURN(
      Pads pads, ReadPads(ctx, sizes, {window.begin(), window.end()}, strides, channels_first));
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId y,
      ctx.Emit(ir::PoolAttributes{.kind = is_max ? ir::PoolKind::kMax : ir::PoolKind::kAverage,
                                  .window = std::move(window),
                                  .strides = std::move(strides),
                                  .pads_before = std::move(pads.before),
                                  .pads_after = std::move(pads.after)},
               {x}));
  if (!channels_first) return ctx.SetOutput(0, y);
  return ctx.Output(ToChannelsFirst(ctx, y));
}

}  // namespace

Outcome ImportPool(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> ksize, ctx.AttrList<int64_t>("ksize"));
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> strides, ctx.AttrList<int64_t>("strides"));
  return EmitPool(ctx, std::move(ksize), std::move(strides));
}

// input, ksize, strides
Outcome ImportMaxPoolV2(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> ksize, ctx.Integers(1));
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> strides, ctx.Integers(2));
  return EmitPool(ctx, std::move(ksize), std::move(strides));
}

}  // namespace graft::importer
