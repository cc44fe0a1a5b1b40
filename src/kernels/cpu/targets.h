// The instruction sets that the CPU kernels are compiled for, by Highway's names.
#pragma once

#include <string>
#include <vector>

namespace graft::cpu {

// Those that this processor runs, best first: "AVX3" (AVX-512), "AVX2".
std::vector<std::string> SupportedTargets();

// Lets the kernels use `target` and what is below it only, until the end of the scope. For tests:
// process-wide, and not to be changed while kernels run.
class ScopedTarget {
 public:
  explicit ScopedTarget(const std::string& target);
  ~ScopedTarget();
  ScopedTarget(const ScopedTarget&) = delete;
  ScopedTarget& operator=(const ScopedTarget&) = delete;
};

}  // namespace graft::cpu
