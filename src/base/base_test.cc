#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "base/crc32c.h"
#include "base/executor.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/tensor.h"

namespace graft {
namespace {

TEST(Status, CarriesCodeAndContext) {
  Status status = NotFoundError("{} is missing", "a.pb").WithContext("model");
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.ToString(), "not found: model: a.pb is missing");
  EXPECT_TRUE(OkStatus().WithContext("x").ok());
}

TEST(Tensor, CountsElementsWithoutOverflow) {
  EXPECT_EQ(CountElements(std::vector<int64_t>{2, 3, 0}), 0);
  EXPECT_EQ(CountElements(std::vector<int64_t>{}), 1);
  EXPECT_EQ(CountElements(std::vector<int64_t>{int64_t{1} << 40, int64_t{1} << 40}), -1);
  EXPECT_EQ(CountElements(std::vector<int64_t>{-1, 4}), -1);
  EXPECT_FALSE(Tensor::Allocate(DType::kString, {1}).ok());
}

TEST(Tensor, SharesBytesWhenReshaped) {
  Tensor t = Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  Tensor r = t.Reshaped({3, 2});
  EXPECT_EQ(t.raw(), r.raw());
  EXPECT_EQ(Describe(r.dtype(), r.dims()), "f32[3,2]");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw()) % 64, 0u);
}

TEST(Crc32c, KnownValue) {
  EXPECT_EQ(Crc32c(0, "123456789", 9), 0xe3069283u);
  EXPECT_EQ(UnmaskCrc(MaskCrc(0x12345678u)), 0x12345678u);
}

TEST(Hash, DependsOnEveryByte) {
  EXPECT_NE(HashBytes("graft"), HashBytes("grafu"));
  EXPECT_EQ(ToHex(HashBytes("")).size(), 32u);
}

TEST(File, WritesWholeOrNotAtAll) {
  const std::string path = testing::TempDir() + "graft_file_test";
  ASSERT_TRUE(WriteFileAtomically(path, "one").ok());
  ASSERT_TRUE(WriteFileAtomically(path, "two!").ok());
  for (bool map : {true, false}) {
    Result<FileBytes> bytes = ReadFile(path, map);
    ASSERT_TRUE(bytes.ok());
    EXPECT_EQ(bytes->view(), "two!");
  }
  EXPECT_EQ(ReadFile(path + ".none").status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(WriteFileAtomically(testing::TempDir() + "no/such/folder", "x").ok());
  std::filesystem::remove(path);
}

void CheckExecutor(Executor& executor) {
  for (int64_t count : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> seen(count);
    std::vector<std::atomic<int>> busy(executor.width());
    std::atomic<bool> clash = false;
    executor.ParallelFor(count, [&](int64_t i, int worker) {
      if (busy[worker].fetch_add(1) != 0) clash = true;
      ++seen[i];
      busy[worker].fetch_sub(1);
    });
    for (auto& s : seen) EXPECT_EQ(s, 1);
    EXPECT_FALSE(clash);
  }
}

TEST(Executor, RunsEveryTaskOnce) {
  for (int threads : {1, 2, 4}) CheckExecutor(*MakeTbbExecutor(threads));
}

TEST(Executor, PoolNeverWaitsForClosuresThatHaveNotBegun) {
  // A pool with no thread at all: closures are kept and run only after the loop returned.
  struct Held {
    std::vector<std::pair<void (*)(void*), void*>> closures;
  } held;
  auto hold = [](void* state, void (*f)(void*), void* a) {
    static_cast<Held*>(state)->closures.push_back({f, a});
  };
  CheckExecutor(*MakePoolExecutor(hold, &held, 3));
  for (auto [f, a] : held.closures) f(a);

  auto spawn = [](void*, void (*f)(void*), void* a) { std::thread(f, a).detach(); };
  CheckExecutor(*MakePoolExecutor(spawn, nullptr, 3));
}

}  // namespace
}  // namespace graft
