// Convolutions and matrix products of 16-bit floats on the tensor cores: mma.cu.
#include <numeric>

#include "backends/cuda/product.h"
#include "base/half.h"

namespace graft::cuda {
namespace {

// A block's tile, a warp's part of it, the depth of a slice and how many slices are under way.
struct Tile {
  int m, n, warp_m, warp_n, depth, stages;
  bool split;  // blocks share a tile where there are too few

  int threads() const { return m / warp_m * (n / warp_n) * 32; }
  // Of shared memory: the slices, and then the sums in their place.
  int shared_bytes() const { return std::max((m + n) * depth * 2 * stages, m * (n + 8) * 4); }
};
constexpr Tile k128x128 = {128, 128, 64, 32, 64, 3, false};
constexpr Tile k128x128Wide = {128, 128, 64, 64, 32, 4, false};
constexpr Tile k128x64 = {128, 64, 64, 32, 64, 3, false};
constexpr Tile k128x32 = {128, 32, 32, 32, 32, 4, false};
constexpr Tile k64x64 = {64, 64, 32, 32, 64, 3, false};
constexpr Tile k64x64Split = {64, 64, 32, 32, 64, 6, true};
constexpr Tile k64x32Split = {64, 32, 32, 16, 64, 6, true};
constexpr Tile k16x64Split = {16, 64, 16, 16, 64, 8, true};

// How many neighbours may be copied at once where all of these are distances between them.
int WidthOf(std::initializer_list<int64_t> distances, std::span<const int64_t> batch) {
  int64_t width = 8;
  for (const int64_t d : distances) width = std::gcd(width, d);
  for (const int64_t d : batch) width = std::gcd(width, d);
  return static_cast<int>(width);
}

std::optional<Refusal> RefuseMma(const ir::Module& module, const ir::Node& node) {
  const DType a = module.value(node.inputs[0]).dtype, b = module.value(node.inputs[1]).dtype;
  if (!IsHalf(a) || a != b) return Refuse("factors of dtypes {} and {}", Name(a), Name(b));
  return RefuseProduct(module, node);
}

Result<StepProgram> Multiply(const Product& p, const BoundNode& node, const Tile& tile) {
  StepProgram step;
  const int64_t batches = CountElements(p.batch_dims);
  if (p.rows == 0 || p.columns == 0 || batches == 0) return step;
  const int64_t tiles = (p.rows + tile.m - 1) / tile.m * ((p.columns + tile.n - 1) / tile.n);
  constexpr int64_t kMostInCluster = 8;
  const int64_t splits = tile.split ? SplitsFor(tiles * batches, p.depth / 2, kMostInCluster) : 1;
  Parts parts = Split(p.depth, splits, tile.depth);
  if (tile.split) {
    parts.workspace =
        step.Reserve(static_cast<size_t>(parts.splits * batches * p.rows * p.columns * 4));
  }
  const bool conv = p.source == 1;
  const bool depth_first = p.b_depth == 1 && p.b_column != 1;
  // A few channels are not worth a copy each: what a line of the kernel reads is one run.
  const bool lines = conv && p.channels % 8 != 0 && p.dilation[2] == 1 && p.a_row == p.channels;
  const int a_width = lines  ? WidthOf({p.in[2] * p.channels, p.stride[2] * p.channels,
                                        p.pad[2] * p.channels, p.kernel[2] * p.channels},
                                       p.a_batch)
                      : conv ? WidthOf({p.channels, p.a_row}, p.a_batch)
                             : WidthOf({p.a_row}, p.a_batch);
  const int b_width = WidthOf({depth_first ? p.b_column : p.b_depth}, p.b_batch);
  const bool fours = p.columns % 8 == 4;
  const int64_t most = kMostBatches / parts.splits;
  for (int64_t first = 0; first < batches; first += most) {
    Launch launch;
    launch.kernel.file = "mma.cu";
    launch.kernel.text = fmt::format(
        "#define SPLIT {:d}\n#define SOURCE {}\n#define BATCHED {:d}\n#define BM {}\n#define BN "
        "{}\n#define WM {}\n"
        "#define WN {}\n#define BK {}\n#define STAGES {}\n#define A_WIDTH {}\n#define A_LINES "
        "{:d}\n#define B_WIDTH {}\n"
        "#define B_DEPTH_FIRST {:d}\n#define B_CONSTANT {:d}\n#define BFLOAT {:d}\n#define VECTOR "
        "{}\n{}{}",
        tile.split, p.source, batches > 1, tile.m, tile.n, tile.warp_m, tile.warp_n, tile.depth,
        tile.stages, a_width, lines, b_width, depth_first, node.inputs[1].constant != nullptr,
        node.inputs[0].dtype == DType::kBFloat16, fours ? 4 : 8, ProductText(node),
        EachOperandText(node, 2));
    launch.entry = "mma";
    launch.block = tile.threads();
    launch.shared_bytes = tile.shared_bytes();
    launch.grid[0] = tiles;
    launch.grid[2] = std::min(batches - first, most) * parts.splits;
    if (tile.split) launch.cluster = static_cast<int>(parts.splits);
    AddProduct(p, node, first, parts, &launch.parameter);
    step.launches.push_back(std::move(launch));
  }
  if (tile.split) {
    Launch combine = step.launches.front();
    combine.entry = "gemm_combine";
    combine.grid[0] = BlocksFor(batches * p.rows * p.columns);
    combine.grid[2] = 1;
    combine.block = 256;
    combine.shared_bytes = 0;
    combine.cluster = 1;
    combine.without_clusters = true;
    step.launches.push_back(std::move(combine));
  }
  return step;
}

}  // namespace

std::optional<Refusal> RefuseConvMma(const ir::Module& module, const ir::Node& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  if (a.strides.size() > 2) return Refuse("{} spatial dimensions", a.strides.size());
  const ir::Shape& w = module.value(node.inputs[1]).shape;
  if (w[w.size() - 2] == 1 && !(a.groups == 1)) return Refuse("channels that stay apart");
  return RefuseMma(module, node);
}

std::optional<Refusal> RefuseMatMulMma(const ir::Module& module, const ir::Node& node) {
  if (std::get<ir::MatMulAttributes>(node.attributes).transpose_a)
    return Refuse("a transposed left factor");
  return RefuseMma(module, node);
}

#define GRAFT_MMA(tile)                                                           \
  Result<StepProgram> PlanConvMma##tile(const BoundNode& node) {                  \
    const Product p = ProductOfConv(node);                                        \
    return FitsIn32Bits(p, node) ? Multiply(p, node, k##tile) : PlanConv(node);   \
  }                                                                               \
  Result<StepProgram> PlanMatMulMma##tile(const BoundNode& node) {                \
    const Product p = ProductOfMatMul(node);                                      \
    return FitsIn32Bits(p, node) ? Multiply(p, node, k##tile) : PlanMatMul(node); \
  }
GRAFT_MMA(128x128)
GRAFT_MMA(128x128Wide)
GRAFT_MMA(128x64)
GRAFT_MMA(128x32)
GRAFT_MMA(64x64)
GRAFT_MMA(64x64Split)
GRAFT_MMA(64x32Split)
GRAFT_MMA(16x64Split)
#undef GRAFT_MMA

}  // namespace graft::cuda
