#include "program.h"

#include <CLI/CLI.hpp>
#include <new>

#include "command.h"

namespace graft {

int RunProgram(int argc, char** argv) {
  CLI::App program("Graft makes trained TensorFlow models run fast.", "graft");
  program.require_subcommand(1);
  program.set_version_flag("--version", "graft 0.1.0");
  program.footer(
      "Examples:\n"
      "  graft convert model.pb --plan model.plan\n"
      "  graft bench model.plan --threads 2 --layers\n"
      "  graft COMMAND --help shows a command's options and examples.");
  const Command commands[] = {AddConvert(program), AddRun(program),       AddBench(program),
                              AddInspect(program), AddCompare(program),   AddPlan(program),
                              AddOps(program),     AddCalibrate(program), AddReport(program)};
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? kDone : kUsage;
  }
  try {
    for (const Command& command : commands) {
      if (command.app->parsed()) return command.action();
    }
  } catch (const std::bad_alloc&) {
    return Report(ResourceExhaustedError("out of memory"));
  }
  return kUsage;
}

}  // namespace graft
