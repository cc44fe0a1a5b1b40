#include "kernels/cpu/targets.h"

#include <gmock/gmock.h>

namespace graft::cpu {
namespace {

TEST(Targets, EveryTargetCanBeForced) {
  const std::vector<std::string> targets = SupportedTargets();
  const bool uses_vnni = UsesVnni();
  EXPECT_THAT(targets, testing::Contains("AVX2"));
  for (const std::string& target : targets) {
    ScopedTarget scope(target);
    EXPECT_THAT(SupportedTargets(), testing::ElementsAre(target));
    EXPECT_EQ(CurrentTarget(), target);
    EXPECT_EQ(UsesVnni(), target.ends_with("_VNNI"));
  }
  EXPECT_EQ(SupportedTargets(), targets);
  EXPECT_EQ(CurrentTarget(), SupportedTargets().front());
  EXPECT_EQ(UsesVnni(), uses_vnni);
}

}  // namespace
}  // namespace graft::cpu
