// Element-wise programs together with the values that they read: what fusing works on.
#pragma once

#include <vector>

#include "base/pointwise.h"
#include "ir/module.h"

namespace graft::passes {

// Stands in an epilogue's operands for the result of the op that the epilogue belongs to.
inline constexpr ir::ValueId kOwnResult = -1;

struct Expression {
  PointwiseProgram program;
  std::vector<ir::ValueId> operands;  // one for each input register

  // Hands on its only operand.
  bool identity() const { return program.empty() && operands.size() == 1; }
  bool operator==(const Expression&) const = default;
};

// What an element-wise node computes, or what an op does to its own result.
Expression ExpressionOf(const ir::Node& node);

// The operands of a node that has `expression` as its epilogue, given those of the op itself.
std::vector<ir::ValueId> WithEpilogueOperands(std::vector<ir::ValueId> op_operands,
                                              const Expression& expression);

// `outer` with its operand number `operand` computed by `inner`.
Expression Inline(const Expression& outer, size_t operand, const Expression& inner);

// The same computation in a canonical form: every operand and every instruction once, none that is
// not read, the operands of commutative instructions in a fixed order. kOwnResult stays, and stays
// first.
Expression Tidy(const Expression& expression);

// The same instructions with the register `result` as the result. It holds a value of the result's
// dtype.
Expression WithResult(const Expression& expression, int result);

bool IsCommutative(PointwiseOp op);

// Within the limits of a program.
bool Fits(const Expression& expression);

// Drops the instruction number `index`: what read its result reads register `replacement`, which
// exists before it.
PointwiseProgram DropInstruction(const PointwiseProgram& program, int index, int replacement);

}  // namespace graft::passes
