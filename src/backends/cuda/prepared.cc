#include "backends/cuda/prepared.h"

#include <cstdint>
#include <cstring>

#include "base/crc32c.h"

namespace graft::cuda {
namespace {

// An entry: sizes and checksum, the hash, the cubin.
struct Head {
  uint32_t hash_bytes = 0;
  uint32_t cubin_bytes = 0;
  uint32_t checksum = 0;  // of hash and cubin
};

}  // namespace

std::string WritePrepared(const std::map<std::string, std::string>& cubins) {
  std::string bytes;
  for (const auto& [hash, cubin] : cubins) {
    const std::string entry = hash + cubin;
    const Head head = {static_cast<uint32_t>(hash.size()), static_cast<uint32_t>(cubin.size()),
                       Crc32c(0, entry.data(), entry.size())};
    bytes.append(reinterpret_cast<const char*>(&head), sizeof(head));
    bytes += entry;
  }
  return bytes;
}

std::string_view CubinIn(std::string_view prepared, std::string_view hash) {
  while (prepared.size() > sizeof(Head)) {
    Head head;
    std::memcpy(&head, prepared.data(), sizeof(head));
    prepared.remove_prefix(sizeof(head));
    const uint64_t size = uint64_t{head.hash_bytes} + head.cubin_bytes;
    if (size > prepared.size()) return "";
    const std::string_view entry = prepared.substr(0, size);
    prepared.remove_prefix(size);
    if (entry.substr(0, head.hash_bytes) != hash) continue;
    return Crc32c(0, entry.data(), entry.size()) == head.checksum ? entry.substr(head.hash_bytes)
                                                                  : "";
  }
  return "";
}

}  // namespace graft::cuda
