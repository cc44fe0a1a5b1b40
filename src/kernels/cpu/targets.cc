#include "kernels/cpu/targets.h"

#include <cpuid.h>
#include <hwy/targets.h>

#include <atomic>

#include "base/status.h"

namespace graft::cpu {
namespace {

constexpr std::string_view kVnni = "_VNNI";

// What the processor has: for vectors of AVX-512, and for those of AVX2.
struct Vnni {
  bool avx3 = false;
  bool avx2 = false;
};
Vnni FindVnni() {
  Vnni found;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) found.avx3 = (c >> 11 & 1) != 0;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) found.avx2 = (a >> 4 & 1) != 0;
  return found;
}

bool HasVnni(int64_t target) {
  static const Vnni vnni = FindVnni();
  return target == HWY_AVX3 ? vnni.avx3 : target == HWY_AVX2 && vnni.avx2;
}

// Of the targets that Highway may choose, the best; the lower the bit, the better. Highway asks the
// processor at each call, and a virtual machine traps every such instruction: one call takes up to
// 18 us there, as much as a small layer. So it is asked once for each ScopedTarget.
std::atomic<int64_t> best_target = 0;  // 0: not known
int64_t BestTarget() {
  int64_t best = best_target.load(std::memory_order_relaxed);
  if (best == 0) {
    const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
    best = targets & -targets;
    best_target.store(best, std::memory_order_relaxed);
  }
  return best;
}

void SetTargets(int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().DeInit();
  best_target = 0;
}

enum class VnniUse : uint8_t { kWherePresent, kForced, kForbidden };
std::atomic<VnniUse> vnni_use = VnniUse::kWherePresent;

}  // namespace

std::vector<std::string> SupportedTargets() {
  std::vector<std::string> names;
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) {
    const std::string name = hwy::TargetName(target);
    if (HasVnni(target) && vnni_use != VnniUse::kForbidden)
      names.push_back(name + std::string(kVnni));
    if (vnni_use != VnniUse::kForced) names.push_back(name);
  }
  return names;
}

std::string CurrentTarget() {
  const std::string name = hwy::TargetName(BestTarget());
  return UsesVnni() ? name + std::string(kVnni) : name;
}

bool UsesVnni() { return vnni_use != VnniUse::kForbidden && HasVnni(BestTarget()); }

ScopedTarget::ScopedTarget(const std::string& target) {
  for (int64_t t : hwy::SupportedAndGeneratedTargets()) {
    const bool vnni = target == hwy::TargetName(t) + std::string(kVnni);
    if (target != hwy::TargetName(t) && !(vnni && HasVnni(t))) continue;
    SetTargets(t);
    vnni_use = vnni ? VnniUse::kForced : VnniUse::kForbidden;
    return;
  }
  GRAFT_CHECK(false, "no instruction set {} here", target);
}

ScopedTarget::~ScopedTarget() {
  SetTargets(0);
  vnni_use = VnniUse::kWherePresent;
}

}  // namespace graft::cpu
