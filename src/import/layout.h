// Data formats, windows and padding of the convolution and pooling ops.
#pragma once

#include <string_view>
#include <vector>

#include "import/node_context.h"

namespace graft::importer {

// "NHWC", "NCHW", "NDHWC" or "NCDHW", of attribute data_format.
Accepted<bool> ReadChannelsFirst(const NodeContext& ctx);

// [N, C, spatial…] to [N, spatial…, C] and back.
Accepted<ir::ValueId> ToChannelsLast(NodeContext& ctx, ir::ValueId x);
Accepted<ir::ValueId> ToChannelsFirst(NodeContext& ctx, ir::ValueId x);

// The spatial ones of the entries that `key` has for each dimension of the image. The others must
// be 1.
Accepted<std::vector<int64_t>> SpatialEntries(std::string_view key, std::vector<int64_t> all,
                                              bool channels_first);
// Those of a list attribute.
Accepted<std::vector<int64_t>> SpatialAttr(const NodeContext& ctx, std::string_view key,
                                           bool channels_first);

struct Pads {
  std::vector<ir::Dim> before;
  std::vector<ir::Dim> after;
};
// From the attributes padding and explicit_paddings: for an image with the spatial dimensions
// `sizes` and a window covering `extents` elements.
Accepted<Pads> ReadPads(const NodeContext& ctx, const std::vector<ir::Dim>& sizes,
                        const std::vector<ir::Dim>& extents, const std::vector<int64_t>& strides,
                        bool channels_first);

// The spatial dimensions of [N, spatial…, C].
std::vector<ir::Dim> SpatialDims(const ir::Shape& image);

}  // namespace graft::importer
