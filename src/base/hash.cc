#include "base/hash.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

namespace graft {
namespace {

Hash128 AsHash(const XXH128_hash_t& h) { return {h.high64, h.low64}; }

}  // namespace

Hash128 HashBytes(const void* data, size_t size) { return AsHash(XXH3_128bits(data, size)); }

Hash128 HashBytes(std::string_view text, std::string_view more) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  for (const std::string_view part : {text, more})
    XXH3_128bits_update(&state, part.data(), part.size());
  return AsHash(XXH3_128bits_digest(&state));
}

std::string ToHex(const Hash128& hash) {
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

}  // namespace graft
