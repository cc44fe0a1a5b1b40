// The variables of TF-TRT that concern a running graph. Read at each use: scripts set and reset
// them between runs.
#pragma once

namespace graft_tf {

// TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION, true by default: whether an engine that cannot run
// is replaced by its native segment.
bool NativeExecutionAllowed();

// TF_TRT_ABORT_CUDA_ENGINE_BUILD, false by default: no engine is made, for trying the fallback.
bool EngineBuildAborted();

}  // namespace graft_tf
