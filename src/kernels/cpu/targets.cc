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

// Of the targets that Highway may choose, the best; the lower the bit, the better.
int64_t BestTarget() {
  const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return targets & -targets;
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

bool UsesVnni() { return vnni_use != VnniUse::kForbidden && HasVnni(BestTarget()); }

ScopedTarget::ScopedTarget(const std::string& target) {
  for (int64_t t : hwy::SupportedAndGeneratedTargets()) {
    const bool vnni = target == hwy::TargetName(t) + std::string(kVnni);
    if (target != hwy::TargetName(t) && !(vnni && HasVnni(t))) continue;
    hwy::SetSupportedTargetsForTest(t);
    hwy::GetChosenTarget().DeInit();
    vnni_use = vnni ? VnniUse::kForced : VnniUse::kForbidden;
    return;
  }
  GRAFT_CHECK(false, "no instruction set {} here", target);
}

ScopedTarget::~ScopedTarget() {
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
  vnni_use = VnniUse::kWherePresent;
}

}  // namespace graft::cpu
