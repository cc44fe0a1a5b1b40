#include "tune/timing_cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/crc32c.h"

namespace graft {
namespace {

class TimingCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "graft_timings/timings";
    std::filesystem::remove_all(testing::TempDir() + "graft_timings");
  }
  std::string path_;
};

TEST_F(TimingCacheTest, KeepsTimingsBetweenProcesses) {
  auto first = TimingCache::Open(path_);
  first->Insert("conv a b", {12.3456});
  first->Insert("wrong", {-1});
  ASSERT_TRUE(first->Flush().ok());
  // The value is rounded as the file holds it, in memory too: both builds compare the same numbers.
  EXPECT_EQ(first->Find("conv a b")->microseconds, 12.346);
  auto second = TimingCache::Open(path_);
  EXPECT_EQ(second->bad_lines(), 0);
  EXPECT_EQ(second->Find("conv a b")->microseconds, 12.346);
  EXPECT_TRUE(second->Find("wrong")->rejected());
  EXPECT_FALSE(second->Find("none").has_value());
}

TEST_F(TimingCacheTest, TwoWritersAppend) {
  auto a = TimingCache::Open(path_);
  auto b = TimingCache::Open(path_);
  a->Insert("a", {1});
  b->Insert("b", {2});
  ASSERT_TRUE(a->Flush().ok());
  ASSERT_TRUE(b->Flush().ok());
  auto both = TimingCache::Open(path_);
  EXPECT_TRUE(both->Find("a") && both->Find("b"));
}

TEST_F(TimingCacheTest, CorruptLinesAreSkipped) {
  auto cache = TimingCache::Open(path_);
  cache->Insert("good", {1});
  cache->Insert("bent", {2});
  ASSERT_TRUE(cache->Flush().ok());
  std::string text;
  {
    std::ifstream in(path_);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  text[text.find("bent")] = 'd';
  std::ofstream(path_) << text << "junk\n\xff\xfe\n" << text.substr(0, 5);
  auto read = TimingCache::Open(path_);
  EXPECT_EQ(read->bad_lines(), 4);
  EXPECT_TRUE(read->Find("good").has_value());
  EXPECT_FALSE(read->Find("bent").has_value());
  EXPECT_FALSE(read->Find("dent").has_value());
}

// Files of earlier versions have lines of estimates.
TEST_F(TimingCacheTest, EstimatesAreNoTimings) {
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path());
  const std::string body = "5.000 e conv";
  std::ofstream(path_) << fmt::format("{:08x} {}\n", Crc32c(0, body.data(), body.size()), body);
  const auto cache = TimingCache::Open(path_);
  EXPECT_EQ(cache->bad_lines(), 0);
  EXPECT_FALSE(cache->Find("conv").has_value());
}

TEST_F(TimingCacheTest, KeepsWhatTacticsPrepared) {
  const std::string bytes("ptx\0\n\xff", 6);
  auto first = TimingCache::Open(path_);
  first->Insert("generated", {1});
  first->InsertPrepared("generated", bytes);
  EXPECT_EQ(first->FindPrepared("generated"), bytes);
  ASSERT_TRUE(first->Flush().ok());
  const auto second = TimingCache::Open(path_);
  EXPECT_EQ(second->bad_lines(), 0);
  EXPECT_EQ(second->FindPrepared("generated"), bytes);
  EXPECT_TRUE(second->Find("generated").has_value());
  EXPECT_FALSE(second->FindPrepared("none").has_value());

  // Damaged bytes are as good as none.
  for (const auto& file : std::filesystem::directory_iterator(path_ + ".prepared"))
    std::ofstream(file.path()) << "other";
  EXPECT_FALSE(second->FindPrepared("generated").has_value());
  std::filesystem::remove_all(path_ + ".prepared");
  EXPECT_FALSE(second->FindPrepared("generated").has_value());
}

TEST_F(TimingCacheTest, UnwritableFileIsAStatus) {
  std::filesystem::create_directories(path_);  // a folder where the file should be
  auto cache = TimingCache::Open(path_);
  cache->Insert("a", {1});
  EXPECT_FALSE(cache->Flush().ok());
  EXPECT_TRUE(cache->Find("a").has_value());
}

}  // namespace
}  // namespace graft
