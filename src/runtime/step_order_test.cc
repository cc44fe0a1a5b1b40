#include "runtime/step_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace graft {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

MemoryUse Read(int memory) { return {memory, 0, 100}; }
MemoryUse Write(int memory) { return {memory, 0, 100, 0, 0, true}; }

TEST(StepOrder, WaitsForWritersAndReaders) {
  const std::vector<MemoryUse> uses[] = {
      {Write(0)},                    // 0
      {Read(0), Write(1)},           // 1: after 0
      {Read(0), Write(2)},           // 2: beside 1
      {Read(1), Read(2), Write(3)},  // 3: after both, and through them 0
      {Write(2)},                    // 4: after its reader, not also after its writer
  };
  const StepOrder order(uses);
  EXPECT_THAT(order.after(0), IsEmpty());
  EXPECT_THAT(order.after(1), ElementsAre(0));
  EXPECT_THAT(order.after(2), ElementsAre(0));
  EXPECT_THAT(order.after(3), ElementsAre(1, 2));
  EXPECT_THAT(order.after(4), ElementsAre(3));
  EXPECT_TRUE(order.Waits(4, 0));
  EXPECT_FALSE(order.Waits(2, 1));
  EXPECT_FALSE(order.IsChain());
  EXPECT_TRUE(StepOrder(std::span(uses).first(2)).IsChain());
}

TEST(StepOrder, TellsWindowsOfTheSameRowsApart) {
  // Rows of 24 bytes, 0 to 8 and 8 to 24 of each; then 4 to 12, and other rows.
  const std::vector<MemoryUse> uses[] = {{{0, 0, 80, 24, 8, true}},
                                         {{0, 8, 96, 24, 16, true}},
                                         {{0, 28, 84, 24, 8, true}},
                                         {{0, 0, 8, 12, 4, true}},
                                         {{0, 96, 104, 0, 0, true}}};
  const StepOrder order(uses);
  EXPECT_THAT(order.after(1), IsEmpty());
  EXPECT_THAT(order.after(2), ElementsAre(0, 1));
  EXPECT_THAT(order.after(3), ElementsAre(0));
  EXPECT_THAT(order.after(4), IsEmpty());
}

// Against the bytes themselves.
TEST(StepOrder, IsTheLeastOrderThatKeepsBytesApart) {
  std::minstd_rand random(1);
  const auto bytes_of = [](const MemoryUse& use) {
    std::vector<bool> bytes(200);
    for (size_t i = use.begin; i < use.end; ++i)
      bytes[i] = use.stride == 0 || (i - use.begin) % use.stride < use.width;
    return bytes;
  };
  for (int round = 0; round < 200; ++round) {
    const size_t stride = 3 + random() % 6;
    std::vector<std::vector<MemoryUse>> uses(random() % 80);
    for (std::vector<MemoryUse>& step : uses) {
      for (size_t n = 1 + random() % 3; n > 0; --n) {
        MemoryUse use = {static_cast<int>(random() % 9), random() % 20};
        use.writes = random() % 2;
        use.width = 1 + random() % stride;
        use.stride = use.memory < 6 ? stride : 0;  // a value's windows are of the same rows
        use.end = use.begin + (use.stride ? random() % 5 * stride : 0) + use.width;
        step.push_back(use);
      }
    }
    const StepOrder order(uses);
    const int steps = static_cast<int>(uses.size());
    std::vector<std::vector<bool>> waits(steps, std::vector<bool>(steps));
    for (int later = 0; later < steps; ++later) {
      for (int earlier = later - 1; earlier >= 0; --earlier) {
        for (const MemoryUse& a : uses[earlier]) {
          for (const MemoryUse& b : uses[later]) {
            const std::vector<bool> of_a = bytes_of(a), of_b = bytes_of(b);
            bool both = false;
            for (size_t i = 0; i < of_a.size(); ++i) both |= of_a[i] && of_b[i];
            if (a.memory == b.memory && (a.writes || b.writes) && both)
              waits[later][earlier] = true;
          }
        }
        if (!waits[later][earlier]) continue;
        for (int i = 0; i < earlier; ++i) waits[later][i] = waits[later][i] || waits[earlier][i];
      }
      for (int earlier = 0; earlier < later; ++earlier)
        ASSERT_EQ(order.Waits(later, earlier), waits[later][earlier]) << later << " " << earlier;
      for (const int a : order.after(later)) {
        ASSERT_TRUE(waits[later][a]);
        for (const int b : order.after(later)) ASSERT_FALSE(a != b && waits[b][a]);
      }
    }
  }
}

}  // namespace
}  // namespace graft
