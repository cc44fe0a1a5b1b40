// The text of the CUDA kernels, which are compiled at run time.
#pragma once

#include <span>
#include <string_view>

namespace graft::cuda {

// "affine.cu", "prelude.cuh". A name that is not there is a bug.
std::string_view KernelSource(std::string_view file);
// All files.
std::span<const std::string_view> KernelFiles();

}  // namespace graft::cuda
