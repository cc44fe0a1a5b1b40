#include "backends/cuda/cuda_backend.h"

namespace graft {

Result<Backend*> CudaBackend(int) {
  return UnsupportedError("this build of Graft has no CUDA backend: no toolkit was found");
}
Result<Backend*> CudaTarget(std::string_view) { return CudaBackend(0); }

}  // namespace graft
