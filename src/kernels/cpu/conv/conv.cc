#include "kernels/cpu/conv/conv.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"

namespace graft::cpu {

TapRange TapsInside(const ConvProblem& problem, int axis, int64_t start) {
  const int64_t step = problem.filter.dilation[axis];
  const int64_t taps = problem.filter.kernel[axis];
  const int64_t size = problem.input[axis];
  const int64_t first = start < 0 ? std::min(taps, CeilDiv(-start, step)) : 0;
  const int64_t last = start < size ? std::min(taps, CeilDiv(size - start, step)) : 0;
  return {first, std::max(first, last)};
}

#define GRAFT_CONV_KERNEL(Id, name, version, packing, Input, Filter, Accumulator, Sums) \
  {name,                                                                                \
   version,                                                                             \
   packing,                                                                             \
   MakeTypes(kernel_input::Input, DType::Filter, DType::Accumulator),                   \
   SumsIn::Sums,                                                                        \
   Id##Refuses,                                                                         \
   Id##PackedBytes,                                                                     \
   Id##Pack,                                                                            \
   Id##WorkspaceBytes,                                                                  \
   Id##Run,                                                                             \
   Id##Cost},

std::span<const ConvKernel> ConvKernels() {
  static constexpr ConvKernel kKernels[] = {
#include "kernels/cpu/conv/kernels.inc"
  };
  return kKernels;
}

std::span<const ConvKernel> TransposedConvKernels() {
  static constexpr ConvKernel kKernels[] = {
#include "kernels/cpu/conv/transposed_kernels.inc"
  };
  return kKernels;
}

}  // namespace graft::cpu
