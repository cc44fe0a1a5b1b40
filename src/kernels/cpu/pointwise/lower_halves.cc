#include "kernels/cpu/pointwise/lower_halves.h"

#include <algorithm>
#include <vector>

#include "base/half.h"

namespace graft::cpu {
namespace {

// Instructions whose result on halves is a half: nothing is to be rounded.
bool IsExact(PointwiseOp op) {
  switch (op) {
    case PointwiseOp::kConstant:
    case PointwiseOp::kSelect:
    case PointwiseOp::kMin:
    case PointwiseOp::kMax:
    case PointwiseOp::kNeg:
    case PointwiseOp::kAbs:
    case PointwiseOp::kSign:
    case PointwiseOp::kFloor:
    case PointwiseOp::kCeil:
    case PointwiseOp::kRound:
    case PointwiseOp::kTrunc:
    case PointwiseOp::kRelu:
    case PointwiseOp::kClamp:
      return true;
    default:
      return false;
  }
}

class Lowering {
 public:
  explicit Lowering(std::span<const DType> inputs) {
    lowered_.inputs = static_cast<int>(inputs.size());
    for (size_t r = 0; r < inputs.size(); ++r) {
      registers_.push_back({inputs[r], static_cast<int>(r), -1});
    }
  }

  void Add(const PointwiseInstruction& in) {
    PointwiseInstruction lowered = in;
    const bool casts = in.op == PointwiseOp::kCast;
    for (int k = 0; k < OperandCount(in.op); ++k) {
      const int r = in.operands[k];
      const bool wide = IsHalf(registers_[r].dtype) && (!casts || in.dtype == DType::kFloat32);
      lowered.operands[k] = wide ? Wide(r) : Own(r);
    }
    if (!IsHalf(in.dtype)) {
      // The wide form of a half is its cast to f32 already.
      const bool done =
          casts && in.dtype == DType::kFloat32 && IsHalf(registers_[in.operands[0]].dtype);
      registers_.push_back({in.dtype, done ? lowered.operands[0] : lowered_.Add(lowered), -1});
    } else if (casts) {
      registers_.push_back({in.dtype, lowered_.Add(lowered), -1});
    } else {
      lowered.dtype = DType::kFloat32;
      lowered.p = RoundTo(in.dtype, in.p);
      lowered.q = RoundTo(in.dtype, in.q);
      const int wide = lowered_.Add(lowered);
      registers_.push_back({in.dtype, -1, wide});
      if (!IsExact(in.op)) {
        Own(static_cast<int>(registers_.size()) - 1);
        registers_.back().wide = -1;
      }
    }
  }

  // The program whose last instruction gives the last register.
  PointwiseProgram Finish() {
    const int result = Own(static_cast<int>(registers_.size()) - 1);
    if (result != lowered_.result()) {
      lowered_.Add(PointwiseOp::kCast, registers_.back().dtype, result);
    }
    return std::move(lowered_);
  }

 private:
  // A register of the original program: the lowered one's that holds it in its own type, and, of a
  // half, in f32. -1: not there yet.
  struct Register {
    DType dtype;
    int own;
    int wide;
  };

  int Own(int r) {
    Register& x = registers_[r];
    if (x.own < 0) x.own = lowered_.Add(PointwiseOp::kCast, x.dtype, x.wide);
    return x.own;
  }
  int Wide(int r) {
    Register& x = registers_[r];
    if (x.wide < 0) x.wide = lowered_.Add(PointwiseOp::kCast, DType::kFloat32, x.own);
    return x.wide;
  }

  std::vector<Register> registers_;
  PointwiseProgram lowered_;
};

}  // namespace

PointwiseProgram LowerHalves(const PointwiseProgram& program, std::span<const DType> inputs) {
  const bool any_half =
      std::ranges::any_of(inputs, IsHalf) ||
      std::ranges::any_of(program.instructions, [](const auto& in) { return IsHalf(in.dtype); });
  if (!any_half || program.empty()) return program;
  Lowering lowering(inputs);
  for (const PointwiseInstruction& in : program.instructions) lowering.Add(in);
  return lowering.Finish();
}

}  // namespace graft::cpu
