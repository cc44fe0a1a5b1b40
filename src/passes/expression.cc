#include "passes/expression.h"

#include <algorithm>

#include "passes/rewrite.h"

namespace graft::passes {
namespace {

constexpr size_t kOpOperands = 2;  // of every op with an epilogue: data and weights

}  // namespace

Expression ExpressionOf(const ir::Node& node) {
  if (const auto* pointwise = node.get<ir::PointwiseAttributes>()) {
    return {pointwise->program, node.inputs};
  }
  const PointwiseProgram* epilogue = Epilogue(node);
  GRAFT_CHECK(epilogue != nullptr, "{}: {} computes no expression", node.name,
              ir::Name(node.kind()));
  Expression expression = {*epilogue, {kOwnResult}};
  expression.program.inputs = 1 + static_cast<int>(node.inputs.size() - kOpOperands);
  expression.operands.insert(expression.operands.end(), node.inputs.begin() + kOpOperands,
                             node.inputs.end());
  return expression;
}

std::vector<ir::ValueId> WithEpilogueOperands(std::vector<ir::ValueId> op_operands,
                                              const Expression& expression) {
  GRAFT_CHECK(!expression.operands.empty() && expression.operands[0] == kOwnResult);
  op_operands.resize(kOpOperands);
  op_operands.insert(op_operands.end(), expression.operands.begin() + 1, expression.operands.end());
  return op_operands;
}

Expression Inline(const Expression& outer, size_t operand, const Expression& inner) {
  Expression joined;
  joined.program = Compose(outer.program, static_cast<int>(operand), inner.program);
  joined.operands = inner.operands;
  for (size_t i = 0; i < outer.operands.size(); ++i) {
    if (i != operand) joined.operands.push_back(outer.operands[i]);
  }
  return Tidy(joined);
}

Expression Tidy(const Expression& expression) {
  const PointwiseProgram& program = expression.program;
  const int inputs = program.inputs;
  // The first register that holds the same as each: equal operands, equal instructions.
  std::vector<int> same(inputs + program.instructions.size());
  std::vector<PointwiseInstruction> instructions = program.instructions;
  for (int r = 0; r < inputs; ++r) {
    const auto first = std::ranges::find(expression.operands, expression.operands[r]);
    same[r] = static_cast<int>(first - expression.operands.begin());
  }
  // What flows through the program comes before what it is combined with.
  auto comes_first = [&](int r) {
    const bool flows = r >= inputs || expression.operands[r] == kOwnResult;
    const bool constant = r >= inputs && instructions[r - inputs].op == PointwiseOp::kConstant;
    return std::pair(constant ? 2 : flows ? 0 : 1, r);
  };
  for (size_t i = 0; i < instructions.size(); ++i) {
    auto& operands = instructions[i].operands;
    for (int& operand : operands) {
      if (operand >= 0) operand = same[operand];
    }
    if (IsCommutative(instructions[i].op) && comes_first(operands[1]) < comes_first(operands[0])) {
      std::swap(operands[0], operands[1]);
    }
    const auto first = std::find(instructions.begin(), instructions.begin() + i, instructions[i]);
    same[inputs + i] = inputs + static_cast<int>(first - instructions.begin());
  }
  // What the result needs, backwards.
  std::vector<bool> needed(same.size(), false);
  const int result = program.empty() ? 0 : same[program.result()];
  needed[result] = true;
  for (size_t i = instructions.size(); i-- > 0;) {
    if (!needed[inputs + i]) continue;
    for (int operand : instructions[i].operands) {
      if (operand >= 0) needed[operand] = true;
    }
  }
  Expression tidy;
  std::vector<int> renumbered(same.size(), -1);
  for (int r = 0; r < inputs; ++r) {
    if (!needed[r] && expression.operands[r] != kOwnResult) continue;
    renumbered[r] = static_cast<int>(tidy.operands.size());
    tidy.operands.push_back(expression.operands[r]);
  }
  tidy.program.inputs = static_cast<int>(tidy.operands.size());
  for (size_t i = 0; i < instructions.size(); ++i) {
    if (!needed[inputs + i]) continue;
    for (int& operand : instructions[i].operands) {
      if (operand >= 0) operand = renumbered[operand];
    }
    renumbered[inputs + i] = tidy.program.Add(instructions[i]);
  }
  return tidy;
}

Expression WithResult(const Expression& expression, int result) {
  const PointwiseProgram& program = expression.program;
  if (result < program.inputs) {
    Expression identity = {PointwiseProgram{1, {}}, {expression.operands[result]}};
    return identity;
  }
  Expression shorter = expression;
  shorter.program.instructions.resize(result - program.inputs + 1);
  return shorter;
}

bool IsCommutative(PointwiseOp op) {
  return op == PointwiseOp::kAdd || op == PointwiseOp::kMul || op == PointwiseOp::kMin ||
         op == PointwiseOp::kMax;
}

bool Fits(const Expression& expression) {
  return expression.program.inputs <= kMaxPointwiseInstructions &&
         expression.program.instructions.size() <= kMaxPointwiseInstructions;
}

PointwiseProgram DropInstruction(const PointwiseProgram& program, int index, int replacement) {
  PointwiseProgram shorter;
  shorter.inputs = program.inputs;
  const int dropped = program.inputs + index;
  for (int i = 0; i < static_cast<int>(program.instructions.size()); ++i) {
    if (i == index) continue;
    PointwiseInstruction instruction = program.instructions[i];
    for (int& operand : instruction.operands) {
      if (operand == dropped) operand = replacement;
      if (operand > dropped) --operand;
    }
    shorter.Add(instruction);
  }
  return shorter;
}

}  // namespace graft::passes
