// Times bodies of a choice as engines, side by side.
#pragma once

#include <memory>
#include <vector>

#include "tune/regions.h"

namespace graft::convert {

// Microseconds of one run of each, the least of several rounds that take turns, with inputs of
// random numbers. `executor` runs them where the backend wants one.
Result<std::vector<double>> TimeBodies(std::vector<TunedBody> bodies, Backend& backend,
                                       const std::shared_ptr<Executor>& executor,
                                       double milliseconds);

}  // namespace graft::convert
