// Tactics whose kernels work along lines of a tensor: rows.cu.
#include "backends/cuda/tactics.h"

namespace graft::cuda {
namespace {

constexpr size_t kLineRank = 5;

// Some axes of a tensor, with its strides in one or two values.
struct Axes {
  std::vector<int64_t> dims;
  std::vector<int64_t> strides;
  std::vector<int64_t> other;  // in the other value; as strides where there is none
};

// The axes for which `chosen` holds, neighbours that lie as one joined.
template <class Chosen>
Axes Choose(const Dims& dims, const std::vector<int64_t>& strides,
            const std::vector<int64_t>& other, Chosen chosen) {
  Axes axes;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!chosen(static_cast<int64_t>(i)) || dims[i] == 1) continue;
    if (!axes.dims.empty() && axes.strides.back() == strides[i] * dims[i] &&
        axes.other.back() == other[i] * dims[i]) {
      axes.dims.back() *= dims[i];
      axes.strides.back() = strides[i];
      axes.other.back() = other[i];
      continue;
    }
    axes.dims.push_back(dims[i]);
    axes.strides.push_back(strides[i]);
    axes.other.push_back(other[i]);
  }
  return axes;
}

// Axes of rows.cu: right-aligned.
void AddAxes(const std::vector<int64_t>& dims, const std::vector<int64_t>& strides, Parameter* p) {
  const size_t missing = kLineRank - dims.size();
  std::vector<int64_t> padded(missing, 1);
  padded.insert(padded.end(), dims.begin(), dims.end());
  p->Ints(padded, kLineRank);
  padded.assign(missing, 0);
  padded.insert(padded.end(), strides.begin(), strides.end());
  p->Ints(padded, kLineRank);
}

// A launch over lines: BLOCK threads share one, or each thread has its own.
Launch Lines(std::string_view entry, std::string text, int block, int64_t lines) {
  constexpr int64_t kMostBlocks = int64_t{1} << 20;
  Launch launch;
  launch.kernel = {"rows.cu", std::move(text) + fmt::format("#define BLOCK {}\n", block)};
  launch.entry = entry;
  launch.block = block == 1 ? 256 : block;
  launch.grid[0] = block == 1 ? BlocksFor(lines) : std::min(lines, kMostBlocks);
  return launch;
}

// Threads for a line. adjacent: elements along the line lie side by side.
int BlockFor(int64_t lines, int64_t length, bool adjacent) {
  constexpr int64_t kFullCard = 1 << 15;
  if (length < 16 || (!adjacent && lines >= kFullCard)) return 1;
  return length >= 256 ? 256 : 32;
}

std::optional<Refusal> RefuseRows(const ir::Module& module, const ir::Node& node,
                                  bool (*takes)(DType)) {
  if (auto refusal = RefuseOperand(module, node, 0, takes)) return refusal;
  return RefuseRank(module, node, 8);
}

}  // namespace

std::optional<Refusal> RefuseReduce(const ir::Module& module, const ir::Node& node) {
  const ir::ReduceKind kind = std::get<ir::ReduceAttributes>(node.attributes).kind;
  const DType dtype = module.value(node.inputs[0]).dtype;
  const bool logical = kind == ir::ReduceKind::kAll || kind == ir::ReduceKind::kAny;
  if (logical != (dtype == DType::kBool)) return Refuse("a reduction of dtype {}", Name(dtype));
  return RefuseRows(module, node, IsComputed);
}
Result<StepProgram> PlanReduce(const BoundNode& node) {
  const auto& a = std::get<ir::ReduceAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  const int64_t lines = CountElements(y.dims);
  StepProgram step;
  if (lines == 0) return step;
  const std::vector<int64_t> strides = StridesOf(x);
  const auto reduced = [&](int64_t axis) {
    return std::find(a.axes.begin(), a.axes.end(), axis) != a.axes.end();
  };
  const Axes over = Choose(x.dims, strides, strides, reduced);
  const Axes kept = Choose(x.dims, strides, strides, [&](int64_t i) { return !reduced(i); });
  const int64_t length = CountElements(over.dims);
  const bool adjacent = over.strides.empty() || over.strides.back() == 1;
  // Lines that lie side by side are read side by side.
  constexpr int64_t kSide = 32, kLeastLength = 8, kMostBlocks = int64_t{1} << 30;
  const bool side = !adjacent && !kept.strides.empty() && kept.strides.back() == 1 &&
                    kept.dims.back() >= kSide && length >= kLeastLength &&
                    lines / kSide < kMostBlocks;
  Launch launch = Lines(
      "reduce",
      fmt::format("#define REDUCE\n#define KIND {}\n#define SIDE {}\n#define KEPT {}\n"
                  "#define REDUCED {}\ntypedef {} T;\n",
                  static_cast<int>(a.kind), side ? kSide : 1, std::max<size_t>(kept.dims.size(), 1),
                  std::max<size_t>(over.dims.size(), 1), TypeOf(x.dtype)),
      side ? 256 : BlockFor(lines, length, adjacent), lines);
  if (side) launch.grid[0] = (lines + kSide - 1) / kSide;
  Parameter& p = launch.parameter;
  p.Input(0).Output(0).Int(lines).Int(length);
  AddAxes(kept.dims, kept.strides, &p);
  AddAxes(over.dims, over.strides, &p);
  p.Int(LengthOf(y)).Int(y.row_stride);
  step.launches.push_back(std::move(launch));
  return step;
}

std::optional<Refusal> RefuseArgReduce(const ir::Module& module, const ir::Node& node) {
  return RefuseRows(module, node, IsComputed);
}
Result<StepProgram> PlanArgReduce(const BoundNode& node) {
  const auto& a = std::get<ir::ArgReduceAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  const int64_t lines = CountElements(y.dims);
  StepProgram step;
  if (lines == 0) return step;
  const std::vector<int64_t> strides = StridesOf(x);
  const Axes kept = Choose(x.dims, strides, strides, [&](int64_t i) { return i != a.axis; });
  const int64_t length = x.dims[a.axis];
  Launch launch =
      Lines("arg_reduce",
            fmt::format("#define ARG_REDUCE\n#define KIND {:d}\ntypedef {} T;\ntypedef {} I;\n",
                        a.kind == ir::ArgReduceKind::kMin, TypeOf(x.dtype), TypeOf(y.dtype)),
            BlockFor(lines, length, strides[a.axis] == 1), lines);
  Parameter& p = launch.parameter;
  p.Input(0).Output(0).Int(lines).Int(length);
  AddAxes(kept.dims, kept.strides, &p);
  p.Int(strides[a.axis]).Int(LengthOf(y)).Int(y.row_stride);
  step.launches.push_back(std::move(launch));
  return step;
}

Result<StepProgram> PlanSoftmax(const BoundNode& node) {
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  StepProgram step;
  const int64_t count = CountElements(x.dims);
  if (count == 0) return step;
  const int64_t length = LengthOf(x), lines = count / length;
  Launch launch =
      Lines("softmax",
            fmt::format("#define SOFTMAX\n#define LOG {:d}\ntypedef {} T;\n",
                        std::get<ir::SoftmaxAttributes>(node.attributes).log, TypeOf(x.dtype)),
            BlockFor(lines, length, true), lines);
  launch.parameter.Input(0).Output(0).Int(lines).Int(length).Int(x.row_stride).Int(y.row_stride);
  step.launches.push_back(std::move(launch));
  return step;
}

Result<StepProgram> PlanLrn(const BoundNode& node) {
  const auto& a = std::get<ir::LrnAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  StepProgram step;
  const int64_t count = CountElements(x.dims);
  if (count == 0) return step;
  Launch launch =
      Lines("lrn", fmt::format("#define LRN\ntypedef {} T;\n", TypeOf(x.dtype)), 1, count);
  launch.parameter.Input(0).Output(0).Int(count / LengthOf(x)).Int(LengthOf(x));
  launch.parameter.Int(x.row_stride).Int(y.row_stride).Int(a.radius);
  launch.parameter.Float(a.bias).Float(a.alpha).Float(a.beta);
  step.launches.push_back(std::move(launch));
  return step;
}

std::optional<Refusal> RefuseCumulative(const ir::Module& module, const ir::Node& node) {
  // Axes of two values need not join.
  if (auto refusal = RefuseRank(module, node, kLineRank + 1)) return refusal;
  return RefuseOperand(module, node, 0, IsNumber);
}
Result<StepProgram> PlanCumulative(const BoundNode& node) {
  const auto& a = std::get<ir::CumulativeAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  StepProgram step;
  const int64_t count = CountElements(x.dims);
  if (count == 0) return step;
  const std::vector<int64_t> x_strides = StridesOf(x), y_strides = StridesOf(y);
  const Axes kept = Choose(x.dims, x_strides, y_strides, [&](int64_t i) { return i != a.axis; });
  const int64_t length = x.dims[a.axis], lines = count / length;
  const int block = lines >= 4096 || length < 64 ? 1 : 256;
  Launch launch = Lines(
      "cumulative",
      fmt::format("#define CUMULATIVE\n#define PRODUCT {:d}\n#define EXCLUSIVE {:d}\n"
                  "#define REVERSE {:d}\ntypedef {} T;\n",
                  a.kind == ir::CumulativeKind::kProd, a.exclusive, a.reverse, TypeOf(x.dtype)),
      block, lines);
  Parameter& p = launch.parameter;
  p.Input(0).Output(0).Int(lines).Int(length);
  AddAxes(kept.dims, kept.strides, &p);
  AddAxes(kept.dims, kept.other, &p);
  p.Int(x_strides[a.axis]).Int(y_strides[a.axis]);
  step.launches.push_back(std::move(launch));
  return step;
}

}  // namespace graft::cuda
