// The CUDA backend: kernels compiled at run time, on NVIDIA cards from compute capability 8.0 on.
#pragma once

#include "backend_api/backend.h"

namespace graft {

// The card of this ordinal. kUnsupported, with the reason, on machines without a driver, a compiler
// or that card, and in builds without CUDA. Made once; later calls give the same.
Result<Backend*> CudaBackend(int ordinal);

}  // namespace graft
