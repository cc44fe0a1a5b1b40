// The variables that concern a running graph. Read at each use: scripts set and reset them between
// runs.
#pragma once

#include <optional>

namespace graft_tf {

// TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION, true by default: whether an engine that cannot run
// is replaced by its native segment.
bool NativeExecutionAllowed();

// TF_TRT_ABORT_CUDA_ENGINE_BUILD, false by default: no engine is made, for trying the fallback.
bool EngineBuildAborted();

// GRAFT_TF_OPT_LEVEL, 0 … 5, 0 by default: how much time may be taken to tune an engine that is
// built at its first run. At 0 nothing is timed, but the timing cache is read.
int BuildLevel();

// An engine that was built at its first run with less is tuned afterwards in the background, at
// this level, and the tuned one takes its place. Nothing, with GRAFT_TF_TUNE=off or where the build
// was at this level: it stays as it was built.
std::optional<int> BackgroundTuneLevel();

// GRAFT_TF_BUILD=background: calls do not wait for an engine that is being built, but run its
// native segment.
bool BuildsInBackground();

}  // namespace graft_tf
