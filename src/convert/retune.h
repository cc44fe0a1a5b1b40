// Tunes a plan again, on another machine or for other shapes: the module stays, its tactics are
// chosen anew.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "convert/build_engine.h"
#include "plan/plan.h"

namespace graft::convert {

struct RetuneOptions {
  // Input dims by name, a tuning point each; empty: the points that the plan was tuned at.
  std::vector<std::map<std::string, Dims>> shapes;
  int threads = 1;
  int opt_level = 3;  // as in TuneOptions
  int device = 0;     // of the plan's backend
  TimingCache* cache = nullptr;
  Progress progress;
};

// Replaces the plan's choices, and says in its provenance which machine tuned it. The plan's
// weights must have been checked. Errors: shapes of inputs that it does not have or that do not
// work out (kInvalidArgument), a node that this machine has no tactic for (kUnsupported, with its
// name).
Result<TuneReport> Retune(Plan& plan, const RetuneOptions& options);

}  // namespace graft::convert
