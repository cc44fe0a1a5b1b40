// Tactics whose kernel is affine.cu: a program over operands at strides of their own. Moves are the
// program without instructions.
#include <algorithm>
#include <limits>

#include "backends/cuda/program_text.h"
#include "backends/cuda/tactics.h"
#include "base/strides.h"

namespace graft::cuda {
namespace {

struct Operand {
  int input = 0;
  int64_t offset = 0;            // elements
  std::vector<int64_t> strides;  // elements, by axis of the loop
  DType dtype = DType::kInvalid;
};

// A loop nest: y[index · y_strides] = program(x[index · strides]…).
struct Loop {
  std::vector<int64_t> dims;
  int64_t y_offset = 0;  // elements
  std::vector<int64_t> y_strides;
  std::vector<Operand> operands;
};

// Axes of 1 go, and neighbours that lie as one become one.
void Simplify(Loop* loop) {
  const auto for_all = [&](auto each) {
    each(loop->y_strides);
    for (Operand& x : loop->operands) each(x.strides);
  };
  for (size_t i = loop->dims.size(); i-- > 0;) {
    if (loop->dims[i] != 1) continue;
    loop->dims.erase(loop->dims.begin() + static_cast<int64_t>(i));
    for_all([&](std::vector<int64_t>& s) { s.erase(s.begin() + static_cast<int64_t>(i)); });
  }
  for (size_t i = loop->dims.size(); i-- > 1;) {
    bool merge = true;
    for_all([&](const std::vector<int64_t>& s) { merge &= s[i - 1] == s[i] * loop->dims[i]; });
    if (!merge) continue;
    loop->dims[i - 1] *= loop->dims[i];
    loop->dims.erase(loop->dims.begin() + static_cast<int64_t>(i));
    for_all([&](std::vector<int64_t>& s) { s.erase(s.begin() + static_cast<int64_t>(i) - 1); });
  }
  if (!loop->dims.empty()) return;
  loop->dims = {1};
  for_all([&](std::vector<int64_t>& s) { s = {0}; });
}

int64_t Reach(std::span<const int64_t> dims, std::span<const int64_t> strides) {
  int64_t reach = 0;
  for (size_t i = 0; i < dims.size(); ++i) reach += std::abs(strides[i]) * (dims[i] - 1);
  return reach;
}

// Whether rowwise.cu computes the loop: rows of neighbours.
bool IsRowwise(const Loop& loop, size_t element_bytes) {
  constexpr int64_t kLeastColumns = 8;
  const size_t rank = loop.dims.size();
  if (rank > 2 || loop.dims.back() < kLeastColumns || loop.y_strides.back() != 1) return false;
  if (element_bytes > 8 || loop.operands.empty()) return false;
  return std::ranges::all_of(loop.operands, [](const Operand& x) {
    return x.strides.back() == 0 || x.strides.back() == 1;
  });
}

void AddLoop(Loop loop, const PointwiseProgram& program, std::span<const DType> inputs,
             size_t element_bytes, StepProgram* step) {
  const int64_t count = CountElements(loop.dims);
  if (count == 0) return;
  Simplify(&loop);
  int64_t reach = std::max(count, Reach(loop.dims, loop.y_strides));
  for (const Operand& x : loop.operands) reach = std::max(reach, Reach(loop.dims, x.strides));
  const size_t rank = loop.dims.size();
  // Elements that are only moved go by their size, whatever they are.
  const bool moved = program.empty();
  const bool rowwise = IsRowwise(loop, element_bytes);
  Launch launch;
  launch.kernel.text =
      fmt::format("#define OPERANDS {}\n", std::max<size_t>(loop.operands.size(), 1));
  if (rowwise) {
    launch.kernel.text += "#define EACH_OPERAND(X)";
    for (size_t i = 0; i < loop.operands.size(); ++i) {
      const Operand& x = loop.operands[i];
      launch.kernel.text +=
          fmt::format(" X({}, {}, {})", i, moved ? TypeOfSize(element_bytes) : TypeOf(x.dtype),
                      x.strides.back() == 1 ? 1 : 2);  // Along of vector.cuh
    }
    launch.kernel.text += "\n";
  } else {
    launch.kernel.text += fmt::format("#define RANK {}\ntypedef {} Index;\n", rank,
                                      reach < std::numeric_limits<int32_t>::max() ? "i32" : "i64");
  }
  if (moved) {
    const std::string_view type = TypeOfSize(element_bytes);
    launch.kernel.text += fmt::format(
        "typedef {} Y;\n#define CALL(load) ((void)undefined, load(0, {}))\n", type, type);
  } else {
    launch.kernel.text += IncludedProgram(program, inputs, /*first=*/false);
  }
  const auto bytes = [&](const Operand& x) {
    return x.offset * static_cast<int64_t>(moved ? element_bytes : SizeOf(x.dtype));
  };
  const DType result = moved ? DType::kInvalid : ResultOf(program, inputs);
  const int64_t y_offset =
      loop.y_offset * static_cast<int64_t>(moved ? element_bytes : SizeOf(result));
  Parameter& p = launch.parameter;
  if (rowwise) {
    launch.kernel.file = "rowwise.cu";
    launch.entry = "rowwise";
    const int64_t rows = rank == 2 ? loop.dims[0] : 1;
    // Rows that begin between eights are read and written in fours.
    const int64_t vector = rows > 1 && loop.dims.back() % 8 == 4 ? 4 : 8;
    const int64_t threads = rows * ((loop.dims.back() + vector - 1) / vector);
    launch.kernel.text += fmt::format("#define VECTOR {}\n", vector) + IndexText(threads);
    SpreadOver(threads, &launch);
    const auto row_stride = [&](const std::vector<int64_t>& strides) {
      return rank == 2 ? strides[0] : 0;
    };
    p.Int(rows).Int(loop.dims.back());
    p.Output(0, y_offset).Int(row_stride(loop.y_strides));
    for (const Operand& x : loop.operands) p.Input(x.input, bytes(x)).Int(row_stride(x.strides));
  } else {
    launch.kernel.file = "affine.cu";
    launch.entry = "affine";
    launch.grid[0] = BlocksFor(count);
    p.Int(count).Ints(loop.dims, rank);
    p.Output(0, y_offset).Ints(loop.y_strides, rank);
    for (const Operand& x : loop.operands) p.Input(x.input, bytes(x)).Ints(x.strides, rank);
    if (loop.operands.empty()) p.Null().Ints({}, rank);
  }
  p.Error();
  step->launches.push_back(std::move(launch));
}

StepProgram Move(Loop loop, DType dtype) {
  StepProgram step;
  AddLoop(std::move(loop), {}, {}, SizeOf(dtype), &step);
  return step;
}

// The loop over the result's elements with the only operand at strides as given.
Loop OverResult(const BoundNode& node, std::vector<int64_t> strides, int64_t offset = 0) {
  const BoundValue& y = node.outputs[0];
  return {y.dims, 0, StridesOf(y), {{0, offset, std::move(strides), node.inputs[0].dtype}}};
}

}  // namespace

std::optional<Refusal> RefuseMove(const ir::Module& module, const ir::Node& node) {
  if (auto refusal = RefuseOperand(module, node, 0, IsSized)) return refusal;
  return RefuseRank(module, node, 8);
}

std::optional<Refusal> RefusePointwise(const ir::Module& module, const ir::Node& node) {
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (auto refusal = RefuseOperand(module, node, i, IsComputed)) return refusal;
  }
  // A kernel's parameter has 4 kB.
  if (node.inputs.size() > 32) return Refuse("{} operands, at most 32", node.inputs.size());
  if (auto refusal = RefuseRank(module, node, 8)) return refusal;
  return RefuseProgram(node.attributes);
}

Result<StepProgram> PlanPointwise(const BoundNode& node) {
  const PointwiseProgram& program = *ir::ProgramOf(node.attributes);
  const BoundValue& y = node.outputs[0];
  Loop loop = {y.dims, 0, StridesOf(y), {}};
  std::vector<DType> inputs;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const BoundValue& x = node.inputs[i];
    loop.operands.push_back(
        {static_cast<int>(i), 0, BroadcastStrides(x.dims, x.row_stride, y.dims), x.dtype});
    inputs.push_back(x.dtype);
  }
  StepProgram step;
  AddLoop(std::move(loop), program, inputs, SizeOf(y.dtype), &step);
  return step;
}

Result<StepProgram> PlanReshape(const BoundNode& node) {
  const BoundValue& x = node.inputs[0];
  const BoundValue& y = node.outputs[0];
  const int64_t count = CountElements(y.dims);
  if (count == 0) return StepProgram();
  // Rows of either side, in pieces that both have whole.
  const int64_t x_length = x.dense() ? count : LengthOf(x);
  const int64_t y_length = y.dense() ? count : LengthOf(y);
  const int64_t longest = std::max(x_length, y_length), shortest = std::min(x_length, y_length);
  if (longest % shortest != 0)
    return UnsupportedError("rows of {} and {} elements, apart on both sides", x_length, y_length);
  Loop loop;
  loop.dims = {count / longest, longest / shortest, shortest};
  loop.y_strides = {y_length == longest ? y.row_stride : y.row_stride * (longest / shortest),
                    y_length == longest ? shortest : y.row_stride, 1};
  std::vector<int64_t> x_strides = {
      x_length == longest ? x.row_stride : x.row_stride * (longest / shortest),
      x_length == longest ? shortest : x.row_stride, 1};
  loop.operands = {{0, 0, std::move(x_strides), x.dtype}};
  return Move(std::move(loop), x.dtype);
}

Result<StepProgram> PlanTranspose(const BoundNode& node) {
  const auto& a = std::get<ir::TransposeAttributes>(node.attributes);
  const std::vector<int64_t> from = StridesOf(node.inputs[0]);
  std::vector<int64_t> strides;
  for (const int64_t axis : a.permutation) strides.push_back(from[axis]);
  return Move(OverResult(node, std::move(strides)), node.inputs[0].dtype);
}

Result<StepProgram> PlanConcat(const BoundNode& node) {
  const int64_t axis = std::get<ir::ConcatAttributes>(node.attributes).axis;
  const std::vector<int64_t> y_strides = StridesOf(node.outputs[0]);
  StepProgram step;
  int64_t position = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const BoundValue& x = node.inputs[i];
    if (!x.in_result) {
      AddLoop({x.dims,
               position * y_strides[axis],
               y_strides,
               {{static_cast<int>(i), 0, StridesOf(x), x.dtype}}},
              {}, {}, SizeOf(x.dtype), &step);
    }
    position += x.dims[axis];
  }
  return step;
}

Result<StepProgram> PlanSlice(const BoundNode& node) {
  const auto& a = std::get<ir::SliceAttributes>(node.attributes);
  const std::vector<int64_t> begin = Known(a.begin);
  std::vector<int64_t> strides = StridesOf(node.inputs[0]);
  int64_t offset = 0;
  for (size_t i = 0; i < strides.size(); ++i) {
    offset += begin[i] * strides[i];
    strides[i] *= a.strides[i];
  }
  return Move(OverResult(node, std::move(strides), offset), node.inputs[0].dtype);
}

Result<StepProgram> PlanBroadcast(const BoundNode& node) {
  const BoundValue& x = node.inputs[0];
  return Move(OverResult(node, BroadcastStrides(x.dims, x.row_stride, node.outputs[0].dims)),
              x.dtype);
}

Result<StepProgram> PlanTile(const BoundNode& node) {
  const BoundValue& x = node.inputs[0];
  const std::vector<int64_t> x_strides = StridesOf(x), y_strides = StridesOf(node.outputs[0]);
  if (CountElements(node.outputs[0].dims) == 0) return StepProgram();
  Loop loop;
  loop.operands = {{0, 0, {}, x.dtype}};
  for (size_t i = 0; i < x.dims.size(); ++i) {
    // Which copy, and where in it.
    loop.dims.insert(loop.dims.end(), {node.outputs[0].dims[i] / x.dims[i], x.dims[i]});
    loop.y_strides.insert(loop.y_strides.end(), {y_strides[i] * x.dims[i], y_strides[i]});
    std::vector<int64_t>& strides = loop.operands[0].strides;
    strides.insert(strides.end(), {0, x_strides[i]});
  }
  return Move(std::move(loop), x.dtype);
}

Result<StepProgram> PlanDepthToSpace(const BoundNode& node) {
  const auto& a = std::get<ir::DepthToSpaceAttributes>(node.attributes);
  const int64_t block = a.block;
  // Space is [N, H, b, W, b, C], depth [N, H, W, b, b, C].
  const BoundValue& space = a.to_depth ? node.inputs[0] : node.outputs[0];
  const BoundValue& depth = a.to_depth ? node.outputs[0] : node.inputs[0];
  const std::vector<int64_t> s = StridesOf(space), d = StridesOf(depth);
  const int64_t channels = space.dims[3];
  const std::vector<int64_t> space_strides = {s[0], s[1] * block, s[1], s[2] * block, s[2], 1};
  const std::vector<int64_t> depth_strides = {d[0], d[1], block * channels, d[2], channels, 1};
  Loop loop;
  loop.dims = {depth.dims[0], depth.dims[1], block, depth.dims[2], block, channels};
  loop.y_strides = a.to_depth ? depth_strides : space_strides;
  loop.operands = {{0, 0, a.to_depth ? space_strides : depth_strides, node.inputs[0].dtype}};
  return Move(std::move(loop), node.inputs[0].dtype);
}

Result<StepProgram> PlanBitcast(const BoundNode& node) {
  const BoundValue& x = node.inputs[0];
  const size_t unit = std::min(SizeOf(x.dtype), SizeOf(node.outputs[0].dtype));
  const int64_t count = CountElements(x.dims) * static_cast<int64_t>(SizeOf(x.dtype) / unit);
  StepProgram step;
  AddLoop({{count}, 0, {1}, {{0, 0, {1}, x.dtype}}}, {}, {}, unit, &step);
  return step;
}

Result<StepProgram> PlanReadInteger(const BoundNode& node) {
  const BoundValue& x = node.inputs[0];
  const int64_t element = std::get<ir::ReadIntegerAttributes>(node.attributes).element;
  const int64_t offset = element / LengthOf(x) * x.row_stride + element % LengthOf(x);
  PointwiseProgram program;
  program.inputs = 1;
  program.Add(PointwiseOp::kCast, DType::kInt64, 0);
  StepProgram step;
  const DType inputs[] = {x.dtype};
  AddLoop({{1}, 0, {0}, {{0, offset, {0}, x.dtype}}}, program, inputs, 8, &step);
  return step;
}

}  // namespace graft::cuda
