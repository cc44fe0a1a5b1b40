// Tactics whose results come from where data or a rule say: index.cu and resize.cu.
#include "backends/cuda/tactics.h"

namespace graft::cuda {
namespace {

int64_t Product(std::span<const int64_t> dims) { return CountElements(dims); }

// How the first operand and the result lie: x_length, x_row, y_length, y_row.
void AddRows(const BoundNode& node, Parameter* p) {
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  p->Int(LengthOf(x)).Int(x.row_stride).Int(LengthOf(y)).Int(y.row_stride);
}

Launch Elements(std::string_view file, std::string_view entry, std::string text, int64_t count) {
  Launch launch;
  launch.kernel = {file, std::move(text)};
  launch.entry = entry;
  launch.grid[0] = BlocksFor(count);
  return launch;
}

// y = first, first + 1, … or the values.
StepProgram Sequence(const BoundValue& y, const std::vector<int64_t>* values) {
  constexpr int64_t kMostValues = 256;  // MAX_VALUES of index.cu
  StepProgram step;
  const int64_t count = CountElements(y.dims);
  const int64_t piece = values ? kMostValues : std::max<int64_t>(count, 1);
  for (int64_t first = 0; first < count; first += piece) {
    const int64_t n = std::min(piece, count - first);
    Launch launch = Elements("index.cu", "sequence",
                             fmt::format("#define SEQUENCE\ntypedef {} T;\n", TypeOf(y.dtype)), n);
    launch.parameter.Output(0).Int(first).Int(n).Int(values == nullptr);
    launch.parameter.Ints(
        values ? std::span(*values).subspan(first, n) : std::span<const int64_t>(), kMostValues);
    step.launches.push_back(std::move(launch));
  }
  return step;
}

}  // namespace

std::optional<Refusal> RefuseGathering(const ir::Module& module, const ir::Node& node) {
  if (auto refusal = RefuseOperand(module, node, 0, IsSized)) return refusal;
  if (auto refusal = RefuseOperand(module, node, 1, IsInteger)) return refusal;
  const size_t rank = module.value(node.inputs[0]).shape.size();
  if (rank > 8) return Refuse("rank {}, at most 8", rank);
  return std::nullopt;
}

std::optional<Refusal> RefuseResult(const ir::Module& module, const ir::Node& node) {
  const DType dtype = module.value(node.outputs[0]).dtype;
  if (!IsNumber(dtype)) return Refuse("a result of dtype {}", Name(dtype));
  return std::nullopt;
}

Result<StepProgram> PlanGather(const BoundNode& node) {
  const auto& a = std::get<ir::GatherAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &indices = node.inputs[1];
  const int64_t count = CountElements(node.outputs[0].dims);
  StepProgram step;
  if (count == 0) return step;
  const std::span<const int64_t> dims = x.dims;
  Launch launch = Elements("index.cu", "gather",
                           fmt::format("#define GATHER\ntypedef {} T;\ntypedef {} I;\n",
                                       TypeOfSize(SizeOf(x.dtype)), TypeOf(indices.dtype)),
                           count);
  Parameter& p = launch.parameter;
  p.Input(0).Input(1).Output(0);
  p.Int(Product(dims.first(a.batch_dims)));
  p.Int(Product(dims.subspan(a.batch_dims, a.axis - a.batch_dims)));
  p.Int(dims[a.axis]).Int(Product(dims.subspan(a.axis + 1)));
  p.Int(Product(std::span(indices.dims).subspan(a.batch_dims)));
  AddRows(node, &p);
  p.Error();
  step.launches.push_back(std::move(launch));
  return step;
}

Result<StepProgram> PlanGatherNd(const BoundNode& node) {
  const auto& a = std::get<ir::GatherNdAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &indices = node.inputs[1];
  const int64_t count = CountElements(node.outputs[0].dims);
  StepProgram step;
  if (count == 0) return step;
  const std::span<const int64_t> dims = x.dims, own = indices.dims;
  const int64_t depth = own.back();
  Launch launch = Elements("index.cu", "gather_nd",
                           fmt::format("#define GATHER_ND\ntypedef {} T;\ntypedef {} I;\n",
                                       TypeOfSize(SizeOf(x.dtype)), TypeOf(indices.dtype)),
                           count);
  Parameter& p = launch.parameter;
  p.Input(0).Input(1).Output(0);
  p.Int(Product(dims.first(a.batch_dims)));
  p.Int(Product(own.subspan(a.batch_dims, own.size() - 1 - a.batch_dims)));
  p.Int(Product(dims.subspan(a.batch_dims + depth))).Int(depth);
  p.Ints(dims.subspan(a.batch_dims, depth), 8, 1);
  AddRows(node, &p);
  p.Error();
  step.launches.push_back(std::move(launch));
  return step;
}

std::optional<Refusal> RefusePad(const ir::Module& module, const ir::Node& node) {
  if (auto refusal = RefuseOperand(module, node, 0, IsComputed)) return refusal;
  return RefuseRank(module, node, 8);
}
Result<StepProgram> PlanPad(const BoundNode& node) {
  const auto& a = std::get<ir::PadAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  const int64_t count = CountElements(y.dims);
  StepProgram step;
  if (count == 0) return step;
  // A scalar is a vector of one.
  const Dims one = {1};
  const auto axes = [&](const std::vector<int64_t>& values, int64_t fill) {
    return values.empty() ? std::vector<int64_t>{fill} : values;
  };
  const size_t rank = std::max<size_t>(y.dims.size(), 1);
  Launch launch =
      Elements("index.cu", "pad",
               fmt::format("#define PAD\n#define RANK {}\n#define MODE {}\ntypedef {} T;\n", rank,
                           static_cast<int>(a.mode), TypeOf(x.dtype)),
               count);
  launch.parameter.Input(0).Output(0).Int(count);
  launch.parameter.Ints(axes(y.dims, 1), rank).Ints(axes(x.dims, 1), rank);
  launch.parameter.Ints(axes(StridesOf(x), 1), rank).Ints(axes(StridesOf(y), 1), rank);
  launch.parameter.Ints(axes(Known(a.before), 0), rank).Float(a.value);
  step.launches.push_back(std::move(launch));
  return step;
}

Result<StepProgram> PlanDimsOp(const BoundNode& node) {
  const std::vector<int64_t> values = Known(std::get<ir::DimsAttributes>(node.attributes).values);
  return Sequence(node.outputs[0], &values);
}

Result<StepProgram> PlanIota(const BoundNode& node) { return Sequence(node.outputs[0], nullptr); }

Result<StepProgram> PlanResize(const BoundNode& node) {
  const auto& a = std::get<ir::ResizeAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  const int64_t count = CountElements(y.dims);
  StepProgram step;
  if (count == 0 || CountElements(x.dims) == 0) return step;
  Launch launch = Elements("resize.cu", "resize",
                           fmt::format("#define MODE {}\n#define ALIGN {:d}\n#define HALF {:d}\n"
                                       "typedef {} T;\ntypedef {} Y;\n",
                                       static_cast<int>(a.mode), a.align_corners,
                                       a.half_pixel_centers, TypeOf(x.dtype), TypeOf(y.dtype)),
                           count);
  launch.parameter.Input(0).Output(0).Int(count).Int(y.dims[3]);
  launch.parameter.Int(x.row_stride).Int(y.row_stride);
  launch.parameter.Ints(std::span(x.dims).subspan(1, 2), 2);
  launch.parameter.Ints(std::span(y.dims).subspan(1, 2), 2);
  step.launches.push_back(std::move(launch));
  return step;
}

Result<StepProgram> PlanCropAndResize(const BoundNode& node) {
  const auto& a = std::get<ir::CropAndResizeAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  const int64_t count = CountElements(y.dims);
  StepProgram step;
  if (count == 0) return step;
  Launch launch = Elements("resize.cu", "crop",
                           fmt::format("#define CROP\n#define MODE {:d}\ntypedef {} T;\n",
                                       a.mode == ir::ResizeMode::kBilinear, TypeOf(x.dtype)),
                           count);
  Parameter& p = launch.parameter;
  p.Input(0).Input(1).Input(2).Output(0).Int(count);
  p.Int(x.dims[0]).Int(y.dims[3]).Int(x.row_stride).Int(y.row_stride);
  p.Ints(std::span(x.dims).subspan(1, 2), 2).Ints(std::span(y.dims).subspan(1, 2), 2);
  p.Float(static_cast<float>(a.extrapolation)).Error();
  step.launches.push_back(std::move(launch));
  return step;
}

}  // namespace graft::cuda
