#include "runtime/load.h"

#include <fmt/ranges.h>

#include "base/log.h"
#include "runtime/backend_table.h"
#include "runtime/engine_registry.h"

namespace graft {

Result<std::shared_ptr<const Engine>> LoadEngine(const FileBytes& bytes,
                                                 const LoadOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(Plan plan, ReadPlan(bytes, options.plan));
  const Result<Backend*> found = FindBackend(plan.backend, options.device);
  if (!found.ok()) return NotFoundError("the plan's backend: {}", found.status().message());
  Backend* const backend = *found;
  const Hash128 content = plan.content;
  const std::string device = fmt::format("{}:{}", backend->name(), backend->device().ordinal());
  return EngineRegistry::Global().FindOrCreate(content, device, [&] {
    Result<std::shared_ptr<const Engine>> engine =
        Engine::Create(std::move(plan), *backend, options.engine);
    if (engine.ok() && !(*engine)->missing_tactics().empty()) {
      Log(LogLevel::kWarning, "trt_engine",
          "this build lacks tactics of the plan, others run in their place: {}",
          fmt::join((*engine)->missing_tactics(), ", "));
    }
    if (engine.ok() && !(*engine)->unprepared_tactics().empty()) {
      Log(LogLevel::kWarning, "trt_engine",
          "the plan has lost what tactics prepared, others run in their place: {}",
          fmt::join((*engine)->unprepared_tactics(), ", "));
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
