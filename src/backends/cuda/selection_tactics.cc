// Tactics that choose elements by their values, and scatters: selection.cu.
#include "backends/cuda/tactics.h"

namespace graft::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int64_t kPart = int64_t{kBlock} * 8;  // PART of selection.cu

Launch Kernel(std::string text, std::string_view entry, int64_t blocks, const Parameter& p,
              int block = kBlock) {
  Launch launch;
  launch.kernel = {"selection.cu", std::move(text)};
  launch.entry = entry;
  launch.grid[0] = blocks;
  launch.block = block;
  launch.parameter = p;
  return launch;
}

}  // namespace

Result<StepProgram> PlanTopK(const BoundNode& node) {
  const BoundValue &x = node.inputs[0], &values = node.outputs[0];
  StepProgram step;
  if (CountElements(values.dims) == 0) return step;
  const int64_t length = LengthOf(x);
  const int64_t lines = CountElements(x.dims) / length;
  if (length > 65535 * kBlock) return UnsupportedError("rows of {} elements", length);
  Parameter p;
  p.Input(0).Output(0).Output(1).Int(lines).Int(length).Int(LengthOf(values));
  p.Int(x.row_stride).Int(values.row_stride);
  Launch launch =
      Kernel(fmt::format("#define TOP_K\ntypedef {} T;\n", TypeOf(x.dtype)), "top_k", lines, p);
  launch.grid[1] = (length + kBlock - 1) / kBlock;
  step.launches.push_back(std::move(launch));
  return step;
}

std::optional<Refusal> RefuseWhere(const ir::Module& module, const ir::Node& node) {
  if (auto refusal = RefuseRank(module, node, 8)) return refusal;
  return RefuseOperand(module, node, 0, IsComputed);
}
Result<StepProgram> PlanWhere(const BoundNode& node) {
  const BoundValue& x = node.inputs[0];
  const int64_t elements = CountElements(x.dims);
  const int64_t parts = (elements + kPart - 1) / kPart;
  StepProgram step;
  Parameter p;
  p.Input(0).Output(0).Output(1).Workspace(step.Reserve(parts * 8)).Int(elements).Int(parts);
  p.Int(LengthOf(x)).Int(x.row_stride).Int(static_cast<int64_t>(x.dims.size())).Ints(x.dims, 8, 1);
  const std::string text = fmt::format("#define COMPACT\ntypedef {} T;\n", TypeOf(x.dtype));
  if (parts > 0) step.launches.push_back(Kernel(text, "compact_count", parts, p));
  step.launches.push_back(Kernel(text, "compact_scan", 1, p));
  if (parts > 0) step.launches.push_back(Kernel(text, "compact_write", parts, p));
  return step;
}

Result<StepProgram> PlanUnique(const BoundNode& node) {
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  const int64_t n = x.dims[0];
  StepProgram step;
  Parameter p;
  p.Input(0).Output(0).Output(1).Output(2).Output(3);
  p.Workspace(step.Reserve(n * 8)).Workspace(step.Reserve(n * 8));
  p.Int(n).Int(n == 0 ? 0 : CountElements(x.dims) / n);
  p.Int(LengthOf(x)).Int(x.row_stride).Int(LengthOf(y)).Int(y.row_stride);
  const std::string text = fmt::format("#define UNIQUE\ntypedef {} T;\ntypedef {} I;\n",
                                       TypeOf(x.dtype), TypeOf(node.outputs[1].dtype));
  if (n > 0) step.launches.push_back(Kernel(text, "unique_like", BlocksFor(n), p));
  step.launches.push_back(Kernel(text, "unique_number", 1, p));
  if (n > 0) step.launches.push_back(Kernel(text, "unique_write", BlocksFor(n), p));
  return step;
}

Result<StepProgram> PlanNonMaxSuppression(const BoundNode& node) {
  const auto& a = std::get<ir::NonMaxSuppressionAttributes>(node.attributes);
  const BoundValue &boxes = node.inputs[0], &scores = node.inputs[1];
  const int64_t n = CountElements(scores.dims);
  StepProgram step;
  Parameter p;
  p.Input(0).Input(1).Input(2).Output(0).Output(1).Output(2);
  p.Workspace(step.Reserve(n * SizeOf(scores.dtype))).Workspace(step.Reserve(n * 8));
  p.Int(n).Int(CountElements(node.outputs[0].dims)).Int(boxes.row_stride).Error();
  step.launches.push_back(Kernel(fmt::format("#define NMS\n#define OVERLAPS {:d}\ntypedef {} T;\n",
                                             a.overlaps, TypeOf(boxes.dtype)),
                                 "nms", 1, p));
  return step;
}

Result<StepProgram> PlanCombinedNonMaxSuppression(const BoundNode& node) {
  constexpr int64_t kChoiceBytes = 16;  // at most, of selection.cu's Choice
  const auto& a = std::get<ir::CombinedNonMaxSuppressionAttributes>(node.attributes);
  const BoundValue &boxes = node.inputs[0], &scores = node.inputs[1];
  const int64_t batch = boxes.dims[0], n = boxes.dims[1], classes = scores.dims[2];
  const int64_t limit = std::min(*a.per_class.constant(), n);
  StepProgram step;
  if (batch == 0) return step;
  Parameter p;
  p.Input(0).Input(1).Input(2).Output(0).Output(1).Output(2).Output(3);
  p.Workspace(step.Reserve(batch * classes * n * kChoiceBytes));
  p.Workspace(step.Reserve(batch * classes * limit * kChoiceBytes));
  p.Int(batch).Int(n).Int(boxes.dims[2]).Int(classes).Int(limit);
  p.Int(node.outputs[1].dims[1]).Int(a.clip).Int(boxes.row_stride);
  p.Int(node.outputs[0].row_stride).Error();
  const std::string text =
      fmt::format("#define COMBINED_NMS\ntypedef {} T;\n", TypeOf(boxes.dtype));
  if (classes > 0) step.launches.push_back(Kernel(text, "combined_choose", batch * classes, p));
  step.launches.push_back(Kernel(text, "combined_write", batch, p, 32));
  return step;
}

std::optional<Refusal> RefuseScatterNd(const ir::Module& module, const ir::Node& node) {
  if (auto refusal = RefuseRank(module, node, 8)) return refusal;
  return RefuseOperand(module, node, 0, IsComputed);
}
Result<StepProgram> PlanScatterNd(const BoundNode& node) {
  const BoundValue &x = node.inputs[0], &indices = node.inputs[1], &y = node.outputs[0];
  const int64_t elements = CountElements(y.dims);
  const int64_t depth = indices.dims.back();
  const std::span<const int64_t> dims = x.dims;
  const int64_t slices = CountElements(dims.first(depth));
  const int64_t slice = CountElements(dims.subspan(depth));
  const int64_t count = CountElements(std::span(indices.dims).first(indices.dims.size() - 1));
  StepProgram step;
  Parameter p;
  p.Input(0).Input(1).Input(2).Output(0).Workspace(step.Reserve(count * 8));
  p.Int(slices).Int(slice).Int(count).Int(depth).Ints(dims.first(depth), 8, 1);
  p.Int(LengthOf(x)).Int(x.row_stride).Int(LengthOf(y)).Int(y.row_stride).Error();
  const std::string text =
      fmt::format("#define SCATTER\n#define KIND {}\ntypedef {} T;\ntypedef {} I;\n",
                  static_cast<int>(std::get<ir::ScatterNdAttributes>(node.attributes).kind),
                  TypeOf(x.dtype), TypeOf(indices.dtype));
  if (count > 0) step.launches.push_back(Kernel(text, "scatter_targets", BlocksFor(count), p));
  if (elements > 0) step.launches.push_back(Kernel(text, "scatter", BlocksFor(elements), p));
  return step;
}

}  // namespace graft::cuda
