// The CUDA backend: kernels compiled at run time, on NVIDIA cards from compute capability 8.0 on.
#pragma once

#include <string_view>

#include "backend_api/backend.h"

namespace graft {

// The card of this ordinal. kUnsupported, with the reason, on machines without a driver or that
// card, and in builds without CUDA. Made once; later calls give the same.
Result<Backend*> CudaBackend(int ordinal);

// For a kind of card ("sm_90", also "sm_90a") that need not be here: its tactics prepare (compile)
// and are ranked, none can be bound, and its device has no memory. kUnsupported, with the reason,
// where there is no compiler or it does not know the kind. Likewise made once.
Result<Backend*> CudaTarget(std::string_view kind);

}  // namespace graft
