// How each op's nodes become kernel launches. A row of tactics.inc is a tactic.
#pragma once

#include <optional>
#include <string_view>

#include "backends/cuda/kernel_call.h"

namespace graft::cuda {

bool IsNumber(DType dtype);    // floats and integers
bool IsComputed(DType dtype);  // and bool
bool IsSized(DType dtype);

// What several tactics refuse. operand: which of the node's.
std::optional<Refusal> RefuseOperand(const ir::Module& module, const ir::Node& node, size_t operand,
                                     bool (*takes)(DType));
std::optional<Refusal> RefuseRank(const ir::Module& module, const ir::Node& node, size_t most);
std::optional<Refusal> RefuseProgram(const ir::Attributes& attributes);

// Why a tactic does not take the node, by its dtypes and attributes.
using RefuseFunction = std::optional<Refusal>(const ir::Module& module, const ir::Node& node);
RefuseFunction RefuseArgReduce, RefuseConvMma, RefuseConvPatch, RefuseConvWgmma,
    RefuseConvWgmmaIntegers, RefuseCumulative, RefuseDepthwise, RefuseDepthwiseRows,
    RefuseDepthwiseVector, RefuseGathering, RefuseMatMulMma, RefuseMatMulWgmma,
    RefuseMatMulWgmmaIntegers, RefuseMove, RefusePad, RefusePointwise, RefusePool, RefusePoolParts,
    RefusePoolVectors, RefuseReduce, RefuseResult, RefuseRowProduct, RefuseScatterNd, RefuseStem,
    RefuseStemIntegers, RefuseWhere;
// By the dtype of operand 0 alone.
template <bool (*takes)(DType)>
std::optional<Refusal> RefuseFirst(const ir::Module& module, const ir::Node& node) {
  return RefuseOperand(module, node, 0, takes);
}

#define GRAFT_CUDA_TACTIC(Op, name, version, cards, refuse, plan, strided_in, strided_out) \
  Result<StepProgram> plan(const BoundNode& node);
#define GRAFT_CUDA_PACKED_TACTIC(Op, name, version, cards, refuse, plan) \
  Result<StepProgram> plan(const BoundNode& node);
#include "backends/cuda/tactics.inc"
#undef GRAFT_CUDA_PACKED_TACTIC
#undef GRAFT_CUDA_TACTIC

struct TacticRow {
  ir::OpKind op;
  std::string_view name;
  int version;
  int cards;  // the one kind of card that it is for; 0: all, -90: all but that one
  RefuseFunction* refuse;
  Result<StepProgram> (*plan)(const BoundNode&);
  bool strided_inputs;
  bool strided_output;
  bool packs = false;  // the right factor is packed (PackColumns)
};
std::span<const TacticRow> Tactics();

// Epilogues of kernels whose result is rows of channels (EpilogueOperand of the .cu files).
// first: the node's first epilogue operand.
void AddEpilogueOperands(const BoundNode& node, size_t first, Parameter* parameter);
// EPILOGUE_OPERANDS, the program and CALL. result: the dtype of register 0.
std::string EpilogueText(const BoundNode& node, size_t first, DType result,
                         const PointwiseProgram& epilogue);
// EACH_OPERAND: how vector.cuh reads each of them. columns: those that are the same in every row
// are told apart.
std::string EachOperandText(const BoundNode& node, size_t first, bool columns = false);
// Whether result and operands lie in rows so that vector.cuh moves eight at once without asking:
// at multiples of 16 bytes, those of 8 bits at multiples of 8.
bool LiesInEights(const BoundNode& node, size_t first);
// Whether each operand is the same in every row.
bool RowsAreAlike(const BoundNode& node, size_t first);
// Columns of a warp's 16 rows of results that go through shared memory at a time, where they are
// 16-bit elements and the operands' rows are alike; else 0.
int StagedColumns(const BoundNode& node, size_t first);
// Or eights of its 16-bit elements lie side by side there.
bool TakesStaged(const BoundNode& node, size_t first);
// The result's axes but for the last, as EPILOGUE_RANK words.
inline constexpr size_t kEpilogueRank = 6;
std::vector<int64_t> EpilogueDims(const BoundNode& node);

// The spatial dimensions of [N, spatial…, C] or of a list, as three; missing ones are `fill`.
std::vector<int64_t> AsThree(std::span<const int64_t> values, int64_t fill);
std::vector<int64_t> ImageOf(const Dims& dims);
std::vector<int64_t> Known(const std::vector<ir::Dim>& dims);

}  // namespace graft::cuda
