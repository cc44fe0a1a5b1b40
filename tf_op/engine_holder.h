// An engine inside TensorFlow: made once, loaded or built, and run by any number of threads, each
// with a context of its own.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine_maker.h"
#include "engine_resource.h"
#include "engine_state.h"
#include "graft_status.h"
#include "native_segment.h"
#include "statistics.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace graft_tf {

class EngineHolder {
 public:
  EngineHolder(EngineSpec spec, const NativeSegment* native, NodeStatistics* statistics);
  ~EngineHolder();
  EngineHolder(const EngineHolder&) = delete;
  EngineHolder& operator=(const EngineHolder&) = delete;

  // Runs the engine on the op's inputs and sets its outputs. An error means that the native segment
  // is to run; Unavailable, that it is meanwhile: the engine is being built.
  absl::Status Run(tensorflow::OpKernelContext* context);

  // Frees the contexts, and with them the memory, that no call uses at the moment, of all engines
  // of the process. Gives how many.
  static int64_t TrimAll();

 private:
  absl::Status BeReady(tensorflow::OpKernelContext* context);
  void Make(tensorflow::OpKernelContext* context);
  void DropBytes();
  void Build(tensorflow::OpKernelContext* context, const NativeFunction& native);
  absl::Status KeepForSaving(tensorflow::OpKernelContext* context);
  // Of one of the engines that the node has had.
  struct Context {
    Owned<graft_context> run;
    int64_t generation = 0;  // EngineState's
  };
  absl::StatusOr<Context> TakeContext(tensorflow::OpKernelContext* context);
  void GiveBack(Context context, size_t most_idle);
  int64_t Trim();

  EngineSpec spec_;  // its bytes are dropped when the engine is made
  const NativeSegment* const native_;
  // Shared with a build in the background, which the kernel does not wait for when it goes.
  const std::shared_ptr<EngineState> state_;
  std::mutex kept_mutex_;  // guards the two
  // Of an engine that was built here: where its plan waits to be saved, and under which key.
  tensorflow::core::RefCountPtr<EngineResource> kept_in_;
  std::string segment_;
  std::mutex idle_mutex_;
  std::vector<Context> idle_;  // guarded by idle_mutex_; each keeps its engine alive
};

}  // namespace graft_tf
