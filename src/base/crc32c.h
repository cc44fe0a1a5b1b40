// CRC-32C (Castagnoli), as TensorFlow's files use it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace graft {

// Continues `crc` over the bytes; start with 0. Uses the processor's instruction where there is
// one.
uint32_t Crc32c(uint32_t crc, const void* data, size_t size);
// The masked form that leveldb and TensorFlow store, and back.
inline uint32_t MaskCrc(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }
inline uint32_t UnmaskCrc(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

}  // namespace graft
