#include "backend_api/host_device.h"

#include <gtest/gtest.h>

#include <atomic>

#include "backend_api/thread_mode.h"

namespace graft {
namespace {

bool FlushesDenormals() {
  volatile float tiny = 1e-38f;
  return tiny * 0.1f == 0;
}

TEST(ThreadModeTest, DenormalsAreFlushedInTasksAndNotAfterwards) {
  const HostDevice device;
  ThreadModeExecutor executor(device, MakeTbbExecutor(3));
  std::atomic<int> flushed{0};
  executor.ParallelFor(100, [&](int64_t, int) { flushed += FlushesDenormals(); });
  EXPECT_EQ(flushed, 100);
  EXPECT_FALSE(FlushesDenormals());
  {
    const ScopedThreadMode mode(device);
    EXPECT_TRUE(FlushesDenormals());
  }
  EXPECT_FALSE(FlushesDenormals());
}

TEST(DeviceTimeTest, IsOfOneRun) {
  HostDevice device;
  int runs = 0;
  const auto run = [&] {
    ++runs;
    return OkStatus();
  };
  const Result<double> time = device.Time(nullptr, run, 5);
  ASSERT_TRUE(time.ok());
  EXPECT_EQ(runs, 5);
  EXPECT_GE(*time, 0);
  EXPECT_LT(*time, 1e6);
  EXPECT_FALSE(device
                   .Time(
                       nullptr, [] { return InternalError("no"); }, 1)
                   .ok());
}

}  // namespace
}  // namespace graft
