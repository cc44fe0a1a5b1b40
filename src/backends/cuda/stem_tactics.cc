// The first convolution of networks, whose input has few channels: stem.cu and stem_s8.cu.
#include "backends/cuda/product.h"
#include "base/half.h"

namespace graft::cuda {
namespace {

constexpr int64_t kMostChannels = 4;
constexpr int64_t kTileRows = 128, kTileW = 16;
// What the kernels have registers and shared memory for.
struct Limits {
  int64_t kernel, stride;
};
constexpr Limits kOfHalves = {7, 2}, kOfIntegers = {11, 4};

std::optional<Refusal> RefuseStem(const ir::Module& module, const ir::Node& node,
                                  bool (*takes)(DType), Limits most) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  const DType x = module.value(node.inputs[0]).dtype;
  const ir::Value& w = module.value(node.inputs[1]);
  if (!takes(x) || x != w.dtype)
    return Refuse("factors of dtypes {} and {}", Name(x), Name(w.dtype));
  if (a.strides.size() != 2) return Refuse("{} spatial dimensions", a.strides.size());
  if (!(a.groups == 1)) return Refuse("groups of channels");
  for (int i = 0; i < 2; ++i) {
    const std::optional<int64_t> kernel = w.shape[i].constant();
    if (!kernel || *kernel < 1 || *kernel > most.kernel)
      return Refuse("a kernel over {}", most.kernel);
    if (a.strides[i] > most.stride) return Refuse("a stride over {}", most.stride);
    if (a.dilations[i] != 1) return Refuse("a dilated kernel");
  }
  const std::optional<int64_t> channels = w.shape[2].constant();
  if (!channels || *channels < 1 || *channels > kMostChannels)
    return Refuse("more than {} channels", kMostChannels);
  return RefuseProduct(module, node);
}

}  // namespace

std::optional<Refusal> RefuseStem(const ir::Module& module, const ir::Node& node) {
  return RefuseStem(module, node, IsHalf, kOfHalves);
}
std::optional<Refusal> RefuseStemIntegers(const ir::Module& module, const ir::Node& node) {
  return RefuseStem(
      module, node, [](DType dtype) { return dtype == DType::kInt8; }, kOfIntegers);
}

Result<StepProgram> PlanStem(const BoundNode& node) {
  StepProgram step;
  const Product p = ProductOfConv(node);
  if (p.rows == 0 || p.columns == 0) return step;
  if (!FitsIn32Bits(p, node) || !LiesInEights(node, 2)) return PlanConvMma128x32(node);
  GRAFT_ASSIGN_OR_RETURN(StepProgram unaligned, PlanConvMma128x32(node));
  step.unaligned = std::move(unaligned.launches);
  step.workspace_bytes = unaligned.workspace_bytes;
  const int64_t tile_columns = p.columns <= 32 ? 32 : 64;
  const int64_t tile_h = kTileRows / kTileW;
  const int64_t tiles = node.inputs[0].dims[0] * ((p.out[1] + tile_h - 1) / tile_h) *
                        ((p.out[2] + kTileW - 1) / kTileW);
  const int64_t line = (p.kernel[2] + 3) / 4 * 4;
  const int64_t patch =
      ((tile_h - 1) * p.stride[1] + p.kernel[1]) * ((kTileW - 1) * p.stride[2] + line);
  Launch launch;
  launch.kernel.file = "stem.cu";
  launch.kernel.text = fmt::format(
      "#define CHANNELS {}\n#define KH {}\n#define KW {}\n#define SH {}\n#define SW {}\n"
      "#define TH {}\n#define TW {}\n#define BN {}\n#define B_CONSTANT {:d}\n#define BFLOAT {:d}\n"
      "{}{}",
      p.channels, p.kernel[1], p.kernel[2], p.stride[1], p.stride[2], tile_h, kTileW, tile_columns,
      node.inputs[1].constant != nullptr, node.inputs[0].dtype == DType::kBFloat16,
      ProductText(node), EachOperandText(node, 2, /*columns=*/true));
  launch.entry = "stem";
  launch.block = 128;
  launch.shared_bytes = static_cast<int>(p.kernel[1] * line * 4 * tile_columns * 2 + patch * 8);
  constexpr int64_t kFullCard = 132 * 4;  // blocks that a large card holds; each takes many tiles
  launch.grid[0] = std::min(tiles, kFullCard);
  launch.grid[1] = (p.columns + tile_columns - 1) / tile_columns;
  AddProduct(p, node, 0, {}, &launch.parameter);
  step.launches.push_back(std::move(launch));
  return step;
}

Result<StepProgram> PlanStemIntegers(const BoundNode& node) {
  StepProgram step;
  const Product p = ProductOfConv(node);
  if (p.rows == 0 || p.columns == 0) return step;
  if (!FitsIn32Bits(p, node)) return PlanConv(node);
  const int64_t tile_columns = p.columns <= 32 ? 32 : 64;
  const int64_t tile_h = kTileRows / kTileW;
  const int64_t tiles = node.inputs[0].dims[0] * ((p.out[1] + tile_h - 1) / tile_h) *
                        ((p.out[2] + kTileW - 1) / kTileW);
  const int64_t line = (p.kernel[2] + 7) / 8 * 8;  // pixels, as those of the patch a word each
  const int64_t patch =
      ((tile_h - 1) * p.stride[1] + p.kernel[1]) * ((kTileW - 1) * p.stride[2] + line);
  Launch launch;
  launch.kernel.file = "stem_s8.cu";
  launch.kernel.text = fmt::format(
      "#define CHANNELS {}\n#define KH {}\n#define KW {}\n#define SH {}\n#define SW {}\n"
      "#define TH {}\n#define TW {}\n#define BN {}\n#define B_CONSTANT {:d}\n{}{}",
      p.channels, p.kernel[1], p.kernel[2], p.stride[1], p.stride[2], tile_h, kTileW, tile_columns,
      node.inputs[1].constant != nullptr, ProductText(node), EachOperandText(node, 2));
  launch.entry = "stem";
  launch.block = 128;
  launch.shared_bytes = static_cast<int>(kTileRows * (tile_columns + 8) * 4 +
                                         p.kernel[1] * line * tile_columns * 4 + patch * 4);
  constexpr int64_t kFullCard = 132 * 4;  // blocks that a large card holds; each takes many tiles
  launch.grid[0] = std::min(tiles, kFullCard);
  launch.grid[1] = (p.columns + tile_columns - 1) / tile_columns;
  AddProduct(p, node, 0, {}, &launch.parameter);
  step.launches.push_back(std::move(launch));
  return step;
}

}  // namespace graft::cuda
