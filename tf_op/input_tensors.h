// An op's inputs as the C API takes them. No allocation for the usual numbers and ranks.
#pragma once

#include "absl/container/inlined_vector.h"
#include "graft/c_api.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace graft_tf {

// The context outlives it.
class InputTensors {
 public:
  explicit InputTensors(tensorflow::OpKernelContext* context)
      : dims_(context->num_inputs()), tensors_(context->num_inputs()) {
    for (int i = 0; i < context->num_inputs(); ++i) {
      const tensorflow::Tensor& input = context->input(i);
      for (const auto& d : input.shape()) dims_[i].push_back(d.size);
      tensors_[i] = GRAFT_TENSOR_INIT;
      tensors_[i].dtype = input.dtype();
      tensors_[i].rank = static_cast<int32_t>(dims_[i].size());
      tensors_[i].dims = dims_[i].data();
      tensors_[i].data = input.tensor_data().data();
    }
  }
  InputTensors(const InputTensors&) = delete;
  InputTensors& operator=(const InputTensors&) = delete;
  const graft_tensor* data() const { return tensors_.data(); }
  int32_t size() const { return static_cast<int32_t>(tensors_.size()); }

 private:
  absl::InlinedVector<absl::InlinedVector<int64_t, 8>, 8> dims_;
  absl::InlinedVector<graft_tensor, 8> tensors_;
};

}  // namespace graft_tf
