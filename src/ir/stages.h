// When a run knows what: result dims split a module into stages. A stage runs all nodes whose
// shapes are known at its beginning; at its end the result dims of those nodes are known.
#pragma once

#include <span>
#include <vector>

#include "ir/module.h"

namespace graft::ir {

struct Stages {
  int count = 1;
  std::vector<int> node;    // the stage in which each node runs
  std::vector<int> symbol;  // the stage at whose beginning each symbol is known
  // The symbols that the counts of nodes in a stage give, in order of the stages.
  std::vector<SymbolId> results;
  std::vector<SymbolId> expressions;  // in order of their ids: operands first

  // The stage at whose beginning all symbols of the shape are known.
  int Of(const Shape& shape) const;
  // The stage that makes the value; 0 for inputs and constants.
  int Of(const Value& value) const { return value.producer < 0 ? 0 : node[value.producer]; }
};

// InvalidArgument when a dimension is used before it can be known, or when memory is shared with a
// value of a later stage. The module's ids must be in range.
Result<Stages> FindStages(const Module& module);

// Gives the expressions that are known at the beginning of the stage their values; the symbols that
// they are of are bound.
Status BindExpressions(const Module& module, const Stages& stages, int stage,
                       std::vector<int64_t>* symbols);

// Gives every result dim its upper bound, and every expression its value then; the other symbols,
// result values too, are bound already.
// For planning ahead of a run: tuning, buffers.
Status BindUpperBounds(const Module& module, const Stages& stages, std::vector<int64_t>* symbols);

}  // namespace graft::ir
