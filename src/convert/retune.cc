#include "convert/retune.h"

#include "base/executor.h"
#include "runtime/backend_table.h"

namespace graft::convert {

Result<TuneReport> Retune(Plan& plan, const RetuneOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(plan.backend, options.device));
  std::vector<TuningPoint> points = plan.choices.points;
  if (!options.points.empty()) points.clear();
  for (const std::vector<Dims>& dims : options.points) {
    GRAFT_ASSIGN_OR_RETURN(points.emplace_back(), TuningPointFor(plan.module, dims));
  }
  TuneOptions tune;
  tune.threads = backend->uses_executor() ? MakeTbbExecutor(options.threads)->width() : 1;
  tune.opt_level = options.opt_level;
  if (options.progress)
    tune.progress = [&](int done, int total) { options.progress("tune", done, total); };
  TuneReport report;
  GRAFT_ASSIGN_OR_RETURN(
      plan.choices, Tune(plan.module, *backend, std::move(points), tune, *options.cache, &report));
  plan.packed.clear();  // for the tactics that were chosen before
  plan.provenance.fingerprint = backend->Fingerprint();
  return report;
}

}  // namespace graft::convert
