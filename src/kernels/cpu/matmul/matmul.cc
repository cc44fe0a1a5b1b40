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
#define GRAFT_MATMUL_KERNEL(Id, name, version, packing, Input, Filter, Accumulator, Sums) \
  {name,         version,                                                                 \
   packing,      MakeTypes(kernel_input::Input, DType::Filter, DType::Accumulator),       \
   SumsIn::Sums, Id##PackedBytes,                                                         \
   Id##Pack,     Id##WorkspaceBytes,                                                      \
   Id##Run,      Id##Cost},
#include "kernels/cpu/matmul/kernels.inc"
#undef GRAFT_MATMUL_KERNEL
  };
  return kKernels;
}

GemmProblem MatMulProduct(const MatMulProblem& p, int64_t panels) {
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
    gemm.group_panels = p.b_offsets.size() == 1 ? 0 : panels;
  }
  return gemm;
}

namespace {

int64_t PanelsOf(const MatMulProblem& p) { return PanelsSize(p.depth, p.columns); }

int64_t AllPanels(const MatMulProblem& p) {
  return static_cast<int64_t>(p.b_offsets.size()) * PanelsOf(p);
}

template <class T>
void PackAll(const MatMulProblem& p, const T* b, T* panels, Executor& executor) {
  for (int64_t offset : p.b_offsets) {
    PackPanels(b + offset, p.depth, p.columns, p.b_depth, p.b_column, panels, executor);
    panels += PanelsOf(p);
  }
}

}  // namespace

size_t PackedMatMulPackedBytes(const MatMulProblem& p) {
  return AllPanels(p) * SizeOf(p.types.filter);
}

void PackedMatMulPack(const MatMulProblem& p, const void* b, void* packed, Executor& executor) {
  if (p.types.filter == DType::kFloat32) {
    PackAll(p, As<float>(b), As<float>(packed), executor);
  } else {
    PackAll(p, As<uint16_t>(b), As<uint16_t>(packed), executor);
  }
}

size_t PackedMatMulWorkspaceBytes(const MatMulProblem& p, int width) {
  return GemmWorkspaceBytes(width, p.types.filter);
}

void PackedMatMulRun(const MatMulProblem& p, const MatMulArguments& arguments, Executor& executor) {
  GemmArguments gemm;
  gemm.b = arguments.b;
  gemm.b_type = p.types.filter;
  gemm.c = As<float>(arguments.c);
  gemm.c_stride = p.c_row;
  gemm.epilogue = arguments.epilogue;
  gemm.workspace = arguments.workspace;
  const float* a = As<float>(arguments.a);
  Gemm(
      MatMulProduct(p, PanelsOf(p)), gemm,
      [&](const TileRange& range, float* tile) { CopyTile(p, a, range, tile); }, executor);
}

double PackedMatMulCost(const MatMulProblem& p) {
  return GemmCost(MatMulProduct(p, PanelsOf(p)), p.types.filter);
}

size_t DirectMatMulPackedBytes(const MatMulProblem&) { return 0; }

void DirectMatMulPack(const MatMulProblem&, const void*, void*, Executor&) {}

size_t DirectMatMulWorkspaceBytes(const MatMulProblem& p, int width) {
  return PackedMatMulWorkspaceBytes(p, width) + PackedMatMulPackedBytes(p);
}

// Every element of B is used `rows` times: its copy costs little beside.
void DirectMatMulRun(const MatMulProblem& p, const MatMulArguments& arguments, Executor& executor) {
  void* panels = static_cast<std::byte*>(arguments.workspace) +
                 PackedMatMulWorkspaceBytes(p, executor.width());
  PackedMatMulPack(p, arguments.b, panels, executor);
  MatMulArguments packed = arguments;
  packed.b = panels;
  PackedMatMulRun(p, packed, executor);
}

double DirectMatMulCost(const MatMulProblem& p) {
  return PackedMatMulCost(p) + 2.0 * static_cast<double>(AllPanels(p));
}

}  // namespace graft::cpu
