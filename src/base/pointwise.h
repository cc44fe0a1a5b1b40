// Element-wise programs: the one form of all element-wise work. A program runs once per output
// element over scalars. It is what an element-wise node computes, and what convolution, matmul and
// pooling apply to each result before it is stored (their epilogue). Fusing two element-wise nodes
// joins their programs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"

namespace graft {

// The instructions: name in text, number of operands, what it computes on x, y, z and the
// immediates p, q.
enum class PointwiseOp : uint8_t {
#define GRAFT_POINTWISE(id, name, operands, formula) id,
#include "base/pointwise.inc"
#undef GRAFT_POINTWISE
};

std::string_view Name(PointwiseOp op);
int OperandCount(PointwiseOp op);

// Registers are numbered: first the program's inputs (0 … inputs-1), then one for each
// instruction's result, in order.
struct PointwiseInstruction {
  PointwiseOp op;
  DType dtype = DType::kFloat32;  // of the result; comparisons give kBool
  int32_t operands[3] = {-1, -1, -1};
  double p = 0;  // immediates, in the result's precision: kConstant's value, kLeakyRelu's slope,
                 // kClamp's bounds
  double q = 0;
  // Compares immediates by their bits: zeros of two signs differ, a NaN equals itself.
  bool operator==(const PointwiseInstruction& other) const;
};

struct PointwiseProgram {
  int inputs = 0;
  std::vector<PointwiseInstruction>
      instructions;  // the last one's result is the output; none: input 0 is

  bool empty() const { return instructions.empty(); }
  int result() const { return inputs + static_cast<int>(instructions.size()) - 1; }
  // Appends and returns the result's register.
  int Add(PointwiseInstruction instruction);
  int Add(PointwiseOp op, DType dtype, int x = -1, int y = -1, int z = -1, double p = 0,
          double q = 0);
  bool operator==(const PointwiseProgram&) const = default;
};

// Registers exist before they are read, operand counts fit, at most kMaxPointwiseInstructions.
inline constexpr int kMaxPointwiseInstructions = 64;
Status Verify(const PointwiseProgram& program);
// For a verified program: every instruction reads registers of the dtypes that it works on, given
// the inputs' dtypes (as many as program.inputs).
Status VerifyTypes(const PointwiseProgram& program, std::span<const DType> inputs);

// "2:r2=add.f32(r0,r1);r3=clamp.f32(r2|0,6)": number of inputs, then the instructions. Immediates
// print so that they read back to the same double.
std::string ToString(const PointwiseProgram& program);
Result<PointwiseProgram> ParsePointwise(std::string_view text);

// `outer` with its input register `input` replaced by all of `inner`. The joined program's inputs
// are inner's, then outer's without `input`; the caller joins the operand lists the same way. An
// inner program without instructions has one input.
PointwiseProgram Compose(const PointwiseProgram& outer, int input, const PointwiseProgram& inner);

}  // namespace graft
