// Tunes a plan again, on another machine or for other shapes: the module stays, its tactics are
// chosen anew.
#pragma once

#include <vector>

#include "convert/build_engine.h"
#include "plan/plan.h"

namespace graft::convert {

struct RetuneOptions {
  // Input dimensions to tune at, in the module's order, -1 unknown; none: the points that the plan
  // was tuned at.
  std::vector<std::vector<Dims>> points;
  int threads = 1;
  int opt_level = 3;  // as in TuneOptions
  int device = 0;     // of the plan's backend
  TimingCache* cache = nullptr;
  Progress progress;
};

// Replaces the plan's choices, and says in its provenance which machine tuned it. The plan's
// weights must have been checked. Errors: dimensions that do not work out (kInvalidArgument), a
// node that this machine has no tactic for (kUnsupported, with its name).
Result<TuneReport> Retune(Plan& plan, const RetuneOptions& options);

}  // namespace graft::convert
