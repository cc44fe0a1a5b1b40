#include "runtime/backend_table.h"

#include <fmt/ranges.h>

#include "backends/cpu/cpu_backend.h"
#include "backends/fake_device/fake_device_backend.h"
#include "backends/reference/reference_backend.h"

namespace graft {
namespace {

struct Row {
  std::string_view name;
  Backend& (*backend)();
};
constexpr Row kBackends[] = {
    {"cpu", CpuBackend},
    {"reference", ReferenceBackend},
    {"fake_device", FakeDeviceBackend},
};

}  // namespace

Result<Backend*> FindBackend(std::string_view name) {
  for (const Row& row : kBackends) {
    if (row.name == name) return &row.backend();
  }
  return InvalidArgumentError("no backend is called {}: there is {}", name,
                              fmt::join(BackendNames(), ", "));
}

std::vector<std::string_view> BackendNames() {
  std::vector<std::string_view> names;
  for (const Row& row : kBackends) names.push_back(row.name);
  return names;
}

}  // namespace graft
