// An engine's steps in TensorFlow's own profiles.
#pragma once

#include <memory>

#include "graft/c_api.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace graft_tf {

// While it lives, the context's steps go to TensorFlow's profiler, beneath the engine node, and to
// the RunMetadata of the call, each as ENGINE/STEP: whichever is collecting. Otherwise it does
// nothing.
class StepProfile {
 public:
  StepProfile(tensorflow::OpKernelContext* op, graft_context* context);
  ~StepProfile();
  StepProfile(const StepProfile&) = delete;
  StepProfile& operator=(const StepProfile&) = delete;

 private:
  class Collector;
  graft_context* const context_;
  std::unique_ptr<Collector> collector_;
};

}  // namespace graft_tf
