#include <gtest/gtest.h>

#include <cstring>

#include "backends/fake_device/fake_device_backend.h"
#include "backends/fake_device/fake_queue.h"

namespace graft {
namespace {

TEST(FakeMemory, FaultsWhenTheHostTouchesIt) {
  fake_device::Memory memory;
  void* address = *memory.Allocate(64);
  EXPECT_DEATH(std::memset(address, 0, 1), "");
  std::byte* real = *memory.Translate(address, 64);
  std::memset(real, 1, 64);
  memory.Free(address);
}

TEST(FakeMemory, GivesOtherAddressesAndChecksThem) {
  fake_device::Memory memory;
  void* first = *memory.Allocate(100);
  memory.Free(first);
  void* second = *memory.Allocate(100);
  EXPECT_NE(first, second);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second) % 64, 0u);
  EXPECT_FALSE(memory.Translate(first, 1).ok());
  EXPECT_TRUE(memory.Translate(static_cast<char*>(second) + 99, 1).ok());
  EXPECT_FALSE(memory.Translate(static_cast<char*>(second) + 99, 2).ok());
  EXPECT_FALSE(memory.Translate(&memory, 1).ok());
}

TEST(FakeMemory, FailsWhenAsked) {
  fake_device::Memory memory;
  memory.FailAllocationAfter(1);
  EXPECT_TRUE(memory.Allocate(1).ok());
  EXPECT_EQ(memory.Allocate(1).status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(memory.Allocate(1).ok());
}

TEST(WorkQueue, WorksInOrderAndStopsAtAFailure) {
  fake_device::WorkQueue queue;
  std::vector<int> seen;
  for (int i = 0; i < 100; ++i) {
    const auto work = [&seen, i]() -> Status {
      if (i == 50) return InternalError("step 50");
      seen.push_back(i);
      return OkStatus();
    };
    EXPECT_TRUE(queue.Push(work).ok());
  }
  EXPECT_EQ(queue.Synchronize().message(), "step 50");
  ASSERT_EQ(seen.size(), 50u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(seen[i], i);
  EXPECT_TRUE(queue.Synchronize().ok());
}

}  // namespace
}  // namespace graft
