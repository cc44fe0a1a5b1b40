// Runs a node's tactics on seeded data, side by side: how long each takes and whether it computes
// the same as the others.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend_api/backend.h"

namespace graft {

struct MeasureOptions {
  double milliseconds = 6;  // to spend on each tactic, about
  // The constants are in no cache when a run begins, as in a model whose constants no cache holds.
  bool cold_constants = false;
};

struct Measurement {
  double microseconds = 0;  // the least of several rounds
  std::string rejected;     // why the tactic must not be used here; empty: it may
  bool refused = false;     // rejected by the tactic itself: this shape is not for it
  bool no_memory = false;   // rejected since there was no memory for it
  std::string prepared;     // what the tactic prepared
};

// Tactic::Prepare, where the traits want it; else "". kUnsupported also when it is too large.
Result<std::string> PrepareTactic(const Tactic& tactic, const TacticTraits& traits,
                                  const BoundNode& node, const PackedWeights* packed);

// Fills memory with numbers of the dtype, the same for the same seed: floats normally distributed,
// integers from 1 to 100 of either sign, or, with a limit, from 0 to below it.
void SeedValues(DType dtype, std::span<std::byte> bytes, int64_t limit = 0, uint32_t seed = 1);

// What a run of the node has in memory, constants and workspaces not counted.
size_t MeasuredBytes(const BoundNode& node);

// One measurement for each tactic. Each must bind the node or is rejected with the reason. Results
// are compared with those of the last tactic that takes any shape: those of floats by the op's
// tolerance, integers exactly. Operands are seeded: floats normally distributed, integers small,
// indices within range.
Result<std::vector<Measurement>> MeasureTactics(const ir::Module& module, const ir::Node& node,
                                                const BoundNode& bound,
                                                const std::vector<const Tactic*>& tactics,
                                                Backend& backend, Executor& executor,
                                                const MeasureOptions& options);

}  // namespace graft
