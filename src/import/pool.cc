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

// Windows that lie inside the image.
struct Windows {
  std::vector<int64_t> size;
  std::vector<int64_t> strides;
  std::vector<ir::Dim> counts;
};

Accepted<Windows> ReadWindows(NodeContext& ctx) {
  if (ctx.rank(0) != 4) return Refuse("input {}: must have rank {}", ToString(ctx.shape(0)), 4);
  Windows w;
  GRAFT_ASSIGN_OR_RETURN(w.size, SpatialAttr(ctx, "ksize", false));
  GRAFT_ASSIGN_OR_RETURN(w.strides, SpatialAttr(ctx, "strides", false));
  if (w.size.size() != 2 || w.strides.size() != 2)
    return Refuse("a window of {} spatial dimensions", w.size.size());
  const std::vector<ir::Dim> sizes = SpatialDims(ctx.shape(0));
  GRAFT_ASSIGN_OR_RETURN(const Pads pads,
                         ReadPads(ctx, sizes, {w.size.begin(), w.size.end()}, w.strides, false));
  for (int i : {0, 1}) {
    if (!(pads.before[i] == 0) || !(pads.after[i] == 0))
      return Refuse("padding {} and {}: a window must not reach into it", pads.before[i].ToString(),
                    pads.after[i].ToString());
    w.counts.push_back(FloorDiv(sizes[i] - w.size[i], w.strides[i]) + 1);
  }
  return w;
}

// Which place of its window holds the first of the largest elements, counted row by row.
Accepted<ir::ValueId> EmitPlaceOfMax(NodeContext& ctx, const Windows& windows) {
  constexpr int64_t kMostPlaces = 15;  // a program has 64 instructions
  const int64_t places = windows.size[0] * windows.size[1];
  if (places > kMostPlaces) return Refuse("windows of {}x{}", windows.size[0], windows.size[1]);
  const DType dtype = ctx.dtype(0);
  PointwiseProgram program{.inputs = static_cast<int>(places)};
  std::vector<ir::ValueId> operands;
  int most = 0;
  int place = program.Add(PointwiseOp::kConstant, DType::kInt64);
  for (int64_t i = 0; i < places; ++i) {
    const ir::Shape& image = ctx.shape(0);
    ir::SliceAttributes slice{.begin = {0, i / windows.size[1], i % windows.size[1], 0},
                              .size = {image[0], windows.counts[0], windows.counts[1], image[3]},
                              .strides = {1, windows.strides[0], windows.strides[1], 1}};
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x,
                           ctx.Emit(std::move(slice), {ctx.operand(0)}, "place"));
    operands.push_back(x);
    if (i == 0) continue;
    const auto input = static_cast<int>(i);
    const int is_more = program.Add(PointwiseOp::kGreater, DType::kBool, input, most);
    const int number =
        program.Add(PointwiseOp::kConstant, DType::kInt64, -1, -1, -1, static_cast<double>(i));
    most = program.Add(PointwiseOp::kSelect, dtype, is_more, input, most);
    place = program.Add(PointwiseOp::kSelect, DType::kInt64, is_more, number, place);
  }
  return ctx.EmitPointwise(std::move(program), std::move(operands), "place");
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

// The largest element of each window, and where it lies in the flattened image (or batch).
Outcome ImportMaxPoolWithArgmax(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const DType index_type, ctx.Attr<DType>("Targmax"));
  GRAFT_ASSIGN_OR_RETURN(const bool with_batch, ctx.Attr<bool>("include_batch_in_index"));
  GRAFT_ASSIGN_OR_RETURN(const Windows windows, ReadWindows(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId values,
                         ctx.Emit(ir::PoolAttributes{.kind = ir::PoolKind::kMax,
                                                     .window = windows.size,
                                                     .strides = windows.strides,
                                                     .pads_before = {0, 0},
                                                     .pads_after = {0, 0}},
                                  {ctx.operand(0)}));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(0, values));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId place, EmitPlaceOfMax(ctx, windows));

  // ((batch · height + row) · width + column) · channels + channel, in strides of the image.
  constexpr DType kIndex = DType::kInt64;
  const ir::Shape image = ctx.shape(0);
  const ir::Shape result = ctx.ValueOf(values).shape;
  const ir::Dim strides[] = {image[1] * image[2] * image[3], image[2] * image[3], image[3], 1};
  std::vector<ir::ValueId> operands = {place};
  PointwiseProgram program{.inputs = 9};
  const int width =
      program.Add(PointwiseOp::kConstant, kIndex, -1, -1, -1, static_cast<double>(windows.size[1]));
  int sum = program.Add(PointwiseOp::kConstant, kIndex);
  for (int axis = 0; axis < 4; ++axis) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId position,
                           ctx.Positions(result[axis], 4, axis, kIndex));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId stride, ctx.EmitDim(strides[axis], kIndex, "stride"));
    operands.insert(operands.end(), {position, stride});
    int at = 2 * axis + 1;
    if (axis == 0 && !with_batch) continue;
    if (axis == 1 || axis == 2) {
      const int step = program.Add(PointwiseOp::kConstant, kIndex, -1, -1, -1,
                                   static_cast<double>(windows.strides[axis - 1]));
      at = program.Add(PointwiseOp::kMul, kIndex, at, step);
      const PointwiseOp part = axis == 1 ? PointwiseOp::kFloorDiv : PointwiseOp::kFloorMod;
      at = program.Add(PointwiseOp::kAdd, kIndex, at, program.Add(part, kIndex, 0, width));
    }
    const int offset = program.Add(PointwiseOp::kMul, kIndex, at, 2 * axis + 2);
    sum = program.Add(PointwiseOp::kAdd, kIndex, sum, offset);
  }
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId index,
                         ctx.EmitPointwise(std::move(program), std::move(operands), "index"));
  GRAFT_ASSIGN_OR_RETURN(index, ctx.Cast(index, index_type, "argmax"));
  return ctx.SetOutput(1, index);
}

}  // namespace graft::importer
