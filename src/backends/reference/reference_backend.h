// The oracle as a backend: one tactic for each op, "reference.conv", in host memory on the calling
// thread.
#pragma once

#include "backend_api/backend.h"

namespace graft {

Backend& ReferenceBackend();

}  // namespace graft
