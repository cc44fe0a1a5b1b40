// From plan bytes to a shared engine.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "plan/plan_file.h"
#include "runtime/engine.h"

namespace graft {

struct LoadOptions {
  ReadPlanOptions plan;
  EngineOptions engine;
  // Called with a plan that was tuned on another machine; what it makes of it is loaded.
  std::function<Status(Plan&)> retune;
  bool map = true;      // false: the file is copied, for files that others may write to
  std::string backend;  // what the plan must be for; "": anything
  int device = 0;       // which one of the plan's kind
};

// The backend of a plan, its device of that number. kInvalidArgument where `wanted` is another one
// ("": anything), kNotFound where there is none here.
Result<Backend*> BackendOf(const Plan& plan, std::string_view wanted, int device);

// Equal plans loaded at the same time in one process for one device are one engine
// (engine_registry.h).
Result<std::shared_ptr<const Engine>> LoadEngine(const std::string& path,
                                                 const LoadOptions& options = {});
Result<std::shared_ptr<const Engine>> LoadEngine(const FileBytes& bytes,
                                                 const LoadOptions& options = {});

}  // namespace graft
