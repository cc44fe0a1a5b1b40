#include "runtime/backend_table.h"

#include <fmt/ranges.h>

#include "backends/cpu/cpu_backend.h"
#include "backends/reference/reference_backend.h"

namespace graft {
namespace {

// A kind of backend and how to get the one over a device of it.
struct Row {
  std::string_view name;
  Result<Backend*> (*find)(int device);
};

// For kinds that have one device.
template <Backend& (*kBackend)()>
Result<Backend*> Only(int device) {
  if (device == 0) return &kBackend();
  return InvalidArgumentError("{} has no device {}", kBackend().name(), device);
}

constexpr Row kBackends[] = {
    {"cpu", Only<CpuBackend>},
    {"reference", Only<ReferenceBackend>},
};

// kBackends, and what a test has added.
std::vector<Row>& Table() {
  static std::vector<Row> table(std::begin(kBackends), std::end(kBackends));
  return table;
}

}  // namespace

Result<Backend*> FindBackend(std::string_view name, int device) {
  for (const Row& row : Table()) {
    if (row.name == name) return row.find(device);
  }
  return InvalidArgumentError("no backend is called {}: there is {}", name,
                              fmt::join(BackendNames(), ", "));
}

void AddBackendForTests(std::string_view name, Result<Backend*> (*find)(int device)) {
  Table().push_back({name, find});
}

std::vector<std::string_view> BackendNames() {
  std::vector<std::string_view> names;
  for (const Row& row : Table()) names.push_back(row.name);
  return names;
}

}  // namespace graft
