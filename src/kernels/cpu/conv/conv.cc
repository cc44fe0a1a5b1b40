#include "kernels/cpu/conv/conv.h"

namespace graft::cpu {

#define GRAFT_CONV_KERNEL(Id, name, version, packing)                 \
  {name,     version,           packing, Id##Refuses, Id##PackedSize, \
   Id##Pack, Id##WorkspaceSize, Id##Run, Id##Cost},

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
