// graft plan: work on plan files.
#include <cstdio>

#include "command.h"

namespace graft {

Command AddPlan(CLI::App& program) {
  auto path = std::make_shared<std::string>();
  CLI::App* app = program.add_subcommand("plan", "Check plan files");
  app->require_subcommand(1);
  CLI::App* verify = app->add_subcommand("verify", "Check a plan's structure and all its weights");
  verify->add_option("PLAN", *path, "The plan")->required();
  verify->footer("Exits with 1 when the plan is damaged.");
  return {app, [path]() -> int {
            ReadPlanOptions options;
            options.check_all_weights = true;
            Result<Plan> plan = LoadPlan(*path, options);
            if (plan.ok()) {
              std::printf("%s: good, %d nodes\n", path->c_str(), plan->module.node_count());
              return kDone;
            }
            const int code = Report(plan.status());
            return plan.status().code() == StatusCode::kDataLoss ? kCheckFailed : code;
          }};
}

}  // namespace graft
