#include "convert/retune.h"

#include "base/executor.h"
#include "runtime/backend_table.h"

namespace graft::convert {
namespace {

Result<TuningPoint> PointOf(const Plan& plan, const std::map<std::string, Dims>& shapes) {
  std::vector<Dims> dims(plan.module.inputs.size());
  for (size_t i = 0; i < dims.size(); ++i)
    dims[i].assign(plan.module.value(plan.module.inputs[i]).shape.size(), -1);
  for (const auto& [name, given] : shapes) {
    int input = 0;  // where there is one, its name may be left out
    if (!name.empty() || dims.size() != 1) {
      GRAFT_ASSIGN_OR_RETURN(input, FindInput(plan.module, name));
    }
    if (given.size() != dims[input].size()) {
      return InvalidArgumentError("input {} has {} dimensions, not {}",
                                  plan.module.input_names[input], dims[input].size(), given.size());
    }
    dims[input] = given;
  }
  return TuningPointFor(plan.module, dims);
}

}  // namespace

Result<TuneReport> Retune(Plan& plan, const RetuneOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(plan.backend, options.device));
  std::vector<TuningPoint> points = plan.choices.points;
  if (!options.shapes.empty()) points.clear();
  for (const auto& shapes : options.shapes) {
    GRAFT_ASSIGN_OR_RETURN(points.emplace_back(), PointOf(plan, shapes));
  }
  TuneOptions tune;
  tune.threads = backend->uses_executor() ? MakeTbbExecutor(options.threads)->width() : 1;
  tune.opt_level = options.opt_level;
  if (options.progress)
    tune.progress = [&](int done, int total) { options.progress("tune", done, total); };
  TuneReport report;
  GRAFT_ASSIGN_OR_RETURN(
      plan.choices, Tune(plan.module, *backend, std::move(points), tune, *options.cache, &report));
  plan.provenance.fingerprint = backend->Fingerprint();
  return report;
}

}  // namespace graft::convert
