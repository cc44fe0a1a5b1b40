#include "kernels/cpu/targets.h"

#include <hwy/targets.h>

#include "base/status.h"

namespace graft::cpu {

std::vector<std::string> SupportedTargets() {
  std::vector<std::string> names;
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) {
    names.emplace_back(hwy::TargetName(target));
  }
  return names;
}

ScopedTarget::ScopedTarget(const std::string& target) {
  for (int64_t t : hwy::SupportedAndGeneratedTargets()) {
    if (target != hwy::TargetName(t)) continue;
    hwy::SetSupportedTargetsForTest(t);
    hwy::GetChosenTarget().DeInit();
    return;
  }
  GRAFT_CHECK(false, "no instruction set {} here", target);
}

ScopedTarget::~ScopedTarget() {
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace graft::cpu
