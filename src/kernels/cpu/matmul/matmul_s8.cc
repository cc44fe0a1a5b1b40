// Products of matrices of 8-bit integers, the second one a constant.
#include "kernels/cpu/matmul/gemm_s8.h"
#include "kernels/cpu/matmul/gemm_tile.h"
#include "kernels/cpu/matmul/matmul.h"

namespace graft::cpu {
namespace {

int64_t PanelsOf(const MatMulProblem& p) {
  return IntegersSize(p.depth, p.columns, FormOf(p.types));
}

template <class Byte, class To>
void CopyTile(const MatMulProblem& p, const void* from_a, const TileRange& range, void* to_tile) {
  const int64_t depth = range.k_end - range.k;
  if (depth == 0) return;  // an empty operand has no address
  To* tile = As<To>(to_tile);
  const Byte* from =
      As<Byte>(from_a) + p.a_offsets[range.group] + range.row * p.a_row + range.k * p.a_depth;
  for (int r = 0; r < range.rows; ++r, from += p.a_row, tile += kRowStride) {
    for (int64_t k = 0; k < depth; ++k) tile[k] = static_cast<To>(from[k * p.a_depth]);
  }
}

}  // namespace

size_t PackedMatMulS8PackedBytes(const MatMulProblem& p) {
  return p.b_offsets.size() * PanelsOf(p);
}

void PackedMatMulS8Pack(const MatMulProblem& p, const void* b, void* packed, Executor& executor) {
  int8_t* panels = As<int8_t>(packed);
  for (int64_t offset : p.b_offsets) {
    PackIntegers(As<int8_t>(b) + offset, p.depth, p.columns, p.b_depth, p.b_column, FormOf(p.types),
                 panels, executor);
    panels += PanelsOf(p);
  }
}

size_t PackedMatMulS8WorkspaceBytes(const MatMulProblem&, int width) {
  return GemmS8WorkspaceBytes(width);
}

void PackedMatMulS8Run(const MatMulProblem& p, const MatMulArguments& arguments,
                       Executor& executor) {
  const auto copy_tile = p.types.seven_bits              ? CopyTile<uint8_t, uint8_t>
                         : p.types.input == DType::kInt8 ? CopyTile<int8_t, int16_t>
                                                         : CopyTile<uint8_t, int16_t>;
  GemmS8(
      MatMulProduct(p, PanelsOf(p)),
      {FormOf(p.types), As<int8_t>(arguments.b), arguments.epilogue, arguments.workspace},
      [&](const TileRange& range, void* tile) { copy_tile(p, arguments.a, range, tile); },
      executor);
}

double PackedMatMulS8Cost(const MatMulProblem& p) {
  return GemmS8Cost(MatMulProduct(p, PanelsOf(p)), FormOf(p.types));
}

}  // namespace graft::cpu
