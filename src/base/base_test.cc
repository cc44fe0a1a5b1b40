#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "base/crc32c.h"
#include "base/dtype_visit.h"
#include "base/executor.h"
#include "base/file.h"
#include "base/half.h"
#include "base/hash.h"
#include "base/split.h"
#include "base/tensor.h"

namespace graft {
namespace {

TEST(Status, CarriesCodeAndContext) {
  Status status = NotFoundError("{} is missing", "a.pb").WithContext("model");
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.ToString(), "not found: model: a.pb is missing");
  EXPECT_TRUE(OkStatus().WithContext("x").ok());
}

template <class T>
size_t SizeOfT() {
  return sizeof(T);
}

TEST(DTypeVisit, CallsWithTheTypeOfTheDType) {
  const auto size_in = [](auto types, DType dtype) {
    return TryVisitDType(types, dtype, []<class T>(T) { return &SizeOfT<T>; });
  };
  for (int i = 0; i < 256; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(size_in(kFloatTypes, dtype) != nullptr, IsFloating(dtype)) << i;
    EXPECT_EQ(size_in(kIntegerTypes, dtype) != nullptr, IsInteger(dtype)) << i;
    EXPECT_EQ(size_in(kEngineTypes, dtype) != nullptr, IsNumeric(dtype)) << i;
    EXPECT_EQ(size_in(kNativeTypes, dtype) != nullptr, IsNumeric(dtype) && !IsHalf(dtype)) << i;
  }
  for (DType dtype : {DType::kBool, DType::kFloat16, DType::kInt16, DType::kInt32, DType::kFloat64})
    EXPECT_EQ(size_in(kEngineTypes, dtype)(), SizeOf(dtype)) << Name(dtype);
}

TEST(DType, QuantizedOnesAreStoredAsIntegers) {
  for (int i = 0; i < 256; ++i) {
    const auto dtype = static_cast<DType>(i);
    const DType storage = StorageOf(dtype);
    EXPECT_EQ(SizeOf(storage), SizeOf(dtype)) << i;
    EXPECT_EQ(IsQuantized(dtype),
              TensorFlowName(dtype).find("qint") == 0 || TensorFlowName(dtype).find("quint") == 0)
        << i;
    EXPECT_TRUE(!IsQuantized(dtype) || TensorFlowName(dtype).substr(1) == TensorFlowName(storage));
  }
}

TEST(DTypeVisit, SaysWhetherItRan) {
  int calls = 0;
  const auto count = [&](auto) { ++calls; };
  EXPECT_TRUE(TryVisitDType(kFloatTypes, DType::kBFloat16, count));
  EXPECT_FALSE(TryVisitDType(kFloatTypes, DType::kInt8, count));
  EXPECT_FALSE(TryVisitDType(kEngineTypes - kFloatTypes, DType::kBFloat16, count));
  EXPECT_EQ(calls, 1);
}

TEST(Half, RoundsToNearestEven) {
  struct Case {
    float x;
    uint16_t f16, bf16;
  };
  for (const Case& c : {Case{1, 0x3c00, 0x3f80},
                        {-2, 0xc000, 0xc000},
                        {65504, 0x7bff, 0x4780},
                        {65519, 0x7bff, 0x4780},
                        {65520, 0x7c00, 0x4780},
                        {1 + 0x1p-11f, 0x3c00, 0x3f80},      // halfway, to even: down
                        {1 + 3 * 0x1p-11f, 0x3c02, 0x3f80},  // halfway, to even: up
                        {1 + 0x1p-8f, 0x3c04, 0x3f80},
                        {1 + 3 * 0x1p-8f, 0x3c0c, 0x3f82},
                        {0x1p-24f, 0x0001, 0x3380},
                        {0x1p-25f, 0x0000, 0x3300},
                        {-3 * 0x1p-25f, 0x8002, 0xb3c0},
                        {3.4e38f, 0x7c00, 0x7f80},
                        {-INFINITY, 0xfc00, 0xff80}}) {
    EXPECT_EQ(Float16(c.x).bits(), c.f16) << c.x;
    EXPECT_EQ(BFloat16(c.x).bits(), c.bf16) << c.x;
  }
}

TEST(Half, EveryValueSurvivesFloat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Float16 f16 = Float16::FromBits(static_cast<uint16_t>(bits));
    const BFloat16 bf16 = BFloat16::FromBits(static_cast<uint16_t>(bits));
    const bool f16_nan = (bits & 0x7fff) > 0x7c00;
    const bool bf16_nan = (bits & 0x7fff) > 0x7f80;
    EXPECT_EQ(std::isnan(f16), f16_nan);
    EXPECT_EQ(std::isnan(bf16), bf16_nan);
    EXPECT_TRUE(f16_nan || Float16(static_cast<float>(f16)).bits() == bits) << bits;
    EXPECT_TRUE(bf16_nan || BFloat16(static_cast<float>(bf16)).bits() == bits) << bits;
  }
  EXPECT_EQ(static_cast<float>(std::numeric_limits<Float16>::min()), 0x1p-14f);
  EXPECT_EQ(static_cast<float>(std::numeric_limits<Float16>::epsilon()), 0x1p-10f);
  EXPECT_EQ(static_cast<float>(std::numeric_limits<BFloat16>::epsilon()), 0x1p-7f);
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
  const std::string text(1000, 'g');
  for (const size_t at : {0, 3, 300, 1000})
    EXPECT_EQ(HashBytes(text.substr(0, at), text.substr(at)), HashBytes(text)) << at;
}

TEST(Split, GivesWhatSeparatorsPart) {
  using Parts = std::vector<std::string_view>;
  EXPECT_EQ(Split("", ','), Parts());
  EXPECT_EQ(Split("a", ','), Parts({"a"}));
  EXPECT_EQ(Split("a,,b", ','), Parts({"a", "", "b"}));
  EXPECT_EQ(Split(",a,", ','), Parts({"", "a"}));
  std::string_view text = "key=value=x";
  EXPECT_EQ(CutFront(&text, '='), "key");
  EXPECT_EQ(text, "value=x");
}

TEST(File, GetsThePermissionsOfAnyOther) {
  const std::string path = testing::TempDir() + "graft_permissions_test";
  const std::string other = path + ".other";
  const mode_t mask = ::umask(027);
  // Another thread's files are not made more open meanwhile.
  std::atomic<bool> stop = false;
  std::thread thread([&] {
    while (!stop) {
      const int file = ::open(other.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0666);
      struct stat info = {};
      EXPECT_EQ(::fstat(file, &info), 0);
      EXPECT_EQ(info.st_mode & 0777, 0640u);
      ::close(file);
      ::unlink(other.c_str());
    }
  });
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(WriteFileAtomically(path, "x").ok());
  stop = true;
  thread.join();
  ::umask(mask);
  struct stat info = {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  std::filesystem::remove(path);
}

TEST(File, KeepsLinksAndPipes) {
  const std::string file = testing::TempDir() + "linked";
  const std::string link = testing::TempDir() + "link";
  std::filesystem::remove(link);
  ASSERT_TRUE(WriteFileAtomically(file, "one").ok());
  std::filesystem::create_symlink(file, link);
  ASSERT_TRUE(WriteFileAtomically(link, "two").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(ReadFile(file)->view(), "two");

  const std::string pipe = testing::TempDir() + "pipe";
  std::filesystem::remove(pipe);
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { EXPECT_TRUE(WriteFileAtomically(pipe, "three").ok()); });
  std::ifstream reader(pipe);
  std::string got;
  reader >> got;
  writer.join();
  EXPECT_EQ(got, "three");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
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

TEST(Executor, ManySmallLoopsLoseNoTask) {
  // Loops follow one another while helpers come, look at the last one and leave.
  for (int threads : {2, 3, 5}) {
    const std::unique_ptr<Executor> executor = MakeTbbExecutor(threads);
    for (int round = 0; round < 20000; ++round) {
      const int64_t count = 2 + round % 13;
      std::atomic<int64_t> sum = 0;
      executor->ParallelFor(count, [&](int64_t i, int) { sum += i + 1; });
      ASSERT_EQ(sum, count * (count + 1) / 2) << round;
      if (round % 5000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
}

TEST(Executor, HandsOnWhatTasksThrow) {
  for (int threads : {1, 2, 4}) {
    const std::unique_ptr<Executor> executor = MakeTbbExecutor(threads);
    for (int round = 0; round < 500; ++round) {
      std::atomic<int> running = 0;
      const auto task = [&](int64_t i, int) {
        ++running;
        if (round % 3 == 0 ? i == 0 : i % 7 == round % 7) {
          --running;
          throw std::bad_alloc();
        }
        --running;
      };
      EXPECT_THROW(executor->ParallelFor(20, task), std::bad_alloc);
      EXPECT_EQ(running, 0);
      CheckExecutor(*executor);
    }
  }
}
TEST(Executor, DoesWithoutAPoolThatThrows) {
  auto refuse = [](void*, void (*)(void*), void*) { throw std::bad_alloc(); };
  CheckExecutor(*MakePoolExecutor(refuse, nullptr, 3));
}
TEST(Executor, RunsMoreTasksThanOnePieceHolds) {
  constexpr int64_t kCount = 2'500'000;
  std::vector<std::atomic<uint8_t>> seen(kCount);
  MakeTbbExecutor(2)->ParallelFor(kCount, [&](int64_t i, int) { ++seen[i]; });
  for (int64_t i = 0; i < kCount; ++i) ASSERT_EQ(seen[i], 1) << i;
}

TEST(Executor, HelpersMayOutliveTheExecutor) {
  auto spawn = [](void*, void (*f)(void*), void* a) { std::thread(f, a).detach(); };
  for (int round = 0; round < 200; ++round) CheckExecutor(*MakePoolExecutor(spawn, nullptr, 3));
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace
}  // namespace graft
