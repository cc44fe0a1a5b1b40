// What is computed of the two ends of a range, to quantise numbers within it.
#pragma once

#include <limits>
#include <utility>

#include "base/dtype_visit.h"
#include "base/pointwise.h"

namespace graft::ir {

// A program over the two ends of a range (registers 0 and 1), one of whose registers after another
// becomes a value. Where the ends are constant, so are all of these.
class RangeProgram {
 public:
  explicit RangeProgram(DType dtype) : dtype_(dtype) {}

  static constexpr int kLow = 0;
  static constexpr int kHigh = 1;
  int Constant(double v) { return program_.Add(PointwiseOp::kConstant, dtype_, -1, -1, -1, v); }
  int Add(PointwiseOp op, int x, int y = -1) { return program_.Add(op, dtype_, x, y); }
  // x / y in double precision, of which one is a constant.
  int DivideDouble(int x, double y) { return InDouble(x, y, false); }
  int DivideDouble(double x, int y) { return InDouble(y, x, true); }
  int Ask(PointwiseOp op, int x, int y) { return program_.Add(op, DType::kBool, x, y); }
  int Select(int condition, int x, int y) {
    return program_.Add(PointwiseOp::kSelect, dtype_, condition, x, y);
  }
  PointwiseProgram& program() { return program_; }
  // The program that computes a register, an instruction's result.
  PointwiseProgram HeadOf(int reg) const {
    PointwiseProgram head = program_;
    head.instructions.resize(reg - head.inputs + 1);
    return head;
  }

 private:
  int InDouble(int reg, double constant, bool constant_first) {
    constexpr DType kDouble = DType::kFloat64;
    int x = program_.Add(PointwiseOp::kCast, kDouble, reg);
    int y = program_.Add(PointwiseOp::kConstant, kDouble, -1, -1, -1, constant);
    if (constant_first) std::swap(x, y);
    return program_.Add(PointwiseOp::kCast, dtype_, program_.Add(PointwiseOp::kDiv, kDouble, x, y));
  }

  DType dtype_;
  PointwiseProgram program_{.inputs = 2};
};

inline double LargestOf(DType dtype) {
  return TryVisitDType(kFloatTypes, dtype,
                       []<class T>(T) { return double{std::numeric_limits<T>::max()}; });
}

}  // namespace graft::ir
