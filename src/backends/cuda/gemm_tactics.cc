// Convolutions and matrix products: gemm.cu, and windows.cu where channels stay apart.
#include "backends/cuda/tactics.h"

namespace graft::cuda {
namespace {

constexpr size_t kBatchRank = 4;
constexpr int64_t kMostBatches = 65535;  // of a grid's last axis

// A product of matrices; batch strides in elements.
struct Product {
  int source = 0;  // SOURCE of gemm.cu
  int64_t rows = 0, columns = 0, depth = 0;
  int64_t a_row = 0, a_depth = 0;
  int64_t b_tap = 0, b_depth = 0, b_column = 0;
  int64_t y_row = 0;
  std::vector<int64_t> batch_dims, a_batch, b_batch, y_batch;
  int64_t channels = 1;
  std::vector<int64_t> in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1},
      dilation{1, 1, 1}, pad{0, 0, 0};
  int64_t batch_rows = 0, batch_columns = 0;
};

// The dtype of the sums over operands of a dtype: the operation's own choice, where it has one.
template <class Attributes>
DType SumsOf(const Attributes& attributes, DType operand) {
  if constexpr (requires { attributes.accumulator; }) {
    if (attributes.accumulator != DType::kInvalid) return attributes.accumulator;
  }
  return operand;
}
DType SumsOf(const ir::Attributes& attributes, DType operand) {
  return std::visit([&](const auto& a) { return SumsOf(a, operand); }, attributes);
}

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

// In how many parts the depth is summed where `tiles` blocks are too few for a card.
int64_t SplitsFor(int64_t tiles, int64_t depth) {
  constexpr int64_t kFullCard = 256;   // blocks: two for each multiprocessor of a large card
  constexpr int64_t kLeastDepth = 64;  // of a part: more sums would cost less than they save
  return std::clamp<int64_t>(std::min(kFullCard / std::max<int64_t>(tiles, 1), depth / kLeastDepth),
                             1, 32);
}

StepProgram Multiply(const Product& p, const BoundNode& node, size_t epilogue_operands,
                     const PointwiseProgram& epilogue, bool split) {
  StepProgram step;
  const DType dtype = node.inputs[0].dtype;
  const DType sums = SumsOf(node.attributes, dtype);
  const int64_t batches = CountElements(p.batch_dims);
  if (p.rows == 0 || p.columns == 0 || batches == 0) return step;
  const Tile tile = TileOf(p, batches, sums);
  const int64_t tiles = (p.rows + tile.m - 1) / tile.m * ((p.columns + tile.n - 1) / tile.n);
  int64_t splits = split ? SplitsFor(tiles * batches, p.depth) : 1;
  constexpr int64_t kDepthStep = 16;  // BK of gemm.cu
  const int64_t split_depth =
      std::max<int64_t>((p.depth + splits * kDepthStep - 1) / (splits * kDepthStep), 1) *
      kDepthStep;
  splits = std::max<int64_t>((p.depth + split_depth - 1) / split_depth, 1);
  split = splits > 1;
  const int64_t parts_bytes = split ? splits * batches * p.rows * p.columns * 8 : 0;
  const int64_t parts = step.Reserve(static_cast<size_t>(parts_bytes));
  const int64_t most = kMostBatches / splits;
  for (int64_t first = 0; first < batches; first += most) {
    Launch launch;
    launch.kernel.file = "gemm.cu";
    launch.kernel.text = fmt::format(
        "#define SPLIT {:d}\n#define SOURCE {}\n#define BM {}\n#define BN {}\n#define TM "
        "{}\n#define TN {}\n"
        "#define B_DEPTH_FIRST {}\ntypedef {} T;\ntypedef {} Sum;\ntypedef {} Acc;\n{}",
        split, p.source, tile.m, tile.n, tile.tm, tile.tn, p.b_depth == 1 ? 1 : 0, TypeOf(dtype),
        TypeOf(sums), AccumulatorOf(sums), EpilogueText(node, epilogue_operands, sums, epilogue));
    launch.entry = "gemm";
    launch.grid[0] = (p.rows + tile.m - 1) / tile.m;
    launch.grid[1] = (p.columns + tile.n - 1) / tile.n;
    launch.grid[2] = std::min(batches - first, most) * splits;
    Parameter& w = launch.parameter;
    w.Input(0).Input(1).Output(0);
    w.Int(p.rows).Int(p.columns).Int(p.depth).Int(p.a_row).Int(p.a_depth);
    w.Int(p.b_tap).Int(p.b_depth).Int(p.b_column).Int(p.y_row);
    w.Ints(p.batch_dims, kBatchRank, 1);
    w.Ints(p.a_batch, kBatchRank).Ints(p.b_batch, kBatchRank).Ints(p.y_batch, kBatchRank);
    w.Int(p.channels).Ints(p.in, 3).Ints(p.out, 3).Ints(p.kernel, 3);
    w.Ints(p.stride, 3).Ints(p.dilation, 3).Ints(p.pad, 3);
    w.Ints(EpilogueDims(node), kEpilogueRank);
    w.Int(p.batch_rows).Int(p.batch_columns).Int(first);
    w.Workspace(parts).Int(batches).Int(splits).Int(split_depth).Error();
    AddEpilogueOperands(node, epilogue_operands, &w);
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

std::optional<Refusal> RefuseProduct(const ir::Module& module, const ir::Node& node,
                                     size_t operands) {
  if (auto refusal = RefuseOperand(module, node, 0, IsNumber)) return refusal;
  for (size_t i = operands; i < node.inputs.size(); ++i) {
    if (auto refusal = RefuseOperand(module, node, i, IsComputed)) return refusal;
  }
  if (module.value(node.inputs[0]).dtype != module.value(node.inputs[1]).dtype)
    return Refuse("factors of dtypes {} and {}", Name(module.value(node.inputs[0]).dtype),
                  Name(module.value(node.inputs[1]).dtype));
  const DType x = module.value(node.inputs[0]).dtype;
  const DType sums = std::visit(
      [&](const auto& a) {
        if constexpr (requires { a.accumulator; }) return ir::AccumulatorOf(a, x);
        return x;
      },
      node.attributes);
  const DType result = module.value(node.outputs[0]).dtype;
  if (sums != x || result != x)
    return Refuse("sums in {} and a result in {} of {}", Name(sums), Name(result), Name(x));
  if (node.inputs.size() - operands > 12)
    return Refuse("{} epilogue operands, at most 12", node.inputs.size() - operands);
  if (auto refusal = RefuseRank(module, node, kEpilogueRank)) return refusal;
  return RefuseProgram(node.attributes);
}

}  // namespace

std::optional<Refusal> RefuseConv(const ir::Module& module, const ir::Node& node) {
  return RefuseProduct(module, node, 2);
}
namespace {
StepProgram ConvProduct(const BoundNode& node, bool split) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &w = node.inputs[1], &y = node.outputs[0];
  if (CountElements(y.dims) == 0) return StepProgram();
  const int64_t groups = *a.groups.constant();
  const std::span<const int64_t> kernel = std::span(w.dims).first(w.dims.size() - 2);
  Product p;
  p.source = 1;
  p.channels = w.dims[w.dims.size() - 2];
  p.rows = CountElements(y.dims) / y.dims.back();
  p.columns = y.dims.back() / groups;
  p.depth = CountElements(kernel) * p.channels;
  p.a_row = x.row_stride;
  p.b_depth = y.dims.back();
  p.b_tap = p.channels * p.b_depth;
  p.b_column = 1;
  p.y_row = y.row_stride;
  p.batch_dims = {groups};
  p.a_batch = {p.channels};
  p.b_batch = p.y_batch = {p.columns};
  p.in = ImageOf(x.dims), p.out = ImageOf(y.dims);
  p.kernel = AsThree(kernel, 1);
  p.stride = AsThree(a.strides, 1), p.dilation = AsThree(a.dilations, 1);
  p.pad = AsThree(Known(a.pads_before), 0);
  p.batch_columns = p.columns;
  return Multiply(p, node, 2, a.epilogue, split);
}
}  // namespace
Result<StepProgram> PlanConv(const BoundNode& node) { return ConvProduct(node, false); }
std::optional<Refusal> RefuseConvSplit(const ir::Module& module, const ir::Node& node) {
  return RefuseProduct(module, node, 2);
}
Result<StepProgram> PlanConvSplit(const BoundNode& node) { return ConvProduct(node, true); }

std::optional<Refusal> RefuseConvTranspose(const ir::Module& module, const ir::Node& node) {
  return RefuseProduct(module, node, 2);
}
namespace {
StepProgram ConvTransposeProduct(const BoundNode& node, bool split) {
  const auto& a = std::get<ir::ConvTransposeAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &w = node.inputs[1], &y = node.outputs[0];
  if (CountElements(y.dims) == 0) return StepProgram();
  const std::span<const int64_t> kernel = std::span(w.dims).first(w.dims.size() - 2);
  Product p;
  p.source = 2;
  p.channels = w.dims.back();
  p.rows = CountElements(y.dims) / y.dims.back();
  p.columns = y.dims.back();
  p.depth = CountElements(kernel) * p.channels;
  p.a_row = x.row_stride;
  p.b_tap = p.columns * p.channels;
  p.b_depth = 1;
  p.b_column = p.channels;
  p.y_row = y.row_stride;
  p.batch_dims = {1};
  p.in = ImageOf(x.dims), p.out = ImageOf(y.dims);
  p.kernel = AsThree(kernel, 1);
  p.stride = AsThree(a.strides, 1), p.dilation = AsThree(a.dilations, 1);
  p.pad = AsThree(Known(a.pads_before), 0);
  return Multiply(p, node, 2, a.epilogue, split);
}
}  // namespace
Result<StepProgram> PlanConvTranspose(const BoundNode& node) {
  return ConvTransposeProduct(node, false);
}
std::optional<Refusal> RefuseConvTransposeSplit(const ir::Module& module, const ir::Node& node) {
  return RefuseProduct(module, node, 2);
}
Result<StepProgram> PlanConvTransposeSplit(const BoundNode& node) {
  return ConvTransposeProduct(node, true);
}

std::optional<Refusal> RefuseMatMul(const ir::Module& module, const ir::Node& node) {
  return RefuseProduct(module, node, 2);
}
namespace {
StepProgram MatMulProduct(const BoundNode& node, bool split) {
  const auto& attributes = std::get<ir::MatMulAttributes>(node.attributes);
  const BoundValue &a = node.inputs[0], &b = node.inputs[1], &y = node.outputs[0];
  const size_t leading = y.dims.size() - 2;
  Product p;
  p.rows = y.dims[leading];
  p.columns = y.dims[leading + 1];
  p.depth = a.dims[a.dims.size() - (attributes.transpose_a ? 2 : 1)];
  p.a_row = attributes.transpose_a ? 1 : a.row_stride;
  p.a_depth = attributes.transpose_a ? a.row_stride : 1;
  p.b_depth = attributes.transpose_b ? 1 : b.row_stride;
  p.b_column = attributes.transpose_b ? b.row_stride : 1;
  p.y_row = y.row_stride;
  const std::vector<int64_t> y_strides = StridesOf(y);
  const auto batch_strides = [&](const BoundValue& x) {
    std::vector<int64_t> strides = StridesOf(x);
    strides.resize(strides.size() - 2);
    for (size_t i = 0; i < strides.size(); ++i) {
      if (x.dims[i] == 1) strides[i] = 0;
    }
    strides.insert(strides.begin(), leading - strides.size(), 0);
    return strides;
  };
  p.batch_dims.assign(y.dims.begin(), y.dims.begin() + static_cast<int64_t>(leading));
  p.a_batch = batch_strides(a);
  p.b_batch = batch_strides(b);
  p.y_batch.assign(y_strides.begin(), y_strides.begin() + static_cast<int64_t>(leading));
  p.batch_rows = p.rows;
  // One right factor for all: the batch is rows.
  const bool shared =
      std::all_of(p.b_batch.begin(), p.b_batch.end(), [](int64_t s) { return s == 0; });
  const bool full = a.dims.size() == y.dims.size() &&
                    std::equal(a.dims.begin(), a.dims.end() - 2, y.dims.begin());
  if (shared && full && !attributes.transpose_a) {
    p.rows *= CountElements(p.batch_dims);
    p.batch_dims = {1};
    p.a_batch = p.b_batch = p.y_batch = {0};
  }
  return Multiply(p, node, 2, attributes.epilogue, split);
}
}  // namespace
Result<StepProgram> PlanMatMul(const BoundNode& node) { return MatMulProduct(node, false); }
std::optional<Refusal> RefuseMatMulSplit(const ir::Module& module, const ir::Node& node) {
  return RefuseProduct(module, node, 2);
}
Result<StepProgram> PlanMatMulSplit(const BoundNode& node) { return MatMulProduct(node, true); }

namespace {

// The loop of windows.cu. kind: KIND; for convolutions `w` is its filter.
StepProgram SlideWindows(const BoundNode& node, int kind, std::string_view accumulator,
                         const BoundValue* w, int64_t multiplier, std::span<const int64_t> window,
                         std::span<const int64_t> strides, std::span<const int64_t> dilations,
                         std::span<const int64_t> pads, bool count_padding, size_t operands,
                         const PointwiseProgram& epilogue) {
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  const DType sums = SumsOf(node.attributes, x.dtype);
  StepProgram step;
  const int64_t count = CountElements(y.dims);
  if (count == 0) return step;
  Launch launch;
  launch.kernel.file = "windows.cu";
  launch.kernel.text = fmt::format(
      "#define KIND {}\n#define IN_DEPTH {:d}\ntypedef {} T;\ntypedef {} Sum;\ntypedef {} Acc;\n{}",
      kind, window.size() == 3, TypeOf(x.dtype), TypeOf(sums), accumulator,
      EpilogueText(node, operands, sums, epilogue));
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

}  // namespace

std::optional<Refusal> RefuseDepthwise(const ir::Module& module, const ir::Node& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  const ir::Shape& w = module.value(node.inputs[1]).shape;
  const std::optional<int64_t> per_group = w[w.size() - 2].constant();
  if (!per_group || *per_group != 1) return Refuse("groups of several channels");
  // A convolution of one channel is a product with one row.
  if (a.groups.constant() && *a.groups.constant() == 1) return Refuse("one group");
  return RefuseProduct(module, node, 2);
}
Result<StepProgram> PlanDepthwise(const BoundNode& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  const BoundValue &w = node.inputs[1], &y = node.outputs[0];
  return SlideWindows(node, 0, AccumulatorOf(SumsOf(a, node.inputs[0].dtype)), &w,
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
