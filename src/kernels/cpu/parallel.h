// What an operation runs on: buffers, and an executor that its work is cut for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/executor.h"

namespace graft::cpu {

struct Buffers {
  std::span<const void* const> inputs;
  std::span<void* const> outputs;
  std::byte* scratch = nullptr;  // the operation's scratch_bytes(width), 64-byte aligned
};

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Range {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

// The part `index` of [0, total) cut into `parts` that differ by one at most.
inline Range Part(int64_t total, int64_t parts, int64_t index) {
  const int64_t size = total / parts;
  const int64_t longer = total % parts;
  const int64_t begin = index * size + std::min(index, longer);
  return {begin, begin + size + (index < longer ? 1 : 0)};
}

// Work below this many simple element operations is over before another thread has begun.
inline constexpr int64_t kTaskWork = 8192;

// Into how many tasks to cut `work` element operations: one when it is little, a few for each
// worker otherwise, so that a late one delays little.
inline int64_t TaskCount(int64_t work, const Executor& executor) {
  if (executor.width() == 1) return 1;
  return std::clamp<int64_t>(work / kTaskWork, 1, int64_t{4} * executor.width());
}

}  // namespace graft::cpu
