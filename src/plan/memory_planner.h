// Places buffers in one arena so that those that live at the same time do not overlap.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/executor.h"

namespace graft {

struct BufferRequest {
  size_t bytes = 0;
  int first = 0;  // steps during which the buffer is in use, both included
  int last = 0;
};

struct MemoryPlan {
  std::vector<size_t> offsets;  // one for each request, multiples of 64
  size_t bytes = 0;             // of the arena
};

// Largest first, each into the smallest gap that holds it.
MemoryPlan PlanMemory(std::span<const BufferRequest> requests);
// The same of buffers of so many bytes; together(i, j): they are in use at the same time.
MemoryPlan PlanMemory(std::span<const size_t> bytes, FunctionRef<bool(int, int)> together);

}  // namespace graft
