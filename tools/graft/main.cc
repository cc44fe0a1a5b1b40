// The graft program. One file a subcommand.
#include <CLI/CLI.hpp>
#include <new>

#include "command.h"

int main(int argc, char** argv) {
  CLI::App program("Graft makes trained TensorFlow models run fast.", "graft");
  program.require_subcommand(1);
  program.set_version_flag("--version", "graft 0.1.0");
  program.footer(
      "Examples:\n"
      "  graft convert model.pb --plan model.plan\n"
      "  graft bench model.plan --threads 2 --layers\n"
      "  graft COMMAND --help shows a command's options and examples.");
  const graft::Command commands[] = {graft::AddConvert(program), graft::AddRun(program),
                                     graft::AddBench(program),   graft::AddInspect(program),
                                     graft::AddCompare(program), graft::AddPlan(program),
                                     graft::AddOps(program),     graft::AddCalibrate(program)};
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? graft::kDone : graft::kUsage;
  }
  try {
    for (const graft::Command& command : commands) {
      if (command.app->parsed()) return command.action();
    }
  } catch (const std::bad_alloc&) {
    return graft::Report(graft::ResourceExhaustedError("out of memory"));
  }
  return graft::kUsage;
}
