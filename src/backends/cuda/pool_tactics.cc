// Pooling whose windows are shared by blocks.
#include <algorithm>
#include <bit>
#include <numeric>

#include "backends/cuda/tactics.h"

namespace graft::cuda {
namespace {

int64_t CellsOf(const ir::PoolAttributes& pool) {
  return std::accumulate(pool.window.begin(), pool.window.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

std::optional<Refusal> RefusePoolParts(const ir::Module& module, const ir::Node& node) {
  constexpr int64_t kLeastCells = 128;  // below that a thread is as fast
  const auto& pool = std::get<ir::PoolAttributes>(node.attributes);
  if (pool.kind != ir::PoolKind::kAverage) return Refuse("a maximum");
  if (CellsOf(pool) < kLeastCells) return Refuse("a window of {} cells", CellsOf(pool));
  if (auto refusal = RefuseOperand(module, node, 0, IsFloating)) return refusal;
  return RefuseRank(module, node, 5);
}

Result<StepProgram> PlanPoolParts(const BoundNode& node) {
  const auto& a = std::get<ir::PoolAttributes>(node.attributes);
  const BoundValue &x = node.inputs[0], &y = node.outputs[0];
  StepProgram step;
  const int64_t count = CountElements(y.dims);
  if (count == 0) return step;
  const int64_t channels = y.dims.back(), rows = count / channels;
  const int64_t lanes = std::min<int64_t>(std::bit_ceil(static_cast<uint64_t>(channels)), 32);
  const int64_t groups = (channels + lanes - 1) / lanes;
  constexpr int64_t kMostGroups = 65535;  // a grid's
  constexpr int64_t kMostCells = int64_t{1} << 30;
  if (groups > kMostGroups || CellsOf(a) > kMostCells)
    return UnsupportedError("{} channels, windows of {} cells", channels, CellsOf(a));
  // Four cells a thread at least, and no more blocks than fill a card.
  constexpr int64_t kBlocks = 512, kCellsOfThread = 4, kMostParts = 64;
  const int64_t parts = std::clamp(std::min(CellsOf(a) * lanes / (256 * kCellsOfThread),
                                            kBlocks / std::max<int64_t>(rows * groups, 1)),
                                   int64_t{1}, kMostParts);
  const bool is_double = x.dtype == DType::kFloat64;
  const int64_t partial = step.Reserve(static_cast<size_t>(parts * count) * (is_double ? 8 : 4));
  Launch launch;
  launch.kernel.file = "pool_parts.cu";
  launch.kernel.text =
      fmt::format("#define LANES {}\ntypedef {} T;\ntypedef {} Acc;\ntypedef {} Y;\n", lanes,
                  TypeOf(x.dtype), TypeOf(is_double ? x.dtype : DType::kFloat32), TypeOf(y.dtype));
  launch.parameter.Input(0).Workspace(partial).Output(0);
  launch.parameter.Int(rows).Int(channels).Int(parts).Int(x.row_stride).Int(y.row_stride);
  launch.parameter.Ints(ImageOf(x.dims), 3).Ints(ImageOf(y.dims), 3).Ints(AsThree(a.window, 1), 3);
  launch.parameter.Ints(AsThree(a.strides, 1), 3).Ints(AsThree(Known(a.pads_before), 0), 3);
  launch.parameter.Int(a.count_padding);
  Launch finish = launch;
  launch.entry = "pool_parts";
  launch.grid[0] = rows;
  launch.grid[1] = groups;
  launch.grid[2] = parts;
  finish.entry = "pool_finish";
  finish.grid[0] = BlocksFor(count);
  step.launches = {std::move(launch), std::move(finish)};
  return step;
}

}  // namespace graft::cuda
