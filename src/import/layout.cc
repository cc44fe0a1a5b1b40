#include "import/layout.h"

#include <fmt/ranges.h>

#include <numeric>

namespace graft::importer {

Accepted<bool> ReadChannelsFirst(const NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::string format, ctx.Attr<std::string>("data_format"));
  if (format == "NHWC" || format == "NDHWC") return false;
  if (format == "NCHW" || format == "NCDHW") return true;
  return Refuse("data_format {} is not supported", format);
}

Accepted<ir::ValueId> ToChannelsLast(NodeContext& ctx, ir::ValueId x) {
  const int rank = static_cast<int>(ctx.ValueOf(x).shape.size());
  if (rank < 3) return x;
  std::vector<int64_t> permutation(rank);
  std::iota(permutation.begin() + 1, permutation.end() - 1, 2);
  permutation.back() = 1;
  return ctx.Transpose(x, std::move(permutation), "channels_last");
}

Accepted<ir::ValueId> ToChannelsFirst(NodeContext& ctx, ir::ValueId x) {
  const int rank = static_cast<int>(ctx.ValueOf(x).shape.size());
  if (rank < 3) return x;
  std::vector<int64_t> permutation(rank);
  std::iota(permutation.begin() + 2, permutation.end(), 1);
  permutation[1] = rank - 1;
  return ctx.Transpose(x, std::move(permutation), "channels_first");
}

Accepted<std::vector<int64_t>> SpatialEntries(std::string_view key, std::vector<int64_t> all,
                                              bool channels_first) {
  const std::string text = fmt::format("{} [{}]", key, fmt::join(all, ","));
  if (all.size() != 4 && all.size() != 5) return Refuse("{}: must have 4 or 5 entries", text);
  const size_t channel = channels_first ? 1 : all.size() - 1;
  // "dilations" → "channel dilation must be 1".
  std::string_view one = key;
  if (one.ends_with("s")) one.remove_suffix(1);
  if (all[0] != 1) return Refuse("{}: batch {} must be 1", text, one);
  if (all[channel] != 1) return Refuse("{}: channel {} must be 1", text, one);
  all.erase(all.begin() + channel);
  all.erase(all.begin());
  for (int64_t v : all) {
    if (v < 1) return Refuse("{}: must be positive", text);
    // Products of two of them stay integers.
    if (v > (1 << 30)) return Refuse("{}: out of range", text);
  }
  return all;
}

Accepted<std::vector<int64_t>> SpatialAttr(const NodeContext& ctx, std::string_view key,
                                           bool channels_first) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> all, ctx.AttrList<int64_t>(key));
  return SpatialEntries(key, std::move(all), channels_first);
}

Accepted<Pads> ReadPads(const NodeContext& ctx, const std::vector<ir::Dim>& sizes,
                        const std::vector<ir::Dim>& extents, const std::vector<int64_t>& strides,
                        bool channels_first) {
  GRAFT_ASSIGN_OR_RETURN(const std::string padding, ctx.Attr<std::string>("padding"));
  const size_t spatial = sizes.size();
  Pads pads;
  if (padding == "VALID") {
    pads.before.assign(spatial, 0);
    pads.after.assign(spatial, 0);
  } else if (padding == "SAME") {
    for (size_t i = 0; i < spatial; ++i) {
      const ir::Dim total = ir::SamePadding(sizes[i], extents[i], strides[i]);
      pads.before.push_back(FloorDiv(total, 2));
      pads.after.push_back(total - pads.before.back());
    }
  } else if (padding == "EXPLICIT") {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> all,
                           ctx.AttrList<int64_t>("explicit_paddings"));
    const std::string text = fmt::format("explicit_paddings [{}]", fmt::join(all, ","));
    if (all.size() != 2 * (spatial + 2))
      return Refuse("{}: must have two entries a dimension", text);
    const size_t channel = channels_first ? 1 : spatial + 1;
    for (size_t axis = 0; axis < spatial + 2; ++axis) {
      if (all[2 * axis] < 0 || all[2 * axis + 1] < 0)
        return Refuse("{}: must not be negative", text);
      if (axis != 0 && axis != channel) {
        pads.before.push_back(all[2 * axis]);
        pads.after.push_back(all[2 * axis + 1]);
      } else if (all[2 * axis] != 0 || all[2 * axis + 1] != 0) {
        return Refuse("{}: batch and channel must not be padded", text);
      }
    }
  } else {
    return Refuse("padding {} is not supported", padding);
  }
  return pads;
}

std::vector<ir::Dim> SpatialDims(const ir::Shape& image) {
  return {image.begin() + 1, image.end() - 1};
}

}  // namespace graft::importer
