// The oracle: every op computed the slow, obvious way, with TensorFlow's semantics. The meaning of
// each field is that of the op's attribute in the IR; all sizes are known here. Input 0 and output
// 0 may have any row stride, all others are dense. Outputs have the dims that the op's shape rule
// gives.
#pragma once

#include "base/op_kinds.h"
#include "base/pointwise.h"
#include "kernels/reference/array.h"

namespace graft::reference {

struct PointwiseProblem {
  PointwiseProgram program;
};

struct ConvProblem {
  std::vector<int64_t> strides, dilations, pads_before;
  int64_t groups = 1;
  PointwiseProgram epilogue;
  DType accumulator = DType::kInvalid;
};

struct ConvTransposeProblem {
  std::vector<int64_t> strides, dilations, pads_before;
  PointwiseProgram epilogue;
  DType accumulator = DType::kInvalid;
};

struct MatMulProblem {
  bool transpose_a = false;
  bool transpose_b = false;
  PointwiseProgram epilogue;
  DType accumulator = DType::kInvalid;
};

struct PoolProblem {
  bool average = false;
  std::vector<int64_t> window, strides, pads_before;
  bool count_padding = false;
};

struct ReduceProblem {
  ReduceKind kind = ReduceKind::kSum;
  std::vector<int64_t> axes;
};

struct ArgReduceProblem {
  bool smallest = false;
  int64_t axis = 0;
};

struct SoftmaxProblem {
  bool log = false;
};

struct ReshapeProblem {};

struct TransposeProblem {
  std::vector<int64_t> permutation;
};

struct ConcatProblem {
  int64_t axis = 0;
};

struct SliceProblem {
  std::vector<int64_t> begin, strides;
};

struct PadProblem {
  PadMode mode = PadMode::kConstant;
  std::vector<int64_t> before;
  double value = 0;
};

struct BroadcastProblem {};
struct TileProblem {};

struct GatherProblem {
  int64_t axis = 0;
  int64_t batch_dims = 0;
};

struct GatherNdProblem {
  int64_t batch_dims = 0;
};

struct ResizeProblem {
  ResizeMode mode = ResizeMode::kNearest;
  bool align_corners = false;
  bool half_pixel_centers = false;
};

struct DepthToSpaceProblem {
  int64_t block = 2;
  bool to_depth = false;
};

struct DimsProblem {
  std::vector<int64_t> values;
};

struct TopKProblem {};

struct CumulativeProblem {
  bool product = false;
  int64_t axis = 0;
  bool exclusive = false;
  bool reverse = false;
};

struct ScatterNdProblem {
  ScatterKind kind = ScatterKind::kUpdate;
};

struct CropAndResizeProblem {
  bool bilinear = true;
  float extrapolation = 0;
};

struct LrnProblem {
  int64_t radius = 5;
  double bias = 1, alpha = 1, beta = 0.5;
};

struct IotaProblem {};
struct BitcastProblem {};
// The ops of unknown numbers of results write as many rows as there are into outputs that have room
// for all, and the number into the last output.
struct ReadIntegerProblem {
  int64_t element = 0;
};

struct WhereProblem {};

struct NonMaxSuppressionProblem {
  bool overlaps = false;
};

struct CombinedNonMaxSuppressionProblem {
  int64_t per_class = 0;
  bool clip = true;
};

struct UniqueProblem {};

struct QuantizeProblem {
  int64_t axis = -1;
};

struct DequantizeProblem {
  int64_t axis = -1;
};

struct FakeQuantizeProblem {
  FakeQuantizeArithmetic kind = FakeQuantizeArithmetic::kScaled;
  int64_t bits = 8;
  bool is_signed = true;
  bool narrow_range = false;
  bool half_up = false;
  bool range_given = true;
  int64_t axis = -1;
};

// Kernels that run an element-wise program can fail, where integer arithmetic has no result.
template <class Problem>
using RunResult = std::conditional_t<requires(Problem p) {
  p.program;
} || requires(Problem p) { p.epilogue; }, Status, void>;

#define GRAFT_REFERENCE_KERNEL(Op, name, dtypes) \
  RunResult<Op##Problem> Run(const Op##Problem& problem, Inputs in, Outputs out);
#include "kernels/reference/kernels.inc"
#undef GRAFT_REFERENCE_KERNEL

// Whether the operands hold what the op is defined for, where dtypes and dims do not say it.
// Nothing runs on operands that do not.
template <class Problem>
Status CheckData(const Problem&, Inputs) {
  return OkStatus();
}
Status CheckData(const GatherProblem& problem, Inputs in);
Status CheckData(const GatherNdProblem& problem, Inputs in);
Status CheckData(const ScatterNdProblem& problem, Inputs in);
Status CheckData(const CropAndResizeProblem& problem, Inputs in);
Status CheckData(const NonMaxSuppressionProblem& problem, Inputs in);
Status CheckData(const CombinedNonMaxSuppressionProblem& problem, Inputs in);

// Runs an epilogue with instructions: register 0 holds `sums`, the others `operands`.
Status ApplyEpilogue(const PointwiseProgram& epilogue, const ConstArray& sums, Inputs operands,
                     const Array& result);

}  // namespace graft::reference
