// Graft's log inside TensorFlow: the library's lines go to TensorFlow's log, and the op's own
// detail lines follow the levels that the library reads.
#pragma once

#include "graft/c_api.h"
#include "tensorflow/core/platform/logging.h"

// A detail line of the module trt_engine_op.
#define GRAFT_TF_VLOG(level)                            \
  if (graft_verbose_level("trt_engine_op") < (level)) { \
  } else                                                \
    LOG(INFO)
