#include <gtest/gtest.h>

#include <cstring>

#include "fake_device/fake_device_backend.h"
#include "fake_device/fake_queue.h"

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

// A byte more in memory of the device, as a step does it.
Status Increment(void* address, void* stream) {
  return static_cast<fake_device::WorkQueue*>(stream)->Push([address]() -> Status {
    GRAFT_ASSIGN_OR_RETURN(std::byte * byte, TheFakeDevice().memory().Translate(address, 1));
    *byte = std::byte{static_cast<uint8_t>(static_cast<uint8_t>(*byte) + 1)};
    return OkStatus();
  });
}

class FakeDeviceTest : public ::testing::Test {
 protected:
  FakeDeviceTest() {
    for (void*& address : bytes) address = *device.Allocate(1);
  }
  ~FakeDeviceTest() override {
    for (void* address : bytes) device.Free(address);
    device.DestroyStream(stream);
  }
  int Read(int i) {
    uint8_t value = 0;
    EXPECT_TRUE(
        CopyBytes(device, &value, MemorySpace::kHost, bytes[i], MemorySpace::kDevice, 1, stream)
            .ok());
    EXPECT_TRUE(device.Synchronize(stream).ok());
    return value;
  }

  fake_device::FakeDevice& device = TheFakeDevice();
  void* stream = *device.CreateStream();
  void* bytes[3] = {};
};

TEST_F(FakeDeviceTest, ReplaysAndUpdatesARecording) {
  ASSERT_TRUE(device.BeginRecording(stream).ok());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(device.MarkPart(stream, {}).ok());
    ASSERT_TRUE(Increment(bytes[i], stream).ok());
  }
  auto recording = device.EndRecording(stream);
  ASSERT_TRUE(recording.ok());
  EXPECT_EQ(Read(0), 0);
  for (int i = 1; i < 3; ++i) {
    ASSERT_TRUE((*recording)->Launch(stream).ok());
    EXPECT_EQ(Read(0), i);
    EXPECT_EQ(Read(1), i);
  }
  const auto third = [&] { return Increment(bytes[2], stream); };
  ASSERT_TRUE((*recording)->Update(1, stream, third).ok());
  EXPECT_EQ(Read(2), 0);
  ASSERT_TRUE((*recording)->Launch(stream).ok());
  EXPECT_EQ(Read(0), 3);
  EXPECT_EQ(Read(1), 2);
  EXPECT_EQ(Read(2), 1);
  const auto nothing = [] { return OkStatus(); };
  EXPECT_EQ((*recording)->Update(1, stream, nothing).code(), StatusCode::kUnsupported);
}

TEST_F(FakeDeviceTest, RefusesWhatCannotBeRecorded) {
  uint8_t host = 0;
  void* const event = *device.CreateEvent();
  ASSERT_TRUE(device.BeginRecording(stream).ok());
  EXPECT_FALSE(Increment(bytes[0], stream).ok()) << "no part has begun";
  ASSERT_TRUE(device.MarkPart(stream, {}).ok());
  EXPECT_FALSE(device.Allocate(1).ok());
  EXPECT_FALSE(device.AllocateAsync(1, stream).ok());
  EXPECT_FALSE(device.FreeAsync(bytes[0], stream).ok());
  EXPECT_FALSE(device.Synchronize(stream).ok());
  EXPECT_FALSE(device.Synchronize(nullptr).ok());
  EXPECT_FALSE(device.Record(event, stream).ok());
  EXPECT_FALSE(device.SynchronizeEvent(event).ok());
  EXPECT_FALSE(device.BeginRecording(stream).ok());
  EXPECT_FALSE(
      CopyBytes(device, bytes[0], MemorySpace::kDevice, &host, MemorySpace::kHost, 1, stream).ok());
  EXPECT_TRUE(
      CopyBytes(device, bytes[0], MemorySpace::kDevice, bytes[1], MemorySpace::kDevice, 1, stream)
          .ok());
  EXPECT_DEATH(device.Free(bytes[0]), "while the thread records");
  EXPECT_TRUE(device.EndRecording(stream).ok());
  EXPECT_FALSE(device.EndRecording(stream).ok());
  EXPECT_EQ(Read(0), 0);
  device.DestroyEvent(event);
}

TEST_F(FakeDeviceTest, FindsMemoryOfTheOtherSpace) {
  uint8_t host = 0;
  EXPECT_FALSE(
      CopyBytes(device, bytes[0], MemorySpace::kHost, &host, MemorySpace::kHost, 1, nullptr).ok());
  EXPECT_FALSE(
      CopyBytes(device, &host, MemorySpace::kDevice, bytes[0], MemorySpace::kDevice, 1, nullptr)
          .ok());
}

TEST_F(FakeDeviceTest, OrdersStreamsByEvents) {
  void* const other = *device.CreateStream();
  void* const event = *device.CreateEvent();
  EXPECT_TRUE(*device.Done(event)) << "it stands for nothing yet";
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(Increment(bytes[0], other).ok());
    ASSERT_TRUE(device.Record(event, other).ok());
    ASSERT_TRUE(device.Wait(stream, event).ok());
    EXPECT_EQ(Read(0), (round + 1) * 4);
    EXPECT_TRUE(*device.Done(event));
  }
  ASSERT_TRUE(Increment(&device, other).ok());
  ASSERT_TRUE(device.Record(event, other).ok());
  EXPECT_FALSE(device.SynchronizeEvent(event).ok());
  EXPECT_FALSE(device.Done(event).ok());
  EXPECT_FALSE(device.Synchronize(other).ok());
  EXPECT_TRUE(device.Synchronize(other).ok());
  device.DestroyEvent(event);
  device.DestroyStream(other);
}

TEST_F(FakeDeviceTest, CopiesRows) {
  void* const memory = *device.Allocate(64);
  const char source[] = "abcdefgh";
  CopyRegion region = {.target = memory,
                       .target_space = MemorySpace::kDevice,
                       .target_stride = 10,
                       .source = source,
                       .source_stride = 4,
                       .row_bytes = 3,
                       .rows = 2};
  ASSERT_TRUE(device.Copy(region, stream).ok());
  char back[7] = {};
  region = {.target = back,
            .target_stride = 3,
            .source = memory,
            .source_space = MemorySpace::kDevice,
            .source_stride = 10,
            .row_bytes = 3,
            .rows = 2};
  ASSERT_TRUE(device.Copy(region, stream).ok());
  ASSERT_TRUE(device.Synchronize(stream).ok());
  EXPECT_STREQ(back, "abcefg");
  device.Free(memory);
}

}  // namespace
}  // namespace graft
