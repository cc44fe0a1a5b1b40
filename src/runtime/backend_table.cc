#include "runtime/backend_table.h"

#include <fmt/ranges.h>

#include <charconv>

#include "backends/cpu/cpu_backend.h"
#include "backends/cuda/cuda_backend.h"
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
    {"cuda", CudaBackend},
    {"reference", Only<ReferenceBackend>},
};

constexpr std::string_view kTargetPrefix = "cuda:sm_";

// kBackends, and what a test has added.
std::vector<Row>& Table() {
  static std::vector<Row> table(std::begin(kBackends), std::end(kBackends));
  return table;
}

}  // namespace

bool IsTarget(std::string_view backend) { return backend.starts_with(kTargetPrefix); }

Result<Backend*> FindBackend(std::string_view name, int device) {
  if (IsTarget(name)) return CudaTarget(name.substr(name.find(':') + 1));
  for (const Row& row : Table()) {
    if (row.name == name) return row.find(device);
  }
  return InvalidArgumentError("no backend is called {}: there is {}", name,
                              fmt::join(BackendNames(), ", "));
}

void AddBackendForTests(std::string_view name, Result<Backend*> (*find)(int device)) {
  Table().push_back({name, find});
}

Result<DeviceName> ParseDeviceName(std::string_view text) {
  const size_t colon = text.find(':');
  DeviceName name = {std::string(text.substr(0, colon)), 0};
  if (colon == std::string_view::npos) return name;
  if (IsTarget(text)) return DeviceName{std::string(text), 0};
  const std::string_view number = text.substr(colon + 1);
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), name.device);
  if (error != std::errc() || end != number.data() + number.size() || name.device < 0)
    return InvalidArgumentError(
        "device '{}': expected cpu, cuda, cuda:0 or a kind of card, cuda:sm_90", text);
  return name;
}

std::vector<std::string_view> BackendNames() {
  std::vector<std::string_view> names;
  for (const Row& row : Table()) names.push_back(row.name);
  return names;
}

}  // namespace graft
