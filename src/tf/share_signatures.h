// What several signatures compute alike.
#pragma once

#include <string>

#include "tf/saved_model.h"

namespace graft::tf {

// Exporters write signatures as functions, and inlining makes a copy of all that they call for
// each: Keras's `serve` and `serving_default` are one function. Here nodes that compute the same,
// of inputs that have the same key, dtype and shape in their signatures, become one, constants too:
// equal signatures mean the same tensors, and others share what they have in common. Equal nodes of
// one signature stay apart. The nodes of `preferred` are the ones to stay. What is not read any
// more is left for pruning.
//
// Never one: variables and tables; nodes with other side effects or random numbers within one
// signature; what is fed under several keys, or in the middle of the graph; what lies in loops of
// TensorFlow 1 or behind them. Expects calls inlined and variables frozen.
Status ShareSignatures(const std::string& preferred, MetaGraph* meta);

}  // namespace graft::tf
