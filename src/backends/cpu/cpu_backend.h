// The CPU backend: Highway kernels, and oneDNN's beside them where Graft is built with it.
#pragma once

#include "backend_api/backend.h"

namespace graft {

Backend& CpuBackend();

}  // namespace graft
