// The order of the passes, and the driver that runs them.
#pragma once

#include <string>
#include <vector>

#include "passes/pass.h"

namespace graft::passes {

enum class Stage : uint8_t {
  kSimplify,  // into one form, for any backend
  kOptimize,  // for the backend
};

struct PipelineOptions {
  std::vector<std::string> disabled;  // pass names; an unknown one is an InvalidArgument
  std::string stop_after;      // a pass name: nothing runs after its first place in the stage
  std::string dump_directory;  // where "017-fuse-epilogue.ir" goes after each pass that changed
                               // something; empty: nowhere
};

struct PassReport {
  std::string_view name;
  int rounds = 0;  // that changed something
  double milliseconds = 0;
};

// Every pass of the stage to its fixed point, in order. The module is compact and verified after
// each. A status names the pass that made it.
Result<std::vector<PassReport>> RunPipeline(Stage stage, const PipelineOptions& options,
                                            PassContext& context, ir::Module& module);

// What happens to a body that takes the place of a choice: the passes behind resolve-choices, but
// those that are disabled.
Status RunPassesAfterChoices(const PipelineOptions& options, PassContext& context,
                             ir::Module& module);

// One pass to its fixed point; how many rounds changed something.
Result<int> RunToFixedPoint(const Pass& pass, PassContext& context, ir::Module& module);

}  // namespace graft::passes
