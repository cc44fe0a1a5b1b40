// The TensorFlow function that an engine node falls back to.
#pragma once

#include <mutex>
#include <string>

#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace graft_tf {

class NativeSegment {
 public:
  explicit NativeSegment(tensorflow::NameAttrList function) : function_(std::move(function)) {}

  const std::string& name() const { return function_.name(); }
  bool exists() const { return !function_.name().empty(); }
  // Its definition in the graph's library; null when it has been removed.
  const tensorflow::FunctionDef* Find(tensorflow::OpKernelContext* context) const;
  // Runs it on the op's inputs and sets the op's outputs, then calls `done`; a failure goes to the
  // context.
  void Run(tensorflow::OpKernelContext* context, tensorflow::AsyncOpKernel::DoneCallback done);

 private:
  absl::Status Instantiate(tensorflow::FunctionLibraryRuntime* library,
                           tensorflow::FunctionLibraryRuntime::Handle* handle);

  tensorflow::NameAttrList function_;
  std::mutex mutex_;
  // A kernel may be called under another library than before (another session's, a function's
  // copy).
  tensorflow::FunctionLibraryRuntime* library_ = nullptr;
  tensorflow::FunctionLibraryRuntime::Handle handle_ = tensorflow::kInvalidHandle;
};

}  // namespace graft_tf
