// The first convolution of networks, whose input has few channels: stem.cu and stem_s8.cu.
#include "backends/cuda/product.h"
#include "base/half.h"

namespace graft::cuda {
namespace {

constexpr int64_t kMostChannels = 4;
constexpr int64_t kTileRows = 128, kTileW = 16, kTileH = kTileRows / kTileW;
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

namespace {

// How the image is cut.
struct Tiles {
  int64_t columns;  // of the result, of a tile
  int64_t count;    // of all images, for the same columns
  int64_t line;     // pixels of a line of the kernel, with what fills it up
  int64_t patch;    // pixels that a tile's windows read
};
// line_unit: of how many pixels a line is to be a multiple.
Tiles TilesOf(const Product& p, const BoundNode& node, int64_t line_unit) {
  const auto parts = [](int64_t all, int64_t part) { return (all + part - 1) / part; };
  Tiles tiles;
  tiles.columns = p.columns <= 32 ? 32 : 64;
  tiles.count = node.inputs[0].dims[0] * parts(p.out[1], kTileH) * parts(p.out[2], kTileW);
  tiles.line = parts(p.kernel[2], line_unit) * line_unit;
  tiles.patch =
      ((kTileH - 1) * p.stride[1] + p.kernel[1]) * ((kTileW - 1) * p.stride[2] + tiles.line);
  return tiles;
}

// text: what the kernel's class says beyond its sizes.
Launch LaunchOf(const Product& p, const BoundNode& node, const Tiles& tiles, std::string_view file,
                int64_t shared_bytes, std::string_view text) {
  Launch launch;
  launch.kernel.file = file;
  launch.kernel.text = fmt::format(
      "#define CHANNELS {}\n#define KH {}\n#define KW {}\n#define SH {}\n#define SW {}\n"
      "#define TH {}\n#define TW {}\n#define BN {}\n#define B_CONSTANT {:d}\n{}",
      p.channels, p.kernel[1], p.kernel[2], p.stride[1], p.stride[2], kTileH, kTileW, tiles.columns,
      node.inputs[1].constant != nullptr, text);
  launch.entry = "stem";
  launch.block = 128;
  launch.shared_bytes = static_cast<int>(shared_bytes);
  constexpr int64_t kFullCard = 132 * 4;  // blocks that a large card holds; each takes many tiles
  launch.grid[0] = std::min(tiles.count, kFullCard);
  launch.grid[1] = (p.columns + tiles.columns - 1) / tiles.columns;
  AddProduct(p, node, 0, {}, &launch.parameter);
  return launch;
}

}  // namespace

Result<StepProgram> PlanStem(const BoundNode& node) {
  StepProgram step;
  const Product p = ProductOfConv(node);
  if (p.rows == 0 || p.columns == 0) return step;
  if (!FitsIn32Bits(p, node) || !LiesInEights(node, 2)) return PlanConvMma128x32(node);
  step.unaligned = PlanConvMma128x32;
  const Tiles tiles = TilesOf(p, node, 4);
  const int staged = StagedColumns(node, 2);
  // Four channels of two bytes a pixel; results lie at a multiple of 16 bytes.
  const int64_t shared = p.kernel[1] * tiles.line * 4 * tiles.columns * 2 + tiles.patch * 8 + 16 +
                         kTileRows * staged * 2;
  step.launches.push_back(
      LaunchOf(p, node, tiles, "stem.cu", shared,
               fmt::format("#define BFLOAT {:d}\n#define STAGED {}\n{}{}",
                           node.inputs[0].dtype == DType::kBFloat16, staged, ProductText(node),
                           EachOperandText(node, 2, /*columns=*/true))));
  return step;
}

Result<StepProgram> PlanStemIntegers(const BoundNode& node) {
  StepProgram step;
  const Product p = ProductOfConv(node);
  if (p.rows == 0 || p.columns == 0) return step;
  if (!FitsIn32Bits(p, node)) return PlanConv(node);
  const Tiles tiles = TilesOf(p, node, 8);  // pixels, as those of the patch a word each
  const int64_t shared = kTileRows * (tiles.columns + 8) * 4 +
                         p.kernel[1] * tiles.line * tiles.columns * 4 + tiles.patch * 4;
  step.launches.push_back(
      LaunchOf(p, node, tiles, "stem_s8.cu", shared, ProductText(node) + EachOperandText(node, 2)));
  return step;
}

}  // namespace graft::cuda
