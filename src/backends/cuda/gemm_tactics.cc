// Convolutions and matrix products on the ordinary arithmetic units: gemm.cu, and windows.cu where
// channels stay apart.
#include <algorithm>
#include <numeric>

#include "backends/cuda/product.h"
#include "base/half.h"

namespace graft::cuda {
namespace {

// Tiles: the largest whose blocks still fill a card.
struct Tile {
  int m, n, tm, tn;
};
Tile TileOf(const Product& p, int64_t batches, DType dtype) {
  if (p.rows <= 16) return {16, 64, 1, 4};
  const int64_t large = (p.rows + 127) / 128 * ((p.columns + 127) / 128) * batches;
  if (large >= 128 && SizeOf(dtype) <= 4) return {128, 128, 8, 8};
  return {64, 64, 4, 4};
}

}  // namespace

StepProgram MultiplySimply(const Product& p, const BoundNode& node, bool split) {
  StepProgram step;
  const DType sums = SumsOf(node);
  const int64_t batches = CountElements(p.batch_dims);
  if (p.rows == 0 || p.columns == 0 || batches == 0) return step;
  const Tile tile = TileOf(p, batches, sums);
  const int64_t tiles = (p.rows + tile.m - 1) / tile.m * ((p.columns + tile.n - 1) / tile.n);
  constexpr int64_t kDepthStep = 16;  // BK of gemm.cu
  Parts parts = Split(p.depth, split ? SplitsFor(tiles * batches, p.depth, 32) : 1, kDepthStep);
  split = parts.splits > 1;
  const int64_t parts_bytes = split ? parts.splits * batches * p.rows * p.columns * 8 : 0;
  parts.workspace = step.Reserve(static_cast<size_t>(parts_bytes));
  const int64_t most = kMostBatches / parts.splits;
  for (int64_t first = 0; first < batches; first += most) {
    Launch launch;
    launch.kernel.file = "gemm.cu";
    launch.kernel.text = fmt::format(
        "#define SPLIT {:d}\n#define SOURCE {}\n#define BM {}\n#define BN {}\n#define TM "
        "{}\n#define TN {}\n#define B_DEPTH_FIRST {}\n{}",
        split, p.source, tile.m, tile.n, tile.tm, tile.tn, p.b_depth == 1 ? 1 : 0,
        ProductText(node));
    launch.entry = "gemm";
    launch.grid[0] = (p.rows + tile.m - 1) / tile.m;
    launch.grid[1] = (p.columns + tile.n - 1) / tile.n;
    launch.grid[2] = std::min(batches - first, most) * parts.splits;
    AddProduct(p, node, first, parts, &launch.parameter);
    step.launches.push_back(std::move(launch));
  }
  if (split) {
    Launch combine = step.launches.front();
    combine.entry = "gemm_combine";
    combine.grid[0] = BlocksFor(batches * p.rows * p.columns);
    combine.grid[1] = combine.grid[2] = 1;
    step.launches.push_back(std::move(combine));
  }
  return step;
}

Result<StepProgram> PlanConv(const BoundNode& node) {
  return MultiplySimply(ProductOfConv(node), node, false);
}
Result<StepProgram> PlanConvSplit(const BoundNode& node) {
  return MultiplySimply(ProductOfConv(node), node, true);
}

Result<StepProgram> PlanConvTranspose(const BoundNode& node) {
  return MultiplySimply(ProductOfConvTranspose(node), node, false);
}
Result<StepProgram> PlanConvTransposeSplit(const BoundNode& node) {
  return MultiplySimply(ProductOfConvTranspose(node), node, true);
}

Result<StepProgram> PlanMatMul(const BoundNode& node) {
  return MultiplySimply(ProductOfMatMul(node), node, false);
}
Result<StepProgram> PlanMatMulSplit(const BoundNode& node) {
  return MultiplySimply(ProductOfMatMul(node), node, true);
}

namespace {

// The loop of windows.cu. kind: KIND; for convolutions `w` is its filter.
StepProgram SlideWindows(const BoundNode& node, int kind, std::string_view accumulator,
                         const BoundValue* w, int64_t multiplier, std::span<const int64_t> window,
                         std::span<const int64_t> strides, std::span<const int64_t> dilations,
                         std::span<const int64_t> pads, bool count_padding, size_t operands,
                         const PointwiseProgram& epilogue) {
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  const DType sums = SumsOf(node);
  StepProgram step;
  const int64_t count = CountElements(y.dims);
  if (count == 0) return step;
  Launch launch;
  launch.kernel.file = "windows.cu";
  launch.kernel.text = fmt::format(
      "{}#define KIND {}\n#define IN_DEPTH {:d}\ntypedef {} T;\ntypedef {} "
      "Weight;\ntypedef {} Sum;\ntypedef {} Acc;\n{}",
      IndexText(count), kind, window.size() == 3, TypeOf(x.dtype), TypeOf(w ? w->dtype : x.dtype),
      TypeOf(sums), accumulator, EpilogueText(node, operands, sums, epilogue));
  launch.entry = "windows";
  launch.grid[0] = BlocksFor(count);
  Parameter& p = launch.parameter;
  p.Input(0);
  if (w) {
    p.Input(1);
  } else {
    p.Null();
  }
  p.Output(0).Int(count / y.dims.back()).Int(y.dims.back()).Int(multiplier);
  p.Int(x.row_stride).Int(y.row_stride);
  p.Ints(ImageOf(x.dims), 3).Ints(ImageOf(y.dims), 3).Ints(AsThree(window, 1), 3);
  p.Ints(AsThree(strides, 1), 3).Ints(AsThree(dilations, 1), 3).Ints(AsThree(pads, 0), 3);
  p.Int(count_padding).Ints(EpilogueDims(node), kEpilogueRank).Error();
  AddEpilogueOperands(node, operands, &p);
  step.launches.push_back(std::move(launch));
  return step;
}

// The loop of slide.cu: up to eight channels a thread, of so many neighbouring pixels in so many
// rows.
struct Strip {
  int pixels = 1, rows = 1;
  int threads = 256, blocks = 1;  // of a block, and blocks that a multiprocessor is to hold
};
// How many channels a thread takes: as many as lie at multiples of so many.
int64_t ChannelsAThread(const BoundNode& node) {
  const int64_t apart = std::gcd(node.inputs[0].row_stride, node.outputs[0].dims.back());
  size_t least = SizeOf(node.outputs[0].dtype);
  for (size_t i = 0; i < node.inputs.size(); ++i)
    least = std::min(least, SizeOf(node.inputs[i].dtype));
  for (const int64_t channels : {8, 4, 2}) {
    // Kernels move words of four bytes at least.
    if (apart % channels == 0 && channels * static_cast<int64_t>(least) >= 4) return channels;
  }
  return 8;
}

constexpr int64_t kMostTaps = 7;  // along the width, unrolled
StepProgram SlideVectors(const BoundNode& node, int kind, const BoundValue* w, Strip strip,
                         std::span<const int64_t> window, std::span<const int64_t> strides,
                         std::span<const int64_t> dilations, std::span<const int64_t> pads,
                         bool count_padding, size_t operands, const PointwiseProgram& epilogue) {
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  StepProgram step;
  if (CountElements(y.dims) == 0) return step;
  const std::vector<int64_t> in = ImageOf(x.dims), out = ImageOf(y.dims);
  const std::vector<int64_t> k = AsThree(window, 1), s = AsThree(strides, 1);
  const std::vector<int64_t> d = AsThree(dilations, 1), pad = AsThree(pads, 0);
  const DType sums = SumsOf(node);
  const int64_t channels = y.dims.back(), vector = ChannelsAThread(node);
  const int64_t threads = y.dims[0] * ((out[1] + strip.rows - 1) / strip.rows) *
                          ((out[2] + strip.pixels - 1) / strip.pixels) *
                          ((channels + vector - 1) / vector);
  int64_t lines = 0;
  if (w && strip.pixels == 1 && strip.rows == 1 && threads < kFullCard) {
    constexpr int64_t kMostWords = 120;  // registers
    const auto bytes = static_cast<int64_t>(SizeOf(x.dtype) + SizeOf(w->dtype));
    lines = std::clamp<int64_t>(kMostWords * 4 / (k[2] * vector * bytes), 1, k[1]);
  }
  Launch launch;
  launch.kernel.file = "slide.cu";
  launch.kernel.text = fmt::format(
      "#define KIND {}\n#define KH {}\n#define KW {}\n#define SH {}\n#define SW {}\n#define DW {}\n"
      "#define VECTOR {}\n#define STRIP {}\n#define ROWS {}\n#define LINES {}\n#define THREADS "
      "{}\n#define MIN_BLOCKS {}\ntypedef {} T;\ntypedef {} Weight;\ntypedef {} Sum;\n{}{}{}",
      kind, k[1], k[2], s[1], s[2], d[2], vector, strip.pixels, strip.rows, lines, strip.threads,
      strip.blocks, TypeOf(x.dtype), TypeOf(w ? w->dtype : x.dtype), TypeOf(sums),
      EpilogueText(node, operands, sums, epilogue), EachOperandText(node, operands),
      IndexText(threads));
  launch.entry = "slide";
  SpreadOver(threads, &launch);
  if (strip.rows > 1) {  // they need many registers
    launch.block = strip.threads;
    launch.grid[0] = std::min((threads + launch.block - 1) / launch.block, int64_t{1} << 24);
  }
  Parameter& p = launch.parameter;
  p.Input(0);
  if (w) {
    p.Input(1);
  } else {
    p.Null();
  }
  p.Output(0).Int(y.dims[0]).Int(channels).Int(x.row_stride).Int(y.row_stride);
  p.Int(in[1]).Int(in[2]).Int(out[1]).Int(out[2]);
  p.Int(d[1]).Int(pad[1]).Int(pad[2]).Int(count_padding);
  p.Ints(EpilogueDims(node), kEpilogueRank).Error();
  AddEpilogueOperands(node, operands, &p);
  step.launches.push_back(std::move(launch));
  return step;
}

// Why slide.cu does not take a window of these sizes.
std::optional<Refusal> RefuseSlide(std::span<const int64_t> window, DType x, DType sums) {
  if (window.size() > 2) return Refuse("{} spatial dimensions", window.size());
  if (window.back() > kMostTaps) return Refuse("a window of width {}", window.back());
  if (x == DType::kInt8 && (sums == DType::kInt32 || sums == DType::kInt8)) {
    // The kernel's sums are floats, which hold those of so many products.
    const int64_t taps = window.front() * (window.size() > 1 ? window[1] : 1);
    if (taps * 128 * 128 >= int64_t{1} << 24) return Refuse("a window of {} pixels", taps);
    return std::nullopt;
  }
  if (!(IsHalf(x) || x == DType::kFloat32) || !(IsHalf(sums) || sums == DType::kFloat32))
    return Refuse("sums in {} of {}", Name(sums), Name(x));
  return std::nullopt;
}

Result<StepProgram> DepthwiseVectors(const BoundNode& node, Strip strip) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  const BoundValue& w = node.inputs[1];
  return SlideVectors(node, 0, &w, strip, std::span(w.dims).first(w.dims.size() - 2), a.strides,
                      a.dilations, Known(a.pads_before), false, 2, a.epilogue);
}

}  // namespace

std::optional<Refusal> RefuseDepthwiseVector(const ir::Module& module, const ir::Node& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  const ir::Shape& w = module.value(node.inputs[1]).shape;
  if (!(a.groups == w.back())) return Refuse("several results of a channel");
  std::vector<int64_t> window;
  for (size_t i = 0; i + 2 < w.size(); ++i) {
    if (!w[i].is_constant()) return Refuse("a window of unknown size");
    window.push_back(*w[i].constant());
  }
  const DType x = module.value(node.inputs[0]).dtype;
  if (auto refusal = RefuseSlide(window, x, ir::AccumulatorOf(a, x))) return refusal;
  const int64_t reach = 3 * a.strides.back() + (window.back() - 1) * a.dilations.back();
  if (reach > 24) return Refuse("windows that reach {} pixels", reach);
  const DType weights = module.value(node.inputs[1]).dtype;
  const bool integers = x == DType::kInt8 && ir::AccumulatorOf(a, x) == DType::kInt32;
  if (x == DType::kInt8 && !integers) return Refuse("sums that wrap around");
  if (integers ? weights != DType::kInt8 : !IsFloating(weights))
    return Refuse("weights of dtype {}", Name(weights));
  return RefuseDepthwise(module, node);
}

Result<StepProgram> PlanDepthwiseVectors(const BoundNode& node) {
  return DepthwiseVectors(node, {});
}
Result<StepProgram> PlanDepthwiseStrips(const BoundNode& node) {
  return DepthwiseVectors(node, {.pixels = 4});
}

std::optional<Refusal> RefuseDepthwiseRows(const ir::Module& module, const ir::Node& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  if (auto refusal = RefuseDepthwiseVector(module, node)) return refusal;
  const ir::Shape& w = module.value(node.inputs[1]).shape;
  // All of a kernel's weights are in registers.
  int64_t taps = 1;
  for (size_t i = 0; i + 2 < w.size(); ++i) taps *= *w[i].constant();
  if (taps > 9) return Refuse("a kernel of {} pixels", taps);
  if (a.dilations.front() != 1) return Refuse("a dilated kernel");
  for (const int i : {0, 1}) {
    if (SizeOf(module.value(node.inputs[i]).dtype) > 2) return Refuse("floats of 32 bits");
  }
  return std::nullopt;
}
Result<StepProgram> PlanDepthwise2x4(const BoundNode& node) {
  return DepthwiseVectors(node, {2, 4, 128, 2});
}
Result<StepProgram> PlanDepthwise4x4(const BoundNode& node) {
  // What four rows of windows that lie apart want does not fit in registers.
  const auto& strides = std::get<ir::ConvAttributes>(node.attributes).strides;
  const bool apart = std::ranges::any_of(strides, [](int64_t s) { return s > 1; });
  return DepthwiseVectors(node, {4, apart ? 2 : 4, 128, 2});
}

std::optional<Refusal> RefusePoolVectors(const ir::Module& module, const ir::Node& node) {
  const DType x = module.value(node.inputs[0]).dtype;
  const auto& pool = std::get<ir::PoolAttributes>(node.attributes);
  if (IsInteger(x) && pool.kind == ir::PoolKind::kAverage) return Refuse("an average of integers");
  return RefuseSlide(pool.window, x, x);
}
Result<StepProgram> PlanPoolVectors(const BoundNode& node) {
  const auto& a = std::get<ir::PoolAttributes>(node.attributes);
  const std::vector<int64_t> dilations(a.window.size(), 1);
  return SlideVectors(node, a.kind == ir::PoolKind::kAverage ? 2 : 1, nullptr, {}, a.window,
                      a.strides, dilations, Known(a.pads_before), a.count_padding, 1, {});
}

std::optional<Refusal> RefuseDepthwise(const ir::Module& module, const ir::Node& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  const ir::Shape& w = module.value(node.inputs[1]).shape;
  const std::optional<int64_t> per_group = w[w.size() - 2].constant();
  if (!per_group || *per_group != 1) return Refuse("groups of several channels");
  // A convolution of one channel is a product with one row.
  if (a.groups.constant() && *a.groups.constant() == 1) return Refuse("one group");
  return RefuseProduct(module, node);
}
Result<StepProgram> PlanDepthwise(const BoundNode& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  const BoundValue &w = node.inputs[1], &y = node.outputs[0];
  return SlideWindows(node, 0, AccumulatorOf(SumsOf(node)), &w,
                      y.dims.back() / std::max<int64_t>(*a.groups.constant(), 1),
                      std::span(w.dims).first(w.dims.size() - 2), a.strides, a.dilations,
                      Known(a.pads_before), false, 2, a.epilogue);
}

std::optional<Refusal> RefusePool(const ir::Module& module, const ir::Node& node) {
  if (auto refusal = RefuseOperand(module, node, 0, IsNumber)) return refusal;
  return RefuseRank(module, node, 5);
}
Result<StepProgram> PlanPool(const BoundNode& node) {
  const auto& a = std::get<ir::PoolAttributes>(node.attributes);
  const std::vector<int64_t> dilations(a.window.size(), 1);
  return SlideWindows(node, a.kind == ir::PoolKind::kAverage ? 2 : 1, "Accumulator<T>", nullptr, 1,
                      a.window, a.strides, dilations, Known(a.pads_before), a.count_padding, 1, {});
}

}  // namespace graft::cuda
