// Convolutions and matrix products of 16-bit floats by wgmma, on cards of 9.0: wgmma.cu, and
// patch.cu for windows that overlap.
#include "backends/cuda/product.h"
#include "base/half.h"

namespace graft::cuda {
namespace {

constexpr int64_t kSliceDepth = 64;

// A block's tile, the groups of four warps that compute it, the slices under way, and the blocks
// that a multiprocessor is to hold.
struct Tile {
  int m, n, groups, stages, blocks;
  bool split = false;  // the blocks of a cluster share a tile where there are too few

  // One more warp copies; where registers are traded (wgmma.cu), it comes with three idle ones.
  int threads() const { return groups * 128 + (groups == 2 && blocks == 1 ? 128 : 32); }
  // Of shared memory: the slices, the sums that are sent, and the barriers.
  int shared_bytes(bool split) const {
    const int slices = (m + n) * static_cast<int>(kSliceDepth) * 2 * stages;
    return slices + (split ? (m + 8) * (n + 8) * 4 : 0) + 16 * stages + 8;
  }
};
constexpr Tile k128x256 = {128, 256, 2, 4, 1};
constexpr Tile k256x128 = {256, 128, 2, 4, 1};
constexpr Tile k128x128 = {128, 128, 2, 3, 2};
constexpr Tile k128x64 = {128, 64, 2, 4, 2};
constexpr Tile k64x128 = {64, 128, 1, 3, 3};
constexpr Tile k64x64 = {64, 64, 1, 3, 4};
constexpr Tile k128x128Deep = {128, 128, 2, 5, 1};
constexpr Tile k64x64Deep = {64, 64, 1, 6, 2};
constexpr Tile k64x128Split = {64, 128, 1, 3, 2, true};
constexpr Tile k64x64Split = {64, 64, 1, 5, 2, true};
constexpr Tile k64x32Split = {64, 32, 1, 8, 2, true};

// Of patch.cu.
constexpr Tile kPatchTile = {256, 64, 2, 4, 2};

// What the copy engine wants of distances, in elements: multiples of 16 bytes, below 2^40.
bool IsDistance(int64_t elements) {
  return elements % 8 == 0 && elements > 0 && elements < int64_t{1} << 38;
}

// Rows of a matrix, or windows of an image; nothing where the copy engine does not take them.
std::optional<TensorMap> MapOfA(const Product& p, const BoundNode& node, bool windows, int rows) {
  if (!IsDistance(p.a_row) || p.depth == 0) return std::nullopt;
  const auto row = static_cast<uint64_t>(p.a_row) * 2;
  TensorMap map;
  map.input = 0;
  map.bfloat = node.inputs[0].dtype == DType::kBFloat16;
  map.box = {kSliceDepth, static_cast<uint32_t>(rows)};
  if (!windows) {
    map.dims = {static_cast<uint64_t>(p.depth), static_cast<uint64_t>(p.rows)};
    map.strides = {row};
    return map;
  }
  const auto width = static_cast<uint64_t>(p.in[2]), height = static_cast<uint64_t>(p.in[1]);
  map.dims = {static_cast<uint64_t>(p.channels), width, height,
              static_cast<uint64_t>(node.inputs[0].dims[0])};
  map.strides = {row, row * width, row * width * height};
  for (const int axis : {2, 1}) {
    const int64_t first = -p.pad[axis];
    const int64_t last = first + (p.out[axis] - 1) * p.stride[axis] - (p.in[axis] - 1);
    constexpr int64_t kMostCorner = 127, kMostDistance = 8, kMostOffset = 255;
    if (std::max(std::abs(first), std::abs(last)) > kMostCorner || p.stride[axis] > kMostDistance ||
        (p.kernel[axis] - 1) * p.dilation[axis] > kMostOffset)
      return std::nullopt;
    map.first.push_back(static_cast<int>(first));
    map.last.push_back(static_cast<int>(last));
    map.distance.push_back(static_cast<uint32_t>(p.stride[axis]));
  }
  return map;
}

// [taps, depth of a tap, columns], or for b whose depth lies side by side [1, columns, depth].
std::optional<TensorMap> MapOfB(const Product& p, const BoundNode& node, bool windows,
                                bool depth_first, int columns) {
  const int64_t line = depth_first ? p.b_column : p.b_depth;
  if (!IsDistance(line) || p.depth == 0) return std::nullopt;
  const int64_t depth = windows ? p.channels : p.depth, lines = depth_first ? p.columns : depth;
  TensorMap map;
  map.input = 1;
  map.bfloat = node.inputs[1].dtype == DType::kBFloat16;
  map.dims = {static_cast<uint64_t>(depth_first ? depth : p.columns), static_cast<uint64_t>(lines),
              static_cast<uint64_t>(p.depth / depth)};
  map.strides = {static_cast<uint64_t>(line) * 2, static_cast<uint64_t>(line * lines) * 2};
  if (depth_first) {
    map.box = {kSliceDepth, static_cast<uint32_t>(columns), 1};
  } else {
    map.box = {static_cast<uint32_t>(std::min(columns, 64)), kSliceDepth, 1};
    map.swizzle = columns < 64 ? 64 : 128;
  }
  return map;
}

std::optional<Refusal> RefuseWgmma(const ir::Module& module, const ir::Node& node) {
  const DType a = module.value(node.inputs[0]).dtype, b = module.value(node.inputs[1]).dtype;
  if (!IsHalf(a) || a != b) return Refuse("factors of dtypes {} and {}", Name(a), Name(b));
  return RefuseProduct(module, node);
}
// Factors that are known to lie so that the copy engine does not take them.
std::optional<Refusal> RefuseLine(const ir::Dim& line, std::string_view what) {
  const std::optional<int64_t> known = line.constant();
  if (known && *known % 8 != 0) return Refuse("{} {}, no multiple of 8", *known, what);
  return std::nullopt;
}

constexpr int64_t kMultiprocessors = 132;

// otherwise: what computes products that the copy engine or the epilogue do not take.
Result<StepProgram> Multiply(const Product& p, const BoundNode& node, const Tile& tile,
                             Result<StepProgram> (*otherwise)(const BoundNode&)) {
  if (!FitsIn32Bits(p, node)) return otherwise(node);
  StepProgram step;
  if (p.rows == 0 || p.columns == 0) return step;
  // A kernel of one pixel that meets each pixel of the image once reads a matrix.
  const bool windows = p.source == 1 && (p.kernel != std::vector<int64_t>{1, 1, 1} ||
                                         p.stride != std::vector<int64_t>{1, 1, 1} ||
                                         p.pad != std::vector<int64_t>{0, 0, 0} || p.in != p.out);
  const bool depth_first = p.b_depth == 1 && p.b_column != 1;
  const int64_t tap = windows ? p.channels : p.depth;
  const int64_t slices = tap == 0 ? 0 : (tap + kSliceDepth - 1) / kSliceDepth * (p.depth / tap);
  const int64_t tiles = (p.rows + tile.m - 1) / tile.m * ((p.columns + tile.n - 1) / tile.n);
  constexpr int64_t kMostInCluster = 8;
  const int64_t splits =
      tile.split ? SplitsFor(tiles, slices * kSliceDepth / 2, kMostInCluster) : 1;
  const Parts parts = Split(slices, splits, 1);
  const bool split = parts.splits > 1;  // blocks send nothing where there is no cluster
  const std::optional<TensorMap> a = MapOfA(p, node, windows, tile.m);
  const std::optional<TensorMap> b = MapOfB(p, node, windows, depth_first, tile.n);
  if (!a || !b || !LiesInEights(node, 2)) return otherwise(node);
  GRAFT_ASSIGN_OR_RETURN(StepProgram unaligned, otherwise(node));
  step.unaligned = std::move(unaligned.launches);
  step.workspace_bytes = unaligned.workspace_bytes;
  Launch launch;
  launch.kernel.file = "wgmma.cu";
  launch.kernel.text = fmt::format(
      "#define SPLIT {:d}\n#define BM {}\n#define BN {}\n#define GROUPS {}\n#define STAGES {}\n"
      "#define MIN_BLOCKS {}\n#define WINDOWS {:d}\n#define B_DEPTH_FIRST {:d}\n"
      "#define B_CONSTANT {:d}\n#define BFLOAT {:d}\n{}{}",
      split, tile.m, tile.n, tile.groups, tile.stages, tile.blocks, windows, depth_first,
      node.inputs[1].constant != nullptr, node.inputs[0].dtype == DType::kBFloat16,
      ProductText(node), EachOperandText(node, 2, /*columns=*/!split));
  launch.entry = "wgmma";
  launch.block = tile.threads();
  launch.shared_bytes = tile.shared_bytes(split);
  // Blocks go from tile to tile, but for those that share one.
  launch.grid[0] = split ? tiles : std::min(tiles, kMultiprocessors * tile.blocks);
  launch.grid[2] = parts.splits;
  launch.cluster = static_cast<int>(parts.splits);
  launch.parameter.Map(*a).Map(*b);
  AddProduct(p, node, 0, parts, &launch.parameter);
  step.launches.push_back(std::move(launch));
  return step;
}

// Convolutions of stride 1 whose result is of the input's size: patch.cu. Others as `otherwise`.
Result<StepProgram> MultiplyPatches(const BoundNode& node, const Tile& tile,
                                    Result<StepProgram> (*otherwise)(const BoundNode&)) {
  const Product p = ProductOfConv(node);
  if (!FitsIn32Bits(p, node) || p.rows == 0 || p.columns == 0) return otherwise(node);
  // Positions along a line and lines of an image, with the zeros behind them.
  const auto padded = [&](int axis) {
    return p.in[axis] + std::max(p.pad[axis], p.kernel[axis] - 1 - p.pad[axis]);
  };
  const int64_t line = padded(2), images = node.inputs[0].dims[0];
  const int64_t positions = images * padded(1) * line;
  const int64_t lines = p.kernel[1] + 1 + (tile.m + p.kernel[2] - 3) / line;  // of a patch
  constexpr int64_t kMostInBox = 256, kMostPositions = int64_t{1} << 30;
  constexpr int64_t kMostShared = 227 << 10;
  const bool same = p.in == p.out && p.in[0] == 1 && p.stride == std::vector<int64_t>{1, 1, 1} &&
                    p.dilation == std::vector<int64_t>{1, 1, 1} && p.pad[0] == 0 &&
                    p.pad[1] < p.kernel[1] && p.pad[2] < p.kernel[2];
  // For operands that differ from row to row the kernel has too few registers.
  const bool columns = std::all_of(node.inputs.begin() + 2, node.inputs.end(), [&](const auto& v) {
    return CountElements(v.dims) <= p.columns;
  });
  if (!same || !columns || !IsDistance(p.a_row) || line > kMostInBox ||
      positions > kMostPositions || !LiesInEights(node, 2))
    return otherwise(node);
  const auto up = [](int64_t bytes) { return (bytes + 1023) / 1024 * 1024; };
  const int64_t tiles = (positions + tile.m - 1) / tile.m * ((p.columns + tile.n - 1) / tile.n);
  const int64_t shared = up(tile.n * kSliceDepth * 2 * tile.stages + 16 * (tile.stages + 1)) +
                         lines * line * kSliceDepth * 2;
  const std::optional<TensorMap> b = MapOfB(p, node, /*windows=*/true, false, tile.n);
  if (shared > kMostShared || !b) return otherwise(node);
  const auto row = static_cast<uint64_t>(p.a_row) * 2;
  const auto width = static_cast<uint64_t>(p.in[2]), height = static_cast<uint64_t>(p.in[1]);
  TensorMap a;
  a.input = 0;
  a.bfloat = node.inputs[0].dtype == DType::kBFloat16;
  a.dims = {static_cast<uint64_t>(p.channels), width, height, static_cast<uint64_t>(images)};
  a.strides = {row, row * width, row * width * height};
  a.box = {kSliceDepth, static_cast<uint32_t>(line), 1, 1};
  StepProgram step;
  GRAFT_ASSIGN_OR_RETURN(StepProgram unaligned, otherwise(node));
  step.unaligned =
      std::move(unaligned.unaligned.empty() ? unaligned.launches : unaligned.unaligned);
  step.workspace_bytes = unaligned.workspace_bytes;
  Launch launch;
  launch.kernel.file = "patch.cu";
  launch.kernel.text = fmt::format(
      "#define BM {}\n#define BN {}\n#define GROUPS {}\n#define STAGES {}\n#define MIN_BLOCKS {}\n"
      "#define B_CONSTANT {:d}\n#define BFLOAT {:d}\n{}{}",
      tile.m, tile.n, tile.groups, tile.stages, tile.blocks, node.inputs[1].constant != nullptr,
      a.bfloat, ProductText(node), EachOperandText(node, 2, /*columns=*/true));
  launch.entry = "patch";
  launch.block = tile.threads();
  launch.shared_bytes = static_cast<int>(shared);
  launch.grid[0] = std::min(tiles, kMultiprocessors * tile.blocks);
  launch.parameter.Map(a).Map(*b);
  AddProduct(p, node, 0, {}, &launch.parameter);
  step.launches.push_back(std::move(launch));
  return step;
}

}  // namespace

std::optional<Refusal> RefuseConvWgmma(const ir::Module& module, const ir::Node& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  if (a.strides.size() > 2) return Refuse("{} spatial dimensions", a.strides.size());
  if (!(a.groups == 1)) return Refuse("groups of channels");
  const ir::Shape& w = module.value(node.inputs[1]).shape;
  if (auto refusal = RefuseLine(w[w.size() - 2], "channels")) return refusal;
  if (auto refusal = RefuseLine(w[w.size() - 1], "columns")) return refusal;
  return RefuseWgmma(module, node);
}

std::optional<Refusal> RefuseConvPatch(const ir::Module& module, const ir::Node& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  if (a.strides.size() != 2) return Refuse("{} spatial dimensions", a.strides.size());
  const ir::Shape& w = module.value(node.inputs[1]).shape;
  int64_t taps = 1;
  for (int i = 0; i < 2; ++i) {
    if (a.strides[i] != 1 || a.dilations[i] != 1) return Refuse("a stride or a dilation");
    const std::optional<int64_t> kernel = w[i].constant();
    constexpr int64_t kMostKernel = 15;
    if (!kernel || *kernel < 1 || *kernel > kMostKernel)
      return Refuse("a kernel over {}", kMostKernel);
    taps *= *kernel;
  }
  if (taps == 1) return Refuse("windows of one pixel");
  return RefuseConvWgmma(module, node);
}

std::optional<Refusal> RefuseMatMulWgmma(const ir::Module& module, const ir::Node& node) {
  const auto& attributes = std::get<ir::MatMulAttributes>(node.attributes);
  if (attributes.transpose_a) return Refuse("a transposed left factor");
  const ir::Shape& a = module.value(node.inputs[0]).shape;
  const ir::Shape& b = module.value(node.inputs[1]).shape;
  // The left factor's batch is rows where the right one has none.
  if (b.size() > 2) return Refuse("a batch of right factors");
  if (auto refusal = RefuseLine(a.back(), "elements a row")) return refusal;
  if (auto refusal = RefuseLine(b.back(), "columns")) return refusal;
  return RefuseWgmma(module, node);
}

#define GRAFT_WGMMA(tile)                                                       \
  Result<StepProgram> PlanConvWgmma##tile(const BoundNode& node) {              \
    return Multiply(ProductOfConv(node), node, k##tile, PlanConvMma128x64);     \
  }                                                                             \
  Result<StepProgram> PlanMatMulWgmma##tile(const BoundNode& node) {            \
    return Multiply(ProductOfMatMul(node), node, k##tile, PlanMatMulMma128x64); \
  }
GRAFT_WGMMA(128x256)
GRAFT_WGMMA(256x128)
GRAFT_WGMMA(128x128)
GRAFT_WGMMA(128x64)
GRAFT_WGMMA(64x128)
GRAFT_WGMMA(64x64)
GRAFT_WGMMA(128x128Deep)
GRAFT_WGMMA(64x64Deep)
GRAFT_WGMMA(64x128Split)
GRAFT_WGMMA(64x64Split)
GRAFT_WGMMA(64x32Split)
#undef GRAFT_WGMMA

Result<StepProgram> PlanConvPatch256x64(const BoundNode& node) {
  return MultiplyPatches(node, kPatchTile, PlanConvWgmma128x64);
}

}  // namespace graft::cuda
