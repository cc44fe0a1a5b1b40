// Content hashes: 128-bit XXH3, printed as 32 hex digits. For naming and caching, not for security.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace graft {

struct Hash128 {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const Hash128&) const = default;
  auto operator<=>(const Hash128&) const = default;
};

Hash128 HashBytes(const void* data, size_t size);
inline Hash128 HashBytes(std::string_view text) { return HashBytes(text.data(), text.size()); }
// Of the two one behind the other.
Hash128 HashBytes(std::string_view text, std::string_view more);
std::string ToHex(const Hash128& hash);

}  // namespace graft
