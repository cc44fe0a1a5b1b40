// The backends that are built in, by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backend_api/backend.h"

namespace graft {

// The backend over one device of its kind, or for a kind of card that need not be here
// ("cuda:sm_90"). The error lists what there is.
Result<Backend*> FindBackend(std::string_view name, int device = 0);
std::vector<std::string_view> BackendNames();

// One more kind for the rest of the process. For programs of tests, before they do anything else.
void AddBackendForTests(std::string_view name, Result<Backend*> (*find)(int device));

// Whether the name is one of a kind of card, for which nothing runs here: the cost model decides
// what would be timed.
bool IsTarget(std::string_view backend);

// A device as people name it: "cpu", "cuda" (the first), "cuda:1"; a kind of card, "cuda:sm_90", is
// a backend of that name.
struct DeviceName {
  std::string backend;
  int device = 0;
};
Result<DeviceName> ParseDeviceName(std::string_view text);

}  // namespace graft
