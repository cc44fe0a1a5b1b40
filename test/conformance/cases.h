// The cases of every op: small nodes with awkward sizes, and seeded data for them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend_api/backend.h"

namespace graft::conformance {

// What an operand holds.
enum class Fill {
  kNormal,    // floats from a normal distribution; small integers
  kPositive,  // above 0.1; integers from 1
  kUnit,      // floats between -1 and 1
  kAboveOne,  // floats from 1
  kTies,      // floats with one decimal, so that many are equal
  kSpecial,   // NaN, infinities, zeros, extremes; a second operand meets each of them with each
  kIndices,   // integers from 0 to 3
  kAll8,      // all values of an 8-bit integer alike
  kAll7,      // those that are not negative, as the value's range says
};

struct Operand {
  Dims dims;
  DType dtype = DType::kFloat32;
  Fill fill = Fill::kNormal;
  bool constant = false;
  std::vector<double> values = {};  // these instead, where there are any
};

struct Case {
  ir::Attributes attributes;
  std::vector<Operand> operands;
  // The upper bound of the node's result dim, which is symbol 0; for ops that have one.
  std::optional<int64_t> most_results = std::nullopt;
};

std::vector<Case> CasesOf(ir::OpKind op);

// The bytes of a case's operand.
Tensor MakeTensor(const Case& c, int operand);

}  // namespace graft::conformance
