// Why a node of a plan runs as it does: every tactic that a backend has for it, measured.
#pragma once

#include <string>
#include <vector>

#include "tune/tuner.h"

namespace graft {

struct CandidateReport {
  struct Time {
    double microseconds = 0;
    std::string rejected;  // why it has none: its result was wrong, or this shape is not for it
  };
  std::string tactic;
  std::string refusal;      // why it never runs the node; empty: it does
  std::vector<Time> times;  // by tuning point, where it is not refused
};

// Times all candidates for a node at each point, in the backend's order, as tuning at
// `options.opt_level` does, whatever any cache holds. Errors: sizes at which the node cannot be run
// (kUnsupported), memory.
Result<std::vector<CandidateReport>> ExplainNode(const ir::Module& module, ir::NodeId id,
                                                 Backend& backend,
                                                 std::span<const TuningPoint> points,
                                                 const TuneOptions& options);

}  // namespace graft
