// Products of one row with a matrix of 16-bit floats: row_product.cu.
#include "backends/cuda/product.h"

namespace graft::cuda {

std::optional<Refusal> RefuseRowProduct(const ir::Module& module, const ir::Node& node) {
  if (std::get<ir::MatMulAttributes>(node.attributes).transpose_b)
    return Refuse("a transposed right factor");
  const ir::Shape& y = module.value(node.outputs[0]).shape;
  for (size_t i = 0; i + 1 < y.size(); ++i) {
    if (y[i].constant().value_or(1) != 1) return Refuse("more than one row");
  }
  return RefuseMatMulWgmma(module, node);
}

Result<StepProgram> PlanRowProduct(const BoundNode& node) {
  const Product p = ProductOfMatMul(node);
  constexpr int64_t kColumns = 64, kLines = 32, kBatch = 8 * kLines;  // of row_product.cu
  constexpr int64_t kEights = 8;
  if (p.rows != 1 || p.columns == 0 || p.depth == 0 || !FitsIn32Bits(p, node) ||
      CountElements(p.batch_dims) != 1 || p.b_column != 1 || p.b_depth % kEights != 0 ||
      p.columns % kEights != 0)
    return PlanMatMulMma16x64Split(node);
  StepProgram step;
  // Cards that run this have clusters, and with these it takes no workspace.
  step.unaligned = PlanMatMulMma16x64Split;
  const int64_t tiles = (p.columns + kColumns - 1) / kColumns;
  // Four blocks to a multiprocessor, each with rows enough for what is under way together.
  constexpr int64_t kFull = 528, kMostInCluster = 8;
  const int64_t splits = std::clamp<int64_t>(
      std::min((kFull + tiles - 1) / tiles, (p.depth + kBatch - 1) / kBatch), 1, kMostInCluster);
  const Parts parts = Split(p.depth, splits, kLines);
  Launch launch;
  launch.kernel.file = "row_product.cu";
  launch.kernel.text =
      fmt::format("#define B_CONSTANT {:d}\n{}{}", node.inputs[1].constant != nullptr,
                  ProductText(node), EachOperandText(node, 2));
  launch.entry = "row_product";
  launch.grid[0] = tiles;
  launch.grid[2] = parts.splits;
  launch.cluster = static_cast<int>(parts.splits);
  AddProduct(p, node, 0, parts, &launch.parameter);
  step.launches.push_back(std::move(launch));
  return step;
}

}  // namespace graft::cuda
