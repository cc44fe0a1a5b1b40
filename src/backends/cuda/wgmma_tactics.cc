// Convolutions and matrix products of 16-bit floats and of 8-bit integers by wgmma, on cards
// of 9.0: wgmma.cu, and patch.cu for windows of floats that overlap.
#include "backends/cuda/product.h"
#include "base/half.h"

namespace graft::cuda {
namespace {

constexpr int64_t kSliceBytes = 128;

// A block's tile, the groups of four warps that compute it, the slices under way, and the blocks
// that a multiprocessor is to hold.
struct Tile {
  int m, n, groups, stages, blocks;
  bool split = false;  // the blocks of a cluster share a tile where there are too few

  // One more warp copies; where registers are traded (wgmma.cu), it comes with three idle ones.
  int threads() const { return groups * 128 + (groups == 2 && blocks == 1 ? 128 : 32); }
  // Of shared memory: the slices, the sums that are sent, a warp's results that go through it, and
  // the barriers. staged: columns of those results.
  int shared_bytes(bool split, int staged, int64_t slice_bytes) const {
    const int slices = (m + n) * static_cast<int>(slice_bytes) * stages;
    const int results = groups * 4 * 16 * staged * 2;
    return slices + (split ? (m + 8) * (n + 8) * 4 : 0) + results + 16 * stages + 8;
  }
};
constexpr Tile k128x256 = {128, 256, 2, 4, 1};
constexpr Tile k256x128 = {256, 128, 2, 4, 1};
constexpr Tile k128x128 = {128, 128, 2, 3, 2};
constexpr Tile k128x64 = {128, 64, 2, 4, 2};
constexpr Tile k256x32 = {256, 32, 2, 3, 2};
constexpr Tile k64x128 = {64, 128, 1, 3, 3};
constexpr Tile k64x64 = {64, 64, 1, 3, 4};
constexpr Tile k128x128Deep = {128, 128, 2, 5, 1};
constexpr Tile k64x64Deep = {64, 64, 1, 6, 2};
constexpr Tile k64x128Split = {64, 128, 1, 3, 2, true};
constexpr Tile k64x64Split = {64, 64, 1, 5, 2, true};
constexpr Tile k64x32Split = {64, 32, 1, 8, 2, true};

// Of patch.cu.
constexpr Tile kPatchTile = {256, 64, 2, 4, 2};

// What the copy engine wants of distances, in elements of `size` bytes: multiples of 16 bytes,
// below 2^40.
bool IsDistance(int64_t elements, int64_t size) {
  return elements * size % 16 == 0 && elements > 0 && elements < int64_t{1} << 38;
}

// Rows of a matrix, or windows of an image; nothing where the copy engine does not take them.
std::optional<TensorMap> MapOfA(const Product& p, const BoundNode& node, bool windows, int rows,
                                int64_t slice) {
  const auto size = static_cast<int64_t>(SizeOf(node.inputs[0].dtype));
  if (!IsDistance(p.a_row, size) || p.depth == 0) return std::nullopt;
  const auto row = static_cast<uint64_t>(p.a_row * size);
  TensorMap map;
  map.input = 0;
  map.dtype = node.inputs[0].dtype;
  map.box = {static_cast<uint32_t>(slice / size), static_cast<uint32_t>(rows)};
  map.swizzle = static_cast<int>(slice);
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

// [taps, depth of a tap, columns], or for b whose depth lies side by side [taps, columns, depth of
// a tap].
std::optional<TensorMap> MapOfB(const Product& p, const BoundNode& node, bool windows,
                                bool depth_first, int columns, int64_t slice) {
  const int64_t line = depth_first ? p.b_column : p.b_depth;
  const auto size = static_cast<int64_t>(SizeOf(node.inputs[1].dtype));
  if (!IsDistance(line, size) || p.depth == 0) return std::nullopt;
  const int64_t depth = windows ? p.channels : p.depth, lines = depth_first ? p.columns : depth;
  TensorMap map;
  map.input = 1;
  map.dtype = node.inputs[1].dtype;
  map.dims = {static_cast<uint64_t>(depth_first ? depth : p.columns), static_cast<uint64_t>(lines),
              static_cast<uint64_t>(p.depth / depth)};
  const int64_t tap = depth_first && windows ? p.b_tap : line * lines;
  map.strides = {static_cast<uint64_t>(line * size), static_cast<uint64_t>(tap * size)};
  if (depth_first) {
    map.box = {static_cast<uint32_t>(slice / size), static_cast<uint32_t>(columns), 1};
    map.swizzle = static_cast<int>(slice);
  } else {
    map.box = {static_cast<uint32_t>(std::min(columns, 64)), static_cast<uint32_t>(slice / size),
               1};
    map.swizzle = columns < 64 ? 64 : 128;
  }
  return map;
}

std::optional<Refusal> RefuseWgmma(const ir::Module& module, const ir::Node& node) {
  const DType a = module.value(node.inputs[0]).dtype, b = module.value(node.inputs[1]).dtype;
  if (!IsHalf(a) || a != b) return Refuse("factors of dtypes {} and {}", Name(a), Name(b));
  return RefuseProduct(module, node);
}
std::optional<Refusal> RefuseIntegers(const ir::Module& module, const ir::Node& node) {
  for (const int i : {0, 1}) {
    const DType dtype = module.value(node.inputs[i]).dtype;
    if (dtype != DType::kInt8) return Refuse("a factor of dtype {}", Name(dtype));
  }
  if (auto refusal = RefusePackedColumns(module, node)) return refusal;
  return RefuseProduct(module, node);
}
// Factors that are known to lie so that the copy engine does not take them.
std::optional<Refusal> RefuseLine(const ir::Dim& line, std::string_view what, int64_t unit) {
  const std::optional<int64_t> known = line.constant();
  if (known && *known % unit != 0) return Refuse("{} {}, no multiple of {}", *known, what, unit);
  return std::nullopt;
}

constexpr int64_t kMultiprocessors = 132;

// otherwise: what computes products that the copy engine or the epilogue do not take.
Result<StepProgram> Multiply(const Product& p, const BoundNode& node, Tile tile,
                             PlanFunction* otherwise) {
  if (!FitsIn32Bits(p, node)) return otherwise(node);
  StepProgram step;
  if (p.rows == 0 || p.columns == 0) return step;
  // A kernel of one pixel that meets each pixel of the image once reads a matrix.
  const bool windows = p.source == 1 && (p.kernel != std::vector<int64_t>{1, 1, 1} ||
                                         p.stride != std::vector<int64_t>{1, 1, 1} ||
                                         p.pad != std::vector<int64_t>{0, 0, 0} || p.in != p.out);
  const bool depth_first = p.b_depth == 1 && p.b_column != 1;
  const int64_t tap = windows ? p.channels : p.depth;
  const auto size = static_cast<int64_t>(SizeOf(node.inputs[0].dtype));
  // Of integers, no half of a slice is to be padding.
  const bool half = size == 1 && tap * size % kSliceBytes > 0 && tap * size % kSliceBytes <= 64;
  const int64_t slice_bytes = half ? kSliceBytes / 2 : kSliceBytes;
  if (half) tile.stages *= 2;
  const int64_t slice = slice_bytes / size;
  const int64_t slices = tap == 0 ? 0 : (tap + slice - 1) / slice * (p.depth / tap);
  const int64_t tiles = (p.rows + tile.m - 1) / tile.m * ((p.columns + tile.n - 1) / tile.n);
  constexpr int64_t kMostInCluster = 8;
  const int64_t splits =
      tile.split ? SplitsFor(tiles, slices * slice_bytes / 4, kMostInCluster) : 1;
  const Parts parts = Split(slices, splits, 1);
  const bool split = parts.splits > 1;  // blocks send nothing where there is no cluster
  // For operands that differ from row to row, and for several, some tiles have too few registers.
  const bool scarce =
      tile.n > 64 && tile.blocks > 1 && (!RowsAreAlike(node, 2) || node.inputs.size() > 3);
  // Columns of results that go through shared memory at a time.
  int staged = std::min(tile.n, 64);
  // A multiprocessor's shared memory, of which each block takes some more for itself.
  constexpr int kShared = 228 << 10, kOfBlock = 1 << 10;
  if (split || scarce || SizeOf(node.outputs[0].dtype) != 2 || !TakesStaged(node, 2) ||
      (tile.shared_bytes(split, staged, slice_bytes) + kOfBlock) * tile.blocks > kShared)
    staged = 0;
  const std::optional<TensorMap> a = MapOfA(p, node, windows, tile.m, slice_bytes);
  const std::optional<TensorMap> b = MapOfB(p, node, windows, depth_first, tile.n, slice_bytes);
  if (!a || !b || !LiesInEights(node, 2)) return otherwise(node);
  step.unaligned = otherwise;
  Launch launch;
  launch.kernel.file = "wgmma.cu";
  launch.kernel.text = fmt::format(
      "#define SPLIT {:d}\n#define BM {}\n#define BN {}\n#define GROUPS {}\n#define STAGES {}\n"
      "#define MIN_BLOCKS {}\n#define WINDOWS {:d}\n#define B_DEPTH_FIRST {:d}\n"
      "#define B_CONSTANT {:d}\n#define BFLOAT {:d}\n#define INTEGERS {:d}\n"
      "#define ROW_BYTES {}\n#define STAGED {}\n{}{}",
      split, tile.m, tile.n, tile.groups, tile.stages, tile.blocks, windows, depth_first,
      p.b_packed || node.inputs[1].constant != nullptr, node.inputs[0].dtype == DType::kBFloat16,
      size == 1, slice_bytes, staged, ProductText(node),
      EachOperandText(node, 2, /*columns=*/!split));
  launch.entry = "wgmma";
  launch.block = tile.threads();
  launch.shared_bytes = tile.shared_bytes(split, staged, slice_bytes);
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
                                    PlanFunction* otherwise) {
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
  constexpr int64_t kMostShared = 227 << 10, kSize = 2;  // bytes: an element's
  const bool same = p.in == p.out && p.in[0] == 1 && p.stride == std::vector<int64_t>{1, 1, 1} &&
                    p.dilation == std::vector<int64_t>{1, 1, 1} && p.pad[0] == 0 &&
                    p.pad[1] < p.kernel[1] && p.pad[2] < p.kernel[2];
  // For operands that differ from row to row the kernel has too few registers.
  const bool columns = std::all_of(node.inputs.begin() + 2, node.inputs.end(), [&](const auto& v) {
    return CountElements(v.dims) <= p.columns;
  });
  if (!same || !columns || !IsDistance(p.a_row, kSize) || line > kMostInBox ||
      positions > kMostPositions || !LiesInEights(node, 2))
    return otherwise(node);
  const auto up = [](int64_t bytes) { return (bytes + 1023) / 1024 * 1024; };
  const int64_t tiles = (positions + tile.m - 1) / tile.m * ((p.columns + tile.n - 1) / tile.n);
  const int staged = StagedColumns(node, 2);
  const int64_t results = int64_t{tile.groups} * 4 * 16 * staged * kSize;
  const int64_t shared = up(tile.n * kSliceBytes * tile.stages + results + 16 * (tile.stages + 1)) +
                         lines * line * kSliceBytes;
  const std::optional<TensorMap> b = MapOfB(p, node, /*windows=*/true, false, tile.n, kSliceBytes);
  if (shared > kMostShared || !b) return otherwise(node);
  const auto row = static_cast<uint64_t>(p.a_row * kSize);
  const auto width = static_cast<uint64_t>(p.in[2]), height = static_cast<uint64_t>(p.in[1]);
  TensorMap a;
  a.input = 0;
  a.dtype = node.inputs[0].dtype;
  a.dims = {static_cast<uint64_t>(p.channels), width, height, static_cast<uint64_t>(images)};
  a.strides = {row, row * width, row * width * height};
  a.box = {kSliceBytes / kSize, static_cast<uint32_t>(line), 1, 1};
  StepProgram step;
  step.unaligned = PlanConvMma128x64;
  Launch launch;
  launch.kernel.file = "patch.cu";
  launch.kernel.text = fmt::format(
      "#define BM {}\n#define BN {}\n#define GROUPS {}\n#define STAGES {}\n#define MIN_BLOCKS {}\n"
      "#define B_CONSTANT {:d}\n#define BFLOAT {:d}\n#define STAGED {}\n{}{}",
      tile.m, tile.n, tile.groups, tile.stages, tile.blocks, node.inputs[1].constant != nullptr,
      a.dtype == DType::kBFloat16, staged, ProductText(node),
      EachOperandText(node, 2, /*columns=*/true));
  launch.entry = "patch";
  launch.block = tile.threads();
  launch.shared_bytes = static_cast<int>(shared);
  launch.grid[0] = std::min(tiles, kMultiprocessors * tile.blocks);
  launch.parameter.Map(a).Map(*b);
  AddProduct(p, node, 0, {}, &launch.parameter);
  step.launches.push_back(std::move(launch));
  return step;
}

Product PackedConv(const BoundNode& node) { return WithPackedColumns(ProductOfConv(node)); }
Product PackedMatMul(const BoundNode& node) { return WithPackedColumns(ProductOfMatMul(node)); }
Result<StepProgram> PlanPackedConv(const BoundNode& node) {
  return MultiplySimply(PackedConv(node), node, false);
}
Result<StepProgram> PlanPackedMatMul(const BoundNode& node) {
  return MultiplySimply(PackedMatMul(node), node, false);
}

// unit: of what the channels are to be a multiple.
std::optional<Refusal> RefuseConv(const ir::Module& module, const ir::Node& node, int64_t unit) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  if (a.strides.size() > 2) return Refuse("{} spatial dimensions", a.strides.size());
  if (!(a.groups == 1)) return Refuse("groups of channels");
  const ir::Shape& w = module.value(node.inputs[1]).shape;
  if (auto refusal = RefuseLine(w[w.size() - 2], "channels", unit)) return refusal;
  return RefuseLine(w[w.size() - 1], "columns", 8);
}

std::optional<Refusal> RefuseMatMul(const ir::Module& module, const ir::Node& node, int64_t unit) {
  const auto& attributes = std::get<ir::MatMulAttributes>(node.attributes);
  if (attributes.transpose_a) return Refuse("a transposed left factor");
  const ir::Shape& a = module.value(node.inputs[0]).shape;
  const ir::Shape& b = module.value(node.inputs[1]).shape;
  // The left factor's batch is rows where the right one has none.
  if (b.size() > 2) return Refuse("a batch of right factors");
  if (auto refusal = RefuseLine(a.back(), "elements a row", unit)) return refusal;
  return RefuseLine(b[attributes.transpose_b ? 0 : 1], "columns", 8);
}

// Of halves and of bytes, what 16 bytes hold.
constexpr int64_t kHalves = 8, kBytes = 16;

}  // namespace

std::optional<Refusal> RefuseConvWgmma(const ir::Module& module, const ir::Node& node) {
  if (auto refusal = RefuseConv(module, node, kHalves)) return refusal;
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
  if (auto refusal = RefuseMatMul(module, node, kHalves)) return refusal;
  return RefuseWgmma(module, node);
}
std::optional<Refusal> RefuseConvWgmmaIntegers(const ir::Module& module, const ir::Node& node) {
  if (auto refusal = RefuseConv(module, node, kBytes)) return refusal;
  return RefuseIntegers(module, node);
}
std::optional<Refusal> RefuseMatMulWgmmaIntegers(const ir::Module& module, const ir::Node& node) {
  if (auto refusal = RefuseMatMul(module, node, kBytes)) return refusal;
  return RefuseIntegers(module, node);
}

#define GRAFT_WGMMA(tile)                                                       \
  Result<StepProgram> PlanConvWgmma##tile(const BoundNode& node) {              \
    return Multiply(ProductOfConv(node), node, k##tile, PlanConvMma128x64);     \
  }                                                                             \
  Result<StepProgram> PlanMatMulWgmma##tile(const BoundNode& node) {            \
    return Multiply(ProductOfMatMul(node), node, k##tile, PlanMatMulMma128x64); \
  }
#define GRAFT_WGMMA_BOTH(tile)                                               \
  GRAFT_WGMMA(tile)                                                          \
  Result<StepProgram> PlanConvWgmmaIntegers##tile(const BoundNode& node) {   \
    return Multiply(PackedConv(node), node, k##tile, PlanPackedConv);        \
  }                                                                          \
  Result<StepProgram> PlanMatMulWgmmaIntegers##tile(const BoundNode& node) { \
    return Multiply(PackedMatMul(node), node, k##tile, PlanPackedMatMul);    \
  }
GRAFT_WGMMA_BOTH(128x256)
GRAFT_WGMMA_BOTH(256x128)
GRAFT_WGMMA_BOTH(128x128)
GRAFT_WGMMA_BOTH(128x64)
GRAFT_WGMMA_BOTH(64x128)
GRAFT_WGMMA_BOTH(64x64)
GRAFT_WGMMA(256x32)
GRAFT_WGMMA(128x128Deep)
GRAFT_WGMMA(64x64Deep)
GRAFT_WGMMA_BOTH(64x128Split)
GRAFT_WGMMA_BOTH(64x64Split)
GRAFT_WGMMA_BOTH(64x32Split)
#undef GRAFT_WGMMA_BOTH
#undef GRAFT_WGMMA

Result<StepProgram> PlanConvPatch256x64(const BoundNode& node) {
  return MultiplyPatches(node, kPatchTile, PlanConvWgmma128x64);
}

}  // namespace graft::cuda
