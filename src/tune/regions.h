// Chooses among the bodies of a choice (ir::ChoiceAttributes): each is cut out as a module of its
// own at every tuning point, optimised and tuned as it would be in its place, and timed as a whole.
#pragma once

#include <functional>
#include <vector>

#include "tune/tuner.h"

namespace graft {

// A body at a tuning point: no symbols, its tactics chosen.
struct TunedBody {
  ir::Module module;
  Choices choices;
};

// What this library cannot do itself, since it links neither passes nor the runtime.
struct RegionHooks {
  // What the passes behind the choice will do to the body.
  std::function<Status(ir::Module&)> optimize;
  // Microseconds of one run of each, the runs of all interleaved, about so long for each.
  std::function<Result<std::vector<double>>(std::vector<TunedBody>, double milliseconds)> time;
};

// The body that is the fastest over all points, each counted alike; of those within the tie of the
// tuner, the first. `windows`: by result, whether its readers take it with rows that are not dense,
// so that a slice that gives it costs nothing. The keys of timings hold the body, what it reads
// (constants by type alone) and the tactics of its steps, so a build that finds them decides alike
// and measures nothing. At level 0, and for what is too large to time, costs are summed. Adds to
// `report` what was compared.
Result<int> ChooseBody(const ir::Module& module, const ir::Node& choice,
                       const std::vector<bool>& windows, Backend& backend,
                       const std::vector<TuningPoint>& points, const TuneOptions& options,
                       const RegionHooks& hooks, TimingCache& cache, TuneReport* report);

}  // namespace graft
