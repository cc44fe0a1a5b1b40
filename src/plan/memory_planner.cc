#include "plan/memory_planner.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/aligned_buffer.h"

namespace graft {

MemoryPlan PlanMemory(std::span<const BufferRequest> requests) {
  std::vector<size_t> bytes;
  for (const BufferRequest& request : requests) bytes.push_back(request.bytes);
  return PlanMemory(bytes, [&](int i, int j) {
    return requests[i].first <= requests[j].last && requests[j].first <= requests[i].last;
  });
}

MemoryPlan PlanMemory(std::span<const size_t> sizes, FunctionRef<bool(int, int)> together) {
  MemoryPlan plan;
  plan.offsets.assign(sizes.size(), 0);
  std::vector<int> order(sizes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return sizes[a] > sizes[b]; });

  std::vector<int> placed;  // sorted by offset
  for (const int id : order) {
    const size_t bytes = AlignUp(sizes[id]);
    if (bytes == 0) continue;
    size_t best_offset = 0;
    size_t best_gap = std::numeric_limits<size_t>::max();
    size_t end = 0;  // of the buffers seen so far that live at the same time
    for (const int other : placed) {
      if (!together(id, other)) continue;
      const size_t offset = plan.offsets[other];
      if (offset >= end + bytes && offset - end < best_gap) {
        best_gap = offset - end;
        best_offset = end;
      }
      end = std::max(end, offset + AlignUp(sizes[other]));
    }
    if (best_gap == std::numeric_limits<size_t>::max()) best_offset = end;
    plan.offsets[id] = best_offset;
    plan.bytes = std::max(plan.bytes, best_offset + bytes);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), best_offset,
                         [&](size_t offset, int other) { return offset < plan.offsets[other]; }),
        id);
  }
  return plan;
}

}  // namespace graft
