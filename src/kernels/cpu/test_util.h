// What the kernels' unit tests share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/executor.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/targets.h"

namespace graft::cpu {

// Seeded normal values.
inline std::vector<float> RandomFloats(int64_t count, uint32_t seed = 1, float scale = 1) {
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

// Runs an operation with one output of `count` elements on one thread and on three; the results
// must be the same bits.
template <class T, class Operation>
std::vector<T> RunOperation(const Operation& operation, const std::vector<const void*>& inputs,
                            int64_t count) {
  std::vector<T> results[2];
  for (int i = 0; i < 2; ++i) {
    const std::unique_ptr<Executor> executor = MakeTbbExecutor(i == 0 ? 1 : 3);
    Scratch scratch(operation.scratch_bytes(executor->width()));
    results[i].resize(count);
    void* output = results[i].data();
    const Buffers buffers = {inputs, {&output, 1}, scratch.get()};
    if constexpr (std::is_void_v<decltype(operation.Run(buffers, *executor))>) {
      operation.Run(buffers, *executor);
    } else {
      EXPECT_TRUE(operation.Run(buffers, *executor).ok());
    }
  }
  if (count > 0) {
    EXPECT_EQ(std::memcmp(results[0].data(), results[1].data(), count * sizeof(T)), 0)
        << "the result depends on the number of threads";
  }
  return results[0];
}

}  // namespace graft::cpu
