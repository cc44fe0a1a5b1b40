#include "kernels/cpu/matmul/matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/matmul/gemm.h"
#include "kernels/cpu/matmul/gemm_tile.h"

namespace graft::cpu {
namespace {

// All products as one, when they are one tall matrix times the same B.
bool IsOneProduct(const MatMulProblem& p) {
  if (p.b_offsets.size() != 1 || p.a_depth != 1) return false;
  for (size_t i = 0; i < p.a_offsets.size(); ++i) {
    if (p.a_offsets[i] != static_cast<int64_t>(i) * p.rows * p.a_row) return false;
  }
  return true;
}

GemmProblem ToGemm(const MatMulProblem& p) {
  const auto products = static_cast<int64_t>(p.a_offsets.size());
  GemmProblem gemm;
  gemm.columns = p.columns;
  gemm.depth = p.depth;
  if (IsOneProduct(p)) {
    gemm.rows = products * p.rows;
  } else {
    gemm.rows = p.rows;
    gemm.groups = products;
    gemm.group_row = p.rows;
    gemm.group_panels = p.b_offsets.size() == 1 ? 0 : PanelsSize(p.depth, p.columns);
  }
  return gemm;
}

void CopyTile(const MatMulProblem& p, const float* a, const TileRange& range, float* tile) {
  const float* from = a + p.a_offsets[range.group] + range.row * p.a_row + range.k * p.a_depth;
  const int64_t depth = range.k_end - range.k;
  if (depth == 0) return;  // an empty operand has no address
  if (p.a_depth == 1) {
    for (int r = 0; r < range.rows; ++r) {
      std::memcpy(tile + r * kRowStride, from + r * p.a_row, depth * sizeof(float));
    }
    return;
  }
  for (int64_t k = 0; k < depth; ++k) {
    for (int r = 0; r < range.rows; ++r) {
      tile[r * kRowStride + k] = from[r * p.a_row + k * p.a_depth];
    }
  }
}

}  // namespace

std::span<const MatMulKernel> MatMulKernels() {
  static constexpr MatMulKernel kKernels[] = {
#define GRAFT_MATMUL_KERNEL(Id, name, version, packing) \
  {name, version, packing, Id##WorkspaceSize, Id##Run, Id##Cost},
#include "kernels/cpu/matmul/kernels.inc"
#undef GRAFT_MATMUL_KERNEL
  };
  return kKernels;
}

int64_t MatMulPanelsSize(const MatMulProblem& p) {
  return static_cast<int64_t>(p.b_offsets.size()) * PanelsSize(p.depth, p.columns);
}

void PackMatMul(const MatMulProblem& p, const float* b, float* panels, Executor& executor) {
  for (size_t i = 0; i < p.b_offsets.size(); ++i) {
    PackPanels(b + p.b_offsets[i], p.depth, p.columns, p.b_depth, p.b_column,
               panels + static_cast<int64_t>(i) * PanelsSize(p.depth, p.columns), executor);
  }
}

int64_t PackedMatMulWorkspaceSize(const MatMulProblem&, int width) {
  return GemmWorkspaceSize(width);
}

void PackedMatMulRun(const MatMulProblem& p, const MatMulArguments& arguments, Executor& executor) {
  GemmArguments gemm;
  gemm.b = arguments.b;
  gemm.c = arguments.c;
  gemm.c_stride = p.c_row;
  gemm.epilogue = arguments.epilogue;
  gemm.workspace = arguments.workspace;
  Gemm(
      ToGemm(p), gemm,
      [&](const TileRange& range, float* tile) { CopyTile(p, arguments.a, range, tile); },
      executor);
}

double PackedMatMulCost(const MatMulProblem& p) { return GemmCost(ToGemm(p)); }

int64_t DirectMatMulWorkspaceSize(const MatMulProblem& p, int width) {
  return GemmWorkspaceSize(width) + MatMulPanelsSize(p);
}

// Every element of B is used `rows` times: its copy costs little beside.
void DirectMatMulRun(const MatMulProblem& p, const MatMulArguments& arguments, Executor& executor) {
  float* panels = arguments.workspace + GemmWorkspaceSize(executor.width());
  PackMatMul(p, arguments.b, panels, executor);
  MatMulArguments packed = arguments;
  packed.b = panels;
  PackedMatMulRun(p, packed, executor);
}

double DirectMatMulCost(const MatMulProblem& p) {
  return PackedMatMulCost(p) + 2.0 * static_cast<double>(MatMulPanelsSize(p));
}

}  // namespace graft::cpu
