// What tuning decides and a plan records: for every node of an engine module the ordered tactics
// that can run it, and at which bindings of the symbols they were compared. Tactics of one step may
// want different packings of its constants: an engine packs for a tactic when it first binds it to
// a shape, so a fallback that no shape has needed costs no memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace graft {

struct TacticChoice {
  std::string name;
  int version = 1;
  // What Tactic::Prepare gave at each tuning point: "" where there was nothing to prepare, nullopt
  // where it was kept and cannot be read any more, so that the tactic is not to be used at that
  // point. Empty: nothing at any point.
  std::vector<std::optional<std::string>> prepared;
  bool operator==(const TacticChoice&) const = default;
};

struct StepChoice {
  // In order of preference at the first tuning point; one of them takes any shape.
  std::vector<TacticChoice> tactics;
  // For each tuning point, the index in `tactics` of the fastest.
  std::vector<int> best;
  bool operator==(const StepChoice&) const = default;
};

// One binding of every symbol of the module (index = SymbolId).
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
