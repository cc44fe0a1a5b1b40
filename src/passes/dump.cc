#include "passes/dump.h"

#include <filesystem>

#include "base/file.h"

namespace graft::passes {

Status DumpModule(const ir::Module& module, const std::string& directory, std::string_view name) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return IoError("{}: {}", directory, error.message());
  ir::TextOptions options;
  options.write_constant = [&](const std::string& hash, const Tensor& tensor) -> Status {
    const std::string path = fmt::format("{}/{}.bin", directory, hash);
    if (std::filesystem::exists(path)) return OkStatus();
    return WriteFileAtomically(
        path, std::string_view(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes()));
  };
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ir::ToText(module, options));
  return WriteFileAtomically(fmt::format("{}/{}.ir", directory, name), text);
}

}  // namespace graft::passes
