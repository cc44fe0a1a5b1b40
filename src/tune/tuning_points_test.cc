#include <gtest/gtest.h>

#include "tune/tuner.h"

namespace graft {
namespace {

// An input of unknown dimensions of which a slice is taken.
ir::Module Sliced(std::string_view size, std::string_view begin) {
  Result<ir::Module> module = ir::ParseText(
      fmt::format("graft-ir 1\n"
                  "symbol s0 input_dim 0 0 \"x.0\"\n"
                  "symbol s1 input_dim 0 1 \"x.1\"\n"
                  "input \"x\" %0 f32[s0,s1] \"x\"\n"
                  "%1 f32[{0}] \"y\" = slice begin=[{1}] size=[{0}] strides=[1,1] (%0) \"y\"\n"
                  "output \"y\" %1\n",
                  size, begin));
  EXPECT_TRUE(module.ok()) << module.status().message();
  return *std::move(module);
}

TEST(DefaultTuningPoint, BatchOne) {
  const Result<TuningPoint> point = DefaultTuningPoint(Sliced("s0,s1-5", "0,5"));
  ASSERT_TRUE(point.ok());
  EXPECT_EQ(point->symbols, (std::vector<int64_t>{1, 128}));
}

// Behind an If or another op that stays in TensorFlow.
TEST(DefaultTuningPoint, BatchOneOfAnOpaqueResult) {
  const Result<ir::Module> module = ir::ParseText(
      "graft-ir 1\n"
      "symbol s0 result_dim 0 0 \"if.0\"\n"
      "symbol s1 result_dim 0 1 \"if.1\"\n"
      "input \"x\" %0 f32[1] \"x\"\n"
      "%1 f32[s0,s1,7,8] \"y\" = opaque op=\"If\" node_def=\"\" (%0) \"y\"\n"
      "output \"y\" %1\n");
  ASSERT_TRUE(module.ok()) << module.status().message();
  const Result<TuningPoint> point = DefaultTuningPoint(*module);
  ASSERT_TRUE(point.ok()) << point.status().message();
  EXPECT_EQ(point->symbols, (std::vector<int64_t>{1, 224}));
}

// Elements of an integer input: one says how many rows, the other how wide they are.
TEST(DefaultTuningPoint, BatchOneWhereDataSaysIt) {
  const Result<ir::Module> module = ir::ParseText(
      "graft-ir 1\n"
      "symbol s0 host_value 0 0 \"shape[0]\"\n"
      "symbol s1 host_value 0 1 \"shape[1]\"\n"
      "input \"shape\" %0 i32[2] \"shape\" contents=[s0,s1]\n"
      "constant %1 f32[] \"zero\" = {0}\n"
      "%2 f32[s0,14,s1] \"y\" = broadcast shape=[s0,14,s1] (%1) \"y\"\n"
      "output \"y\" %2\n");
  ASSERT_TRUE(module.ok()) << module.status().message();
  const Result<TuningPoint> point = DefaultTuningPoint(*module);
  ASSERT_TRUE(point.ok()) << point.status().message();
  EXPECT_EQ(point->symbols, (std::vector<int64_t>{1, 224}));
  const Result<TuningPoint> given = TuningPointFor(*module, {{2}});
  ASSERT_TRUE(given.ok()) << given.status().message();
  EXPECT_EQ(given->symbols, (std::vector<int64_t>{1, 224}));
}

TEST(DefaultTuningPoint, LargerWhereOneIsTooSmall) {
  const Result<TuningPoint> point = DefaultTuningPoint(Sliced("s0-2,s1-5", "2,5"));
  ASSERT_TRUE(point.ok()) << point.status().message();
  EXPECT_GE(point->symbols[0], 2);
  EXPECT_GE(point->symbols[1], 5);
}

TEST(DefaultTuningPoint, OneSizeAtATime) {
  const Result<TuningPoint> point = DefaultTuningPoint(Sliced("s0-20,8-s1", "20,s1"));
  ASSERT_TRUE(point.ok()) << point.status().message();
  EXPECT_GE(point->symbols[0], 20);
  EXPECT_LE(point->symbols[1], 8);
}

TEST(DefaultTuningPoint, NoneSaysWhy) {
  const Result<TuningPoint> point = DefaultTuningPoint(Sliced("s0-1000,s1", "1000,0"));
  ASSERT_EQ(point.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(point.status().message().find("give sizes with --shapes"), std::string::npos);
}

}  // namespace
}  // namespace graft
