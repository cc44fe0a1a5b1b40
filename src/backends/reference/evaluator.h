// Runs nodes and whole modules on the reference kernels: the oracle of pass and backend tests, and
// what folds constants.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "base/tensor.h"
#include "ir/module.h"

namespace graft::reference {

// The results of one node of the module. Symbols may be left out where neither the node nor its
// values have any; a result dim of the node itself needs no value.
Result<std::vector<Tensor>> Evaluate(const ir::Module& module, const ir::Node& node,
                                     std::span<const Tensor> inputs,
                                     std::span<const int64_t> symbols = {});

// Cuts the results of a node with a result dim, which have the size of its upper bound, to what its
// last result says. Nothing for other nodes.
Status TrimResults(const ir::Module& module, const ir::Node& node, std::vector<Tensor>* results);

// The module's outputs, in their order. The inputs' dimensions and values bind its symbols.
Result<std::vector<Tensor>> RunModule(const ir::Module& module, std::span<const Tensor> inputs);

// RunModule with every value that was computed, by ValueId; those that were not are invalid. The
// symbols' values go to `bound`, where it is given.
Result<std::vector<Tensor>> RunModuleKeepingAll(const ir::Module& module,
                                                std::span<const Tensor> inputs,
                                                std::vector<int64_t>* bound = nullptr);

}  // namespace graft::reference
