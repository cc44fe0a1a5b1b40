// The TensorFlow function that an engine node falls back to.
#pragma once

#include <memory>
#include <string>

#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace graft_tf {

class NativeSegment {
 public:
  explicit NativeSegment(tensorflow::NameAttrList function) : function_(std::move(function)) {}

  const std::string& name() const { return function_.name(); }
  bool exists() const { return !function_.name().empty(); }
  // Whether the graph's library has it still.
  bool IsThere(tensorflow::OpKernelContext* context) const;
  // Its definition, with constants that it shares with other segments (functions that it calls) in
  // their places; null when it has been removed. It stays when its graph goes.
  std::shared_ptr<const tensorflow::FunctionDef> Whole(tensorflow::OpKernelContext* context) const;
  // Runs it on the op's inputs and sets the op's outputs, then calls `done`; a failure goes to the
  // context.
  void Run(tensorflow::OpKernelContext* context,
           const tensorflow::AsyncOpKernel::DoneCallback& done);

 private:
  const tensorflow::NameAttrList function_;
};

}  // namespace graft_tf
