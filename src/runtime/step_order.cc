#include "runtime/step_order.h"

#include <algorithm>
#include <functional>

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

}  // namespace

StepOrder::StepOrder(std::span<const std::vector<MemoryUse>> uses)
    : words_((uses.size() + 63) / 64), after_(uses.size()), waits_(uses.size() * words_) {
  struct EarlierUse {
    int step;
    const MemoryUse* use;
  };
  std::vector<std::vector<EarlierUse>> earlier_uses;  // by memory
  std::vector<int> conflicts;
  const int steps = static_cast<int>(uses.size());
  for (int step = 0; step < steps; ++step) {
    conflicts.clear();
    for (const MemoryUse& use : uses[step]) {
      if (static_cast<size_t>(use.memory) >= earlier_uses.size())
        earlier_uses.resize(use.memory + 1);
      for (const EarlierUse& earlier : earlier_uses[use.memory]) {
        if ((use.writes || earlier.use->writes) && Overlap(*earlier.use, use))
          conflicts.push_back(earlier.step);
      }
    }
    for (const MemoryUse& use : uses[step]) earlier_uses[use.memory].push_back({step, &use});
    // The latest first: what it waits for need not be looked at.
    std::ranges::sort(conflicts, std::greater());
    uint64_t* const own = &waits_[step * words_];
    for (const int earlier : conflicts) {
      if (Waits(step, earlier)) continue;
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
