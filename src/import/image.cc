// Images: resizing, and moves between space, depth and batch.
#include <algorithm>
#include <utility>

#include "import/layout.h"

namespace graft::importer {
namespace {

constexpr std::pair<std::string_view, ir::ResizeMode> kResizes[] = {
    {"ResizeArea", ir::ResizeMode::kArea},
    {"ResizeBicubic", ir::ResizeMode::kBicubic},
    {"ResizeBilinear", ir::ResizeMode::kBilinear},
    {"ResizeNearestNeighbor", ir::ResizeMode::kNearest},
};

// The blocks of SpaceToBatchND and BatchToSpaceND, and what is added to or cut off each spatial
// axis.
struct Blocks {
  std::vector<int64_t> sizes;
  std::vector<int64_t> before;
  std::vector<int64_t> after;
  int64_t product = 1;
};

// Blocks of `sizes`; operand `edges_operand` holds the paddings or crops.
Accepted<Blocks> ReadBlocks(const NodeContext& ctx, std::vector<int64_t> sizes, int edges_operand) {
  Blocks blocks{.sizes = std::move(sizes)};
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> edges, ctx.Integers(edges_operand));
  const size_t spatial = blocks.sizes.size();
  if (edges.size() != 2 * spatial || static_cast<int>(spatial) >= ctx.rank(0))
    return Refuse("block_shape of {} entries for input {}", spatial, ToString(ctx.shape(0)));
  for (size_t i = 0; i < spatial; ++i) {
    if (blocks.sizes[i] < 1 || blocks.sizes[i] > (1 << 20))
      return Refuse("a block of {}", blocks.sizes[i]);
    if (edges[2 * i] < 0 || edges[2 * i + 1] < 0) return Refuse("a negative padding or crop");
    blocks.before.push_back(edges[2 * i]);
    blocks.after.push_back(edges[2 * i + 1]);
    blocks.product *= blocks.sizes[i];
    if (blocks.product > (1 << 20)) return Refuse("a block of {} elements", blocks.product);
  }
  return blocks;
}

// x, with blocks of block_size on both axes of an image, and its paddings or crops.
Accepted<Blocks> ReadSquareBlocks(const NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t size, ctx.Attr<int64_t>("block_size"));
  if (ctx.rank(0) != 4) return Refuse("input {}: must have rank 4", ToString(ctx.shape(0)));
  return ReadBlocks(ctx, {size, size}, 1);
}

// [B, S…, rest…] → pad → [B, S/b, b, …, rest…] → [b…, B, S/b…, rest…] → [B·∏b, S/b…, rest…]
Outcome EmitSpaceToBatch(NodeContext& ctx, const Blocks& blocks) {
  const size_t spatial = blocks.sizes.size();
  const int rank = ctx.rank(0);
  ir::PadAttributes pad{.before = ir::Shape(rank, 0), .after = ir::Shape(rank, 0)};
  for (size_t i = 0; i < spatial; ++i) {
    pad.before[i + 1] = blocks.before[i];
    pad.after[i + 1] = blocks.after[i];
  }
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId x, ctx.Emit(std::move(pad), {ctx.operand(0)}, "pad"));
  const ir::Shape padded = ctx.ValueOf(x).shape;
  ir::Shape split = {padded[0]};
  ir::Shape result = {padded[0] * blocks.product};
  std::vector<int64_t> permutation;
  for (size_t i = 0; i < spatial; ++i) permutation.push_back(2 + 2 * static_cast<int64_t>(i));
  permutation.push_back(0);
  for (size_t i = 0; i < spatial; ++i) {
    const ir::Dim& size = padded[i + 1];
    if (size.is_constant() && *size.constant() % blocks.sizes[i] != 0)
      return Refuse("a padded axis of {} with a block of {}", size.ToString(), blocks.sizes[i]);
    const ir::Dim count = FloorDiv(size, blocks.sizes[i]);
    split.push_back(count);
    split.push_back(blocks.sizes[i]);
    result.push_back(count);
    permutation.push_back(1 + 2 * static_cast<int64_t>(i));
  }
  for (int axis = static_cast<int>(spatial) + 1; axis < rank; ++axis) {
    permutation.push_back(static_cast<int64_t>(split.size()));
    split.push_back(padded[axis]);
    result.push_back(padded[axis]);
  }
  GRAFT_ASSIGN_OR_RETURN(x, ctx.Reshape(x, std::move(split), "blocks"));
  GRAFT_ASSIGN_OR_RETURN(x, ctx.Transpose(x, std::move(permutation), "transpose"));
  return ctx.Output(ctx.Reshape(x, std::move(result)));
}

// [B·∏b, S…, rest…] → [b…, B, S…, rest…] → [B, S, b, …, rest…] → [B, S·b…, rest…] → crop
Outcome EmitBatchToSpace(NodeContext& ctx, const Blocks& blocks) {
  const size_t spatial = blocks.sizes.size();
  const ir::Shape shape = ctx.shape(0);
  if (shape[0].is_constant() && *shape[0].constant() % blocks.product != 0)
    return Refuse("a batch of {} with blocks of {}", shape[0].ToString(), blocks.product);
  const ir::Dim batch = FloorDiv(shape[0], blocks.product);
  ir::Shape split(blocks.sizes.begin(), blocks.sizes.end());
  split.push_back(batch);
  split.insert(split.end(), shape.begin() + 1, shape.end());
  std::vector<int64_t> permutation = {static_cast<int64_t>(spatial)};
  ir::Shape joined = {batch};
  for (size_t i = 0; i < spatial; ++i) {
    permutation.push_back(static_cast<int64_t>(spatial + 1 + i));
    permutation.push_back(static_cast<int64_t>(i));
    joined.push_back(shape[i + 1] * blocks.sizes[i]);
  }
  for (size_t axis = 2 * spatial + 1; axis < split.size(); ++axis)
    permutation.push_back(static_cast<int64_t>(axis));
  joined.insert(joined.end(), shape.begin() + 1 + static_cast<int64_t>(spatial), shape.end());
  ir::SliceAttributes crop{.begin = ir::Shape(joined.size(), 0),
                           .size = joined,
                           .strides = std::vector<int64_t>(joined.size(), 1)};
  for (size_t i = 0; i < spatial; ++i) {
    crop.begin[i + 1] = blocks.before[i];
    crop.size[i + 1] = joined[i + 1] - (blocks.before[i] + blocks.after[i]);
  }
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId x, ctx.Reshape(ctx.operand(0), std::move(split), "blocks"));
  GRAFT_ASSIGN_OR_RETURN(x, ctx.Transpose(x, std::move(permutation), "transpose"));
  GRAFT_ASSIGN_OR_RETURN(x, ctx.Reshape(x, std::move(joined), "space"));
  return ctx.Output(ctx.Emit(std::move(crop), {x}));
}

}  // namespace

Outcome ImportResize(NodeContext& ctx) {
  if (ctx.rank(0) != 4) return Refuse("images {}: must have rank 4", ToString(ctx.shape(0)));
  GRAFT_ASSIGN_OR_RETURN(std::vector<ir::Dim> size, ctx.Dims(1));
  if (size.size() != 2) return Refuse("size of {} entries", size.size());
  GRAFT_ASSIGN_OR_RETURN(const bool align_corners, ctx.Attr<bool>("align_corners"));
  bool half_pixel_centers = false;
  if (ctx.node().op != "ResizeArea") {
    GRAFT_ASSIGN_OR_RETURN(half_pixel_centers, ctx.Attr<bool>("half_pixel_centers"));
  }
  if (align_corners && half_pixel_centers)
    return Refuse("align_corners and half_pixel_centers exclude each other");
  const auto mode = std::find_if(std::begin(kResizes), std::end(kResizes),
                                 [&](const auto& row) { return row.first == ctx.node().op; });
  return ctx.Output(ctx.Emit(ir::ResizeAttributes{.mode = mode->second,
                                                  .size = std::move(size),
                                                  .align_corners = align_corners,
                                                  .half_pixel_centers = half_pixel_centers},
                             {ctx.operand(0)}));
}

// image, boxes, box_ind, crop_size
Outcome ImportCropAndResize(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<ir::Dim> size, ctx.Dims(3));
  GRAFT_ASSIGN_OR_RETURN(const std::string method, ctx.Attr<std::string>("method"));
  GRAFT_ASSIGN_OR_RETURN(const float extrapolation, ctx.Attr<float>("extrapolation_value"));
  if (method != "bilinear" && method != "nearest") return Refuse("method {}", method);
  const auto mode = method == "nearest" ? ir::ResizeMode::kNearest : ir::ResizeMode::kBilinear;
  return ctx.Output(ctx.Emit(
      ir::CropAndResizeAttributes{
          .mode = mode, .size = std::move(size), .extrapolation = extrapolation},
      {ctx.operand(0), ctx.operand(1), ctx.operand(2)}));
}

Outcome ImportDepthToSpace(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t block, ctx.Attr<int64_t>("block_size"));
  GRAFT_ASSIGN_OR_RETURN(const bool channels_first, ReadChannelsFirst(ctx));
  const bool to_depth = ctx.node().op == "SpaceToDepth";
  if (ctx.rank(0) != 4) return Refuse("input {}: must have rank 4", ToString(ctx.shape(0)));
  if (block < 1 || block > (1 << 15)) return Refuse("block_size {}", block);
  ir::ValueId x = ctx.operand(0);
  if (channels_first) {
    GRAFT_ASSIGN_OR_RETURN(x, ToChannelsLast(ctx, x));
  }
  const ir::Shape& shape = ctx.ValueOf(x).shape;
  auto divides = [](const ir::Dim& size, int64_t by) {
    return !size.is_constant() || *size.constant() % by == 0;
  };
  const bool fits = to_depth ? divides(shape[1], block) && divides(shape[2], block)
                             : divides(shape[3], block * block);
  if (!fits) return Refuse("input {} with block_size {}", ToString(ctx.shape(0)), block);
  GRAFT_ASSIGN_OR_RETURN(
      x, ctx.Emit(ir::DepthToSpaceAttributes{.block = block, .to_depth = to_depth}, {x}));
  if (!channels_first) return ctx.SetOutput(0, x);
  return ctx.Output(ToChannelsFirst(ctx, x));
}

// The pixels under each place of a window, one place after the other along the channels.
Outcome ImportExtractImagePatches(NodeContext& ctx) {
  if (ctx.rank(0) != 4) return Refuse("images {}: must have rank 4", ToString(ctx.shape(0)));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> window, SpatialAttr(ctx, "ksizes", false));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> strides, SpatialAttr(ctx, "strides", false));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> rates, SpatialAttr(ctx, "rates", false));
  if (window.size() != 2 || strides.size() != 2 || rates.size() != 2)
    return Refuse("a window of {} spatial dimensions", window.size());
  std::vector<ir::Dim> extents;
  for (int i : {0, 1}) extents.emplace_back((window[i] - 1) * rates[i] + 1);
  const std::vector<ir::Dim> sizes = SpatialDims(ctx.shape(0));
  GRAFT_ASSIGN_OR_RETURN(const Pads pads, ReadPads(ctx, sizes, extents, strides, false));
  const ir::Dim channels = ctx.shape(0)[3];
  std::vector<ir::Dim> counts;
  for (int i : {0, 1}) {
    const ir::Dim room = sizes[i] + pads.before[i] + pads.after[i] - extents[i];
    counts.push_back(FloorDiv(room, strides[i]) + 1);
  }
  const ir::Dim batch = ctx.shape(0)[0];
  const bool disjoint = window == strides && sizes[0] == counts[0] * window[0] &&
                        sizes[1] == counts[1] * window[1] && rates == std::vector<int64_t>{1, 1};
  if (disjoint) {
    GRAFT_ASSIGN_OR_RETURN(
        ir::ValueId x,
        ctx.Reshape(ctx.operand(0), {batch, counts[0], window[0], counts[1], window[1], channels},
                    "windows"));
    GRAFT_ASSIGN_OR_RETURN(x, ctx.Transpose(x, {0, 1, 3, 2, 4, 5}, "transpose"));
    return ctx.Output(
        ctx.Reshape(x, {batch, counts[0], counts[1], channels * (window[0] * window[1])}));
  }
  constexpr int64_t kMostPlaces = 64;
  if (window[0] * window[1] > kMostPlaces)
    return Refuse("overlapping windows of {}x{}", window[0], window[1]);
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId padded,
      ctx.Emit(ir::PadAttributes{.before = {0, pads.before[0], pads.before[1], 0},
                                 .after = {0, pads.after[0], pads.after[1], 0}},
               {ctx.operand(0)}, "pad"));
  std::vector<ir::ValueId> places;
  for (int64_t i = 0; i < window[0]; ++i) {
    for (int64_t j = 0; j < window[1]; ++j) {
      ir::SliceAttributes place{.begin = {0, i * rates[0], j * rates[1], 0},
                                .size = {batch, counts[0], counts[1], channels},
                                .strides = {1, strides[0], strides[1], 1}};
      GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x, ctx.Emit(std::move(place), {padded}, "place"));
      places.push_back(x);
    }
  }
  return ctx.Output(ctx.Emit(ir::ConcatAttributes{.axis = 3}, std::move(places)));
}

// x, block_shape, paddings
Outcome ImportSpaceToBatchNd(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> sizes, ctx.Integers(1));
  GRAFT_ASSIGN_OR_RETURN(const Blocks blocks, ReadBlocks(ctx, std::move(sizes), 2));
  return EmitSpaceToBatch(ctx, blocks);
}

Outcome ImportSpaceToBatch(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const Blocks blocks, ReadSquareBlocks(ctx));
  return EmitSpaceToBatch(ctx, blocks);
}

// x, block_shape, crops
Outcome ImportBatchToSpaceNd(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> sizes, ctx.Integers(1));
  GRAFT_ASSIGN_OR_RETURN(const Blocks blocks, ReadBlocks(ctx, std::move(sizes), 2));
  return EmitBatchToSpace(ctx, blocks);
}

Outcome ImportBatchToSpace(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const Blocks blocks, ReadSquareBlocks(ctx));
  return EmitBatchToSpace(ctx, blocks);
}

}  // namespace graft::importer
