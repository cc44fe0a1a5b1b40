// Convolutions and matrix products of the types that have no kernels of their own: f64 and the
// integers, whose sums wrap around. Filters and matrices are read as they lie.
#pragma once

#include <optional>

#include "base/dtype.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/matmul/matmul.h"

namespace graft::cpu {

struct PlainArguments {
  const void* x = nullptr;
  const void* w = nullptr;
  void* y = nullptr;
  const BlockFunction* finish = nullptr;  // called with whole rows of y
};

template <class Problem>
class PlainKernel {
 public:
  using Loop = void (*)(const Problem& problem, const PlainArguments& arguments,
                        Executor& executor);
  PlainKernel(Problem problem, Loop loop) : problem_(std::move(problem)), loop_(loop) {}
  void Run(const PlainArguments& arguments, Executor& executor) const {
    loop_(problem_, arguments, executor);
  }

 private:
  Problem problem_;
  Loop loop_;
};

// Null for dtypes without a loop. The filter is [kernel…, group_inputs, output_channels], of a
// transposed convolution [kernel…, output_channels, input_channels].
PlainKernel<ConvProblem>::Loop PlainConvLoop(DType dtype);
PlainKernel<ConvProblem>::Loop PlainConvTransposeLoop(DType dtype);
PlainKernel<MatMulProblem>::Loop PlainMatMulLoop(DType dtype);

}  // namespace graft::cpu
