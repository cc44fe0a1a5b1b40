// Keeps in a plan what engines of it would pack when they are made.
#pragma once

#include <cstddef>
#include <string>

#include "backend_api/backend.h"
#include "base/executor.h"
#include "base/status.h"
#include "plan/plan.h"

namespace graft {

struct PackReport {
  int nodes = 0;       // whose constants the plan has packed now
  size_t bytes = 0;    // of them
  std::string target;  // AdoptsPacked::PackedTarget()
};

// Packs the constants of each node for the tactics that are best at the plan's tuning points, in
// place of what the plan had packed. kUnsupported where no tactic's are kept in plans.
Result<PackReport> PackPlan(Plan& plan, Backend& backend, Executor& executor);

}  // namespace graft
