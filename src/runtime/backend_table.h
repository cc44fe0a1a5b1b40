// The backends that are built in, by name.
#pragma once

#include <string_view>
#include <vector>

#include "backend_api/backend.h"

namespace graft {

// kNotFound lists what there is.
Result<Backend*> FindBackend(std::string_view name);
std::vector<std::string_view> BackendNames();

}  // namespace graft
