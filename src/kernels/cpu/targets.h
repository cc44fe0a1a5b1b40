// The instruction sets that the CPU kernels are compiled for, by Highway's names.
#pragma once

#include <string>
#include <vector>

namespace graft::cpu {

// Those that this processor runs, best first: "AVX3_VNNI" (AVX-512 with products of bytes), "AVX3"
// (AVX-512), "AVX2_VNNI", "AVX2". Highway's own names but for VNNI, which its targets of Debian 12
// do not have as compilers name it: kernels of integers ask UsesVnni.
std::vector<std::string> SupportedTargets();

// The one of them that kernels use: the first, or that of a ScopedTarget.
std::string CurrentTarget();

// Whether kernels may use VNNI of the vectors that they are compiled for.
bool UsesVnni();

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
