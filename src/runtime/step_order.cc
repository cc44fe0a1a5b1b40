#include "runtime/step_order.h"

#include <algorithm>

namespace graft {
namespace {

bool Overlap(const MemoryUse& a, const MemoryUse& b) {
  if (a.memory != b.memory || a.begin >= b.end || b.begin >= a.end) return false;
  if (a.stride == 0 || a.stride != b.stride) return true;
  // Windows side by side in the same rows.
  const size_t ahead = a.begin <= b.begin ? (b.begin - a.begin) % a.stride
                                          : (a.stride - (a.begin - b.begin) % a.stride) % a.stride;
  return ahead < a.width || ahead + b.width > a.stride;
}

bool Conflict(std::span<const MemoryUse> earlier, std::span<const MemoryUse> later) {
  return std::ranges::any_of(earlier, [&](const MemoryUse& a) {
    return std::ranges::any_of(
        later, [&](const MemoryUse& b) { return (a.writes || b.writes) && Overlap(a, b); });
  });
}

}  // namespace

StepOrder::StepOrder(std::span<const std::vector<MemoryUse>> uses)
    : words_((uses.size() + 63) / 64), after_(uses.size()), waits_(uses.size() * words_) {
  const int steps = static_cast<int>(uses.size());
  for (int step = 0; step < steps; ++step) {
    uint64_t* const own = &waits_[step * words_];
    // The latest first: what it waits for need not be looked at.
    for (int earlier = step - 1; earlier >= 0; --earlier) {
      if (Waits(step, earlier) || !Conflict(uses[earlier], uses[step])) continue;
      after_[step].push_back(earlier);
      const uint64_t* const its = &waits_[earlier * words_];
      for (size_t w = 0; w < words_; ++w) own[w] |= its[w];
      own[earlier / 64] |= uint64_t{1} << earlier % 64;
    }
    std::ranges::reverse(after_[step]);
  }
}

bool StepOrder::IsChain() const {
  for (size_t step = 1; step < after_.size(); ++step) {
    if (after_[step] != std::vector<int>{static_cast<int>(step) - 1}) return false;
  }
  return true;
}

}  // namespace graft
