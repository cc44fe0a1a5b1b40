#include "runtime/load.h"

#include <fmt/ranges.h>

#include <mutex>
#include <set>

#include "base/log.h"
#include "runtime/backend_table.h"
#include "runtime/engine_registry.h"

namespace graft {
namespace {

// What was fastest on another machine need not be here. Said once for each of those: a model has
// many engines.
void WarnOfOtherMachine(const std::string& tuned_on, const Backend& backend) {
  const std::string here = backend.Fingerprint();
  if (tuned_on.empty() || tuned_on == here) return;
  static std::mutex mutex;
  static std::set<std::string> told;
  const std::lock_guard lock(mutex);
  if (!told.insert(tuned_on).second) return;
  Log(LogLevel::kWarning, "trt_engine",
      "the plan was tuned on \"{}\", this is \"{}\": other tactics may be faster here (graft plan "
      "tune, or convert the model here)",
      tuned_on, here);
}

// Binds the tuning points, so that what the plan has prepared for them is on the device and serves
// all shapes, and a plan that does not fit the device is refused now.
Status BindTuningPoints(const Engine& engine) {
  const std::vector<TuningPoint>& points = engine.choices().points;
  InlineExecutor executor;
  for (size_t p = 0; p < points.size(); ++p) {
    for (int stage = 0; stage < engine.stages().count; ++stage) {
      const Status bound = engine.FindShapePlan(points[p].symbols, executor, stage).status();
      // Sizes that data will say are guesses at a tuning point.
      if (stage == 0 && p == 0) GRAFT_RETURN_IF_ERROR(bound);
    }
  }
  return OkStatus();
}

}  // namespace

Result<Backend*> BackendOf(const Plan& plan, std::string_view wanted, int device) {
  if (!wanted.empty() && wanted != plan.backend)
    return InvalidArgumentError("the plan is for {}, not for {}", plan.backend, wanted);
  Result<Backend*> found = FindBackend(plan.backend, device);
  if (!found.ok()) return NotFoundError("the plan's backend: {}", found.status().message());
  return found;
}

Result<std::shared_ptr<const Engine>> LoadEngine(const FileBytes& bytes,
                                                 const LoadOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(Plan plan, ReadPlan(bytes, options.plan));
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, BackendOf(plan, options.backend, options.device));
  const Hash128 content = plan.content;
  const bool retunes = options.retune && plan.provenance.fingerprint != backend->Fingerprint();
  const std::string device =
      fmt::format("{}:{}{}", backend->name(), backend->device().ordinal(), retunes ? " tuned" : "");
  return EngineRegistry::Global().FindOrCreate(
      content, device, [&]() -> Result<std::shared_ptr<const Engine>> {
        if (retunes) GRAFT_RETURN_IF_ERROR(options.retune(plan));
        const std::string tuned_on = plan.provenance.fingerprint;
        GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const Engine> engine,
                               Engine::Create(std::move(plan), *backend, options.engine));
        if (!backend->uses_executor()) GRAFT_RETURN_IF_ERROR(BindTuningPoints(*engine));
        WarnOfOtherMachine(tuned_on, *backend);
        if (!engine->unused_packed().empty()) {
          GRAFT_VLOG(1, "trt_engine",
                     "packed weights of the plan are not used, the engine packs its own: {}",
                     fmt::join(engine->unused_packed(), "; "));
        }
        if (!engine->damaged_packed().empty()) {
          Log(LogLevel::kWarning, "trt_engine",
              "packed weights of the plan are damaged, the engine packs its own: {}",
              fmt::join(engine->damaged_packed(), "; "));
        }
        if (!engine->missing_tactics().empty()) {
          Log(LogLevel::kWarning, "trt_engine",
              "this build lacks tactics of the plan, others run in their place: {}",
              fmt::join(engine->missing_tactics(), ", "));
        }
        if (!engine->unprepared_tactics().empty()) {
          Log(LogLevel::kWarning, "trt_engine",
              "the plan has lost what tactics prepared, others run in their place: {}",
              fmt::join(engine->unprepared_tactics(), ", "));
        }
        return engine;
      });
}

Result<std::shared_ptr<const Engine>> LoadEngine(const std::string& path,
                                                 const LoadOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(path, options.map));
  Result<std::shared_ptr<const Engine>> engine = LoadEngine(bytes, options);
  if (!engine.ok()) return engine.status().WithContext(path);
  return engine;
}

}  // namespace graft
