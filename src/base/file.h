// Files: reading whole, mapping, and writing so that the target appears whole or not at all.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace graft {

// The file's bytes. With map=true they are a private mapping (other processes' later writes to the
// file may show); with map=false a copy. kNotFound or kIo with the path in the message.
struct FileBytes {
  std::shared_ptr<const std::byte> data;
  size_t size = 0;
  std::span<const std::byte> span() const { return {data.get(), size}; }
  std::string_view view() const { return {reinterpret_cast<const char*>(data.get()), size}; }
};
Result<FileBytes> ReadFile(const std::string& path, bool map = true);

// Writes beside `path` and renames: readers see the old file or the whole new one.
Status WriteFileAtomically(const std::string& path, std::span<const std::string_view> parts);
inline Status WriteFileAtomically(const std::string& path, std::string_view bytes) {
  return WriteFileAtomically(path, std::span<const std::string_view>(&bytes, 1));
}

}  // namespace graft
