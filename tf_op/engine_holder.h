// An engine inside TensorFlow: made once, from the node's plan bytes or from its native segment,
// and run by any number of threads, each with a context of its own.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine_resource.h"
#include "graft_status.h"
#include "native_segment.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace graft_tf {

// What the node says about its engine.
struct EngineSpec {
  std::string node;
  std::string serialized_segment;
  std::string precision_mode;
  std::string calibration_data;
  bool allow_build = true;
};

class EngineHolder {
 public:
  EngineHolder(EngineSpec spec, const NativeSegment* native)
      : spec_(std::move(spec)), native_(native) {}
  ~EngineHolder();

  // Runs the engine on the op's inputs and sets its outputs. An error means that nothing was set:
  // run the native segment.
  absl::Status Run(tensorflow::OpKernelContext* context);

 private:
  absl::Status Make(tensorflow::OpKernelContext* context);
  absl::Status Build(tensorflow::OpKernelContext* context, const tensorflow::FunctionDef& function,
                     std::string* plan);
  absl::Status BuildWith(tensorflow::OpKernelContext* context,
                         const tensorflow::FunctionDef& function, const std::string& precision_mode,
                         std::string* plan);
  absl::Status Load(tensorflow::OpKernelContext* context, const std::string& plan,
                    const tensorflow::FunctionDef* function);
  absl::Status LoadSaved(tensorflow::OpKernelContext* context,
                         const tensorflow::FunctionDef* function);
  absl::Status KeepForSaving(tensorflow::OpKernelContext* context, std::string plan);
  absl::StatusOr<Owned<graft_context>> TakeContext(tensorflow::OpKernelContext* context);
  void GiveBack(Owned<graft_context> context, size_t most_idle);

  EngineSpec spec_;  // its plan is dropped when the engine is made
  const NativeSegment* const native_;
  std::mutex mutex_;  // guards what follows
  bool made_ = false;
  absl::Status make_status_;  // not tried again: a failed build would fail at every call
  Owned<graft_engine> engine_;
  // Of an engine that was built here: where its plan waits to be saved, and under which key.
  tensorflow::core::RefCountPtr<EngineResource> kept_in_;
  std::string segment_;
  std::vector<Owned<graft_context>> idle_;  // after the engine, so that they go before it
};

}  // namespace graft_tf
