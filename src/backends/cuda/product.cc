#include "backends/cuda/product.h"

namespace graft::cuda {
namespace {

constexpr size_t kBatchRank = 4;

// The dtype of the sums over operands of a dtype: the operation's own choice, where it has one.
template <class Attributes>
DType SumsOf(const Attributes& attributes, DType operand) {
  if constexpr (requires { attributes.accumulator; }) return ir::AccumulatorOf(attributes, operand);
  return operand;
}

}  // namespace

bool FitsIn32Bits(const Product& p, const BoundNode& node) {
  constexpr int64_t kMostIndices = int64_t{1} << 30;
  constexpr int64_t kMostPixels = int64_t{1} << 14;
  const int64_t batches = CountElements(p.batch_dims);
  const int64_t pixels = CountElements(p.in) * std::max<int64_t>(node.inputs[0].dims[0], 1);
  int64_t reach = std::max(p.in[1], p.in[2]);
  for (int i = 1; i < 3; ++i) reach = std::max(reach, p.kernel[i] * p.dilation[i] + p.pad[i]);
  return std::max({p.rows, p.columns, p.depth, batches, pixels}) < kMostIndices &&
         reach < kMostPixels;
}

DType SumsOf(const BoundNode& node) {
  return std::visit([&](const auto& a) { return SumsOf(a, node.inputs[0].dtype); },
                    node.attributes);
}

std::optional<Refusal> RefuseProduct(const ir::Module& module, const ir::Node& node) {
  constexpr size_t operands = 2;
  if (auto refusal = RefuseOperand(module, node, 0, IsNumber)) return refusal;
  for (size_t i = operands; i < node.inputs.size(); ++i) {
    if (auto refusal = RefuseOperand(module, node, i, IsComputed)) return refusal;
  }
  if (auto refusal = RefuseOperand(module, node, 1, IsNumber)) return refusal;
  if (node.inputs.size() - operands > 12)
    return Refuse("{} epilogue operands, at most 12", node.inputs.size() - operands);
  if (auto refusal = RefuseRank(module, node, kEpilogueRank)) return refusal;
  return RefuseProgram(node.attributes);
}

Product ProductOfConv(const BoundNode& node) {
  const auto& a = std::get<ir::ConvAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &w = node.inputs[1], &y = node.outputs[0];
  if (CountElements(y.dims) == 0) return {};
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
  return p;
}

Product ProductOfConvTranspose(const BoundNode& node) {
  const auto& a = std::get<ir::ConvTransposeAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &w = node.inputs[1], &y = node.outputs[0];
  if (CountElements(y.dims) == 0) return {};
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
  return p;
}

Product ProductOfMatMul(const BoundNode& node) {
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
  return p;
}

Product WithPackedColumns(Product p) {
  p.b_packed = true;
  p.b_depth = 1;
  p.b_column = p.depth;
  p.b_tap = p.channels;
  p.b_batch = {p.columns * p.depth};
  return p;
}

std::optional<Refusal> RefusePackedColumns(const ir::Module& module, const ir::Node& node) {
  const ir::Value& b = module.value(node.inputs[1]);
  if (!b.constant) return Refuse("a right factor that is no constant");
  if (node.get<ir::MatMulAttributes>() != nullptr && b.shape.size() > 2)
    return Refuse("a batch of right factors");
  return std::nullopt;
}

void PackColumns(const ir::Node& node, const Tensor& b, std::byte* to) {
  const auto* const from = static_cast<const std::byte*>(b.raw());
  const auto* const matmul = node.get<ir::MatMulAttributes>();
  if (matmul != nullptr && matmul->transpose_b) {
    std::copy(from, from + b.bytes(), to);
    return;
  }
  const int64_t columns = b.dims().back();
  const int64_t depth = columns == 0 ? 0 : b.elements() / columns;
  const auto size = static_cast<int64_t>(SizeOf(b.dtype()));
  constexpr int64_t kBlock = 64;  // elements, so that what is read and written stays in the cache
  for (int64_t row0 = 0; row0 < depth; row0 += kBlock) {
    for (int64_t column0 = 0; column0 < columns; column0 += kBlock) {
      for (int64_t row = row0; row < std::min(depth, row0 + kBlock); ++row) {
        for (int64_t column = column0; column < std::min(columns, column0 + kBlock); ++column)
          std::copy_n(from + (row * columns + column) * size, size,
                      to + (column * depth + row) * size);
      }
    }
  }
}

std::string ProductText(const BoundNode& node) {
  const DType sums = SumsOf(node);
  return fmt::format("typedef {} A;\ntypedef {} B;\ntypedef {} Sum;\ntypedef {} Acc;\n{}",
                     TypeOf(node.inputs[0].dtype), TypeOf(node.inputs[1].dtype), TypeOf(sums),
                     AccumulatorOf(sums),
                     EpilogueText(node, 2, sums, *ir::ProgramOf(node.attributes)));
}

void AddProduct(const Product& product, const BoundNode& node, int64_t first, const Parts& parts,
                Parameter* parameter) {
  const Product& p = product;
  Parameter& w = *parameter;
  w.Input(0).Input(1).Output(0);
  w.Int(p.rows).Int(p.columns).Int(p.depth).Int(p.a_row).Int(p.a_depth);
  w.Int(p.b_tap).Int(p.b_depth).Int(p.b_column).Int(p.y_row);
  w.Ints(p.batch_dims, kBatchRank, 1);
  w.Ints(p.a_batch, kBatchRank).Ints(p.b_batch, kBatchRank).Ints(p.y_batch, kBatchRank);
  w.Int(p.channels).Ints(p.in, 3).Ints(p.out, 3).Ints(p.kernel, 3);
  w.Ints(p.stride, 3).Ints(p.dilation, 3).Ints(p.pad, 3);
  w.Ints(EpilogueDims(node), kEpilogueRank);
  w.Int(p.batch_rows).Int(p.batch_columns).Int(first);
  w.Workspace(parts.workspace).Int(CountElements(p.batch_dims)).Int(parts.splits).Int(parts.depth);
  w.Error();
  AddEpilogueOperands(node, 2, &w);
}

int64_t SplitsFor(int64_t tiles, int64_t depth, int64_t most) {
  constexpr int64_t kFullCard = 256;   // blocks: two for each multiprocessor of a large card
  constexpr int64_t kLeastDepth = 64;  // of a part: more sums would cost less than they save
  return std::clamp<int64_t>(std::min(kFullCard / std::max<int64_t>(tiles, 1), depth / kLeastDepth),
                             1, most);
}

Parts Split(int64_t depth, int64_t splits, int64_t step) {
  Parts parts;
  parts.depth = std::max<int64_t>((depth + splits * step - 1) / (splits * step), 1) * step;
  parts.splits = std::max<int64_t>((depth + parts.depth - 1) / parts.depth, 1);
  return parts;
}

}  // namespace graft::cuda
