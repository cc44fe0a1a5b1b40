// Runs one tactic on one case in a backend's own memory.
#pragma once

#include <span>
#include <vector>

#include "backend_api/backend.h"
#include "base/tensor.h"

namespace graft::conformance {

// How the buffers lie.
struct Layout {
  bool strided = false;   // rows of input 0 and output 0 lie apart, where the tactic takes that
  bool in_place = false;  // output 0 is input 0's buffer
  // Buffers begin one element behind where a device gives memory, and nothing is prepared, as for a
  // new shape and a caller's addresses.
  bool shifted = false;
};

// The node's results, dense, or why the tactic could not run. kUnsupported: it does not take this
// shape. An error too when it writes between the rows or past the end of its results.
Result<std::vector<Tensor>> RunTactic(const Tactic& tactic, Backend& backend,
                                      const ir::Module& module, const ir::Node& node,
                                      std::span<const int64_t> symbols,
                                      const std::vector<Tensor>& inputs, Layout layout,
                                      Executor& executor);

}  // namespace graft::conformance
