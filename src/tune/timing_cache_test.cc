#include "tune/timing_cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
  first->Insert("conv a b", {12.3456, true});
  first->Insert("pool", {7, false});
  first->Insert("wrong", {-1, true});
  ASSERT_TRUE(first->Flush().ok());
  // The value is rounded as the file holds it, in memory too: both builds compare the same numbers.
  EXPECT_EQ(first->Find("conv a b")->microseconds, 12.346);
  auto second = TimingCache::Open(path_);
  EXPECT_EQ(second->bad_lines(), 0);
  EXPECT_EQ(second->Find("conv a b")->microseconds, 12.346);
  EXPECT_FALSE(second->Find("pool")->measured);
  EXPECT_TRUE(second->Find("wrong")->rejected());
  EXPECT_FALSE(second->Find("none").has_value());
}

TEST_F(TimingCacheTest, TwoWritersAppend) {
  auto a = TimingCache::Open(path_);
  auto b = TimingCache::Open(path_);
  a->Insert("a", {1, true});
  b->Insert("b", {2, true});
  ASSERT_TRUE(a->Flush().ok());
  ASSERT_TRUE(b->Flush().ok());
  auto both = TimingCache::Open(path_);
  EXPECT_TRUE(both->Find("a") && both->Find("b"));
}

TEST_F(TimingCacheTest, CorruptLinesAreSkipped) {
  auto cache = TimingCache::Open(path_);
  cache->Insert("good", {1, true});
  cache->Insert("bent", {2, true});
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

TEST_F(TimingCacheTest, UnwritableFileIsAStatus) {
  std::filesystem::create_directories(path_);  // a folder where the file should be
  auto cache = TimingCache::Open(path_);
  cache->Insert("a", {1, true});
  EXPECT_FALSE(cache->Flush().ok());
  EXPECT_TRUE(cache->Find("a").has_value());
}

}  // namespace
}  // namespace graft
