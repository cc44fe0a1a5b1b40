// What tuning decides and a plan records: for every node of an engine module the ordered tactics
// that can run it, and at which bindings of the symbols they were compared. Tactics of one step may
// want different packings of its constants: an engine packs for a tactic when it first binds it to
// a shape, so a fallback that no shape has needed costs no memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace graft {

struct TacticChoice {
  std::string name;
  int version = 1;
  bool operator==(const TacticChoice&) const = default;
};

struct StepChoice {
  std::vector<TacticChoice>
      tactics;            // in order of preference at the first point; one of them takes any shape
  std::vector<int> best;  // for each tuning point, the index in `tactics` of the fastest
  bool operator==(const StepChoice&) const = default;
};

// One binding of every symbol of the module (index = SymbolId), with the rank of its importance:
// the first decides the packing.
struct TuningPoint {
  std::vector<int64_t> symbols;
  bool operator==(const TuningPoint&) const = default;
};

struct Choices {
  std::vector<TuningPoint> points;
  std::vector<StepChoice> steps;  // one for each node, in the module's order
  bool operator==(const Choices&) const = default;
};

}  // namespace graft
