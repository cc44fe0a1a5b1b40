#include "kernels/cpu/conv/conv.h"

namespace graft::cpu {

std::span<const ConvKernel> ConvKernels() {
  static constexpr ConvKernel kKernels[] = {
#define GRAFT_CONV_KERNEL(Id, name, version, packing)                 \
  {name,     version,           packing, Id##Refuses, Id##PackedSize, \
   Id##Pack, Id##WorkspaceSize, Id##Run, Id##Cost},
#include "kernels/cpu/conv/kernels.inc"
#undef GRAFT_CONV_KERNEL
  };
  return kKernels;
}

}  // namespace graft::cpu
