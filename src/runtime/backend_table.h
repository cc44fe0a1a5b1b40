// The backends that are built in, by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backend_api/backend.h"

namespace graft {

// The backend over one device of its kind. The error lists what there is.
Result<Backend*> FindBackend(std::string_view name, int device = 0);
std::vector<std::string_view> BackendNames();

// One more kind for the rest of the process. For programs of tests, before they do anything else.
void AddBackendForTests(std::string_view name, Result<Backend*> (*find)(int device));

// A device as people name it: "cpu", "cuda" (the first), "cuda:1".
struct DeviceName {
  std::string backend;
  int device = 0;
};
Result<DeviceName> ParseDeviceName(std::string_view text);

}  // namespace graft
