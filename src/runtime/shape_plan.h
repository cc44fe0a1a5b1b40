// What one stage of a run needs for one binding of an engine's symbols: the steps in order with
// everything decided, and where every operand lies. Immutable, shared by contexts. An engine
// without result dims has one stage.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "backend_api/backend.h"
#include "ir/module.h"

namespace graft {

// Bytes of a run: an offset from a base that is known when the run starts.
struct Location {
  enum class Base : uint8_t {
    kNone,      // nothing: a constant that its step has packed
    kArena,     // the context's arena, during one stage
    kKept,      // memory of its own for value `index` (a ValueId), which later stages read
    kConstant,  // constant `index` (a ValueId) of the engine
    kInput,     // input `index`: the caller's memory, or the context's copy on the device
    kOutput,    // output `index`, likewise
  };
  Base base = Base::kNone;
  int32_t index = 0;
  size_t offset = 0;
  bool operator==(const Location&) const = default;
};

// A step bound to a shape by one of its tactics.
struct BoundChoice {
  const Tactic* tactic = nullptr;
  const TacticTraits* traits = nullptr;
  std::unique_ptr<BoundStep> step;
};

struct ShapePlan {
  struct Step {
    const BoundStep* step;
    ir::NodeId node;
    int32_t choice;         // index in choices
    int32_t first_pointer;  // in pointers: the inputs, the outputs, the workspace
    int32_t inputs;
    int32_t outputs;
  };
  // An output that no step writes where the caller wants it: rows of `row_bytes` in the device's
  // memory, `row_stride` bytes apart, to be dense at the caller's.
  struct OutputCopy {
    int32_t index;  // of the engine's output
    Location source;
    int64_t rows;
    size_t row_bytes;
    size_t row_stride;
  };

  // An output whose dimensions are known when the stage begins.
  struct Output {
    int32_t index;
    Dims dims;
    size_t bytes;
    bool direct;  // steps write it through Location::Base::kOutput; else an OutputCopy does
  };
  struct KeptValue {
    ir::ValueId value;
    size_t bytes;
  };
  // A symbol that the stage finds out: an i64.
  struct Count {
    ir::SymbolId symbol;
    Location location;
    // What it can be; a result value can be anything.
    int64_t least = std::numeric_limits<int64_t>::min();
    int64_t most = std::numeric_limits<int64_t>::max();
  };

  int stage = 0;
  // Result dims that are found out in this stage at their upper bound; what is not known -1.
  std::vector<int64_t> symbols;
  int width = 1;  // of the executor whose workspaces these are
  std::vector<Dims> input_dims;
  std::vector<Output> outputs;

  size_t arena_bytes = 0;
  std::vector<KeptValue> kept;  // written in this stage
  std::vector<Step> steps;
  // By step, the earlier ones that it waits for. Empty: each waits for the one before.
  std::vector<std::vector<int>> waits;
  std::vector<Location> pointers;
  std::vector<OutputCopy> output_copies;  // after the last step
  std::vector<Count> counts;              // to read after that
  std::vector<BoundChoice> choices;
  bool capture_safe = true;  // all of its steps are
};

}  // namespace graft
