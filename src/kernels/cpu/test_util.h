// What the kernels' unit tests share.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/executor.h"
#include "kernels/cpu/targets.h"

namespace graft::cpu {

// Seeded normal values.
inline std::vector<float> RandomFloats(int64_t count, float scale = 1, uint32_t seed = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& v : values) v = normal(generator);
  return values;
}

// Runs body once for each instruction set of this processor, with the kernels held to it.
template <class Body>
void ForEachTarget(Body&& body) {
  for (const std::string& target : SupportedTargets()) {
    ScopedTarget scope(target);
    body(target);
  }
}

// Scratch memory of at least one byte.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : buffer_(bytes) {}
  std::byte* get() { return buffer_.data(); }

 private:
  AlignedBuffer buffer_;
};

}  // namespace graft::cpu
