// Products of matrices of 8-bit integers, the second one a constant.
#include "kernels/cpu/matmul/gemm_s8.h"
#include "kernels/cpu/matmul/gemm_tile.h"
#include "kernels/cpu/matmul/matmul.h"

namespace graft::cpu {
namespace {

int64_t PanelsOf(const MatMulProblem& p) { return PairsSize(p.depth, p.columns); }

template <class Byte>
void CopyTile(const MatMulProblem& p, const Byte* a, const TileRange& range, int16_t* tile) {
  const int64_t depth = range.k_end - range.k;
  if (depth == 0) return;  // an empty operand has no address
  const Byte* from = a + p.a_offsets[range.group] + range.row * p.a_row + range.k * p.a_depth;
  for (int r = 0; r < range.rows; ++r, from += p.a_row, tile += kRowStride) {
    for (int64_t k = 0; k < depth; ++k) tile[k] = from[k * p.a_depth];
  }
}

}  // namespace

size_t PackedMatMulS8PackedBytes(const MatMulProblem& p) {
  return p.b_offsets.size() * PanelsOf(p);
}

void PackedMatMulS8Pack(const MatMulProblem& p, const void* b, void* packed, Executor& executor) {
  int8_t* panels = As<int8_t>(packed);
  for (int64_t offset : p.b_offsets) {
    PackPairs(As<int8_t>(b) + offset, p.depth, p.columns, p.b_depth, p.b_column, panels, executor);
    panels += PanelsOf(p);
  }
}

size_t PackedMatMulS8WorkspaceBytes(const MatMulProblem&, int width) {
  return GemmS8WorkspaceBytes(width);
}

void PackedMatMulS8Run(const MatMulProblem& p, const MatMulArguments& arguments,
                       Executor& executor) {
  const bool is_signed = p.types.input == DType::kInt8;
  GemmS8(
      MatMulProduct(p, PanelsOf(p)),
      {As<int8_t>(arguments.b), arguments.epilogue, arguments.workspace},
      [&](const TileRange& range, int16_t* tile) {
        if (is_signed) {
          CopyTile(p, As<int8_t>(arguments.a), range, tile);
        } else {
          CopyTile(p, As<uint8_t>(arguments.a), range, tile);
        }
      },
      executor);
}

double PackedMatMulS8Cost(const MatMulProblem& p) {
  return GemmS8Cost(MatMulProduct(p, PanelsOf(p)));
}

}  // namespace graft::cpu
