#include "kernels/cuda/sources.h"

#include <array>
#include <iterator>

#include "base/status.h"

namespace graft::cuda {
namespace {

struct File {
  std::string_view name;
  std::string_view text;
};
constexpr File kFiles[] = {
#include "kernels/cuda/sources.inc"
};
constexpr auto kNames = [] {
  std::array<std::string_view, std::size(kFiles)> names;
  for (size_t i = 0; i < std::size(kFiles); ++i) names[i] = kFiles[i].name;
  return names;
}();

}  // namespace

std::string_view KernelSource(std::string_view file) {
  for (const File& f : kFiles) {
    if (f.name == file) return f.text;
  }
  GRAFT_CHECK(false, "no kernel file {}", file);
}

std::span<const std::string_view> KernelFiles() { return kNames; }

}  // namespace graft::cuda
