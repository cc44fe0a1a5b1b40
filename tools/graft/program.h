// The graft program. One file a subcommand.
#pragma once

namespace graft {

// Gives the exit code.
int RunProgram(int argc, char** argv);

}  // namespace graft
