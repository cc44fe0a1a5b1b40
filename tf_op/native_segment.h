// The TensorFlow function that an engine node falls back to.
#pragma once

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
  // The same, with constants that it shares with other segments (functions that it calls) in their
  // places: where there are such, a copy, which goes to `copy`.
  const tensorflow::FunctionDef* FindWhole(tensorflow::OpKernelContext* context,
                                           tensorflow::FunctionDef* copy) const;
  // Runs it on the op's inputs and sets the op's outputs, then calls `done`; a failure goes to the
  // context.
  void Run(tensorflow::OpKernelContext* context, tensorflow::AsyncOpKernel::DoneCallback done);

 private:
  const tensorflow::NameAttrList function_;
};

}  // namespace graft_tf
