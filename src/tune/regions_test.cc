#include "tune/regions.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "backend_api/test_backend.h"

namespace graft {
namespace {

using testing::TestBackend;
using testing::TestTactic;

// x[s0,4] in two parts, made positive one by one or together.
constexpr std::string_view kText =
    "graft-ir 1\n"
    "symbol s0 input_dim 0 0 \"x.0\"\n"
    "input \"x\" %0 f32[s0,4] \"x\"\n"
    "constant %1 f32[1] \"c\" = {1}\n"
    "%2 f32[s0,2] \"a\", %3 f32[s0,2] \"b\" = choice region=\"test\" bodies=[\"apart\"{"
    "slice begin=[0,0] size=[s0,2] strides=[1,1] (0) \"a0\";"
    "pointwise program={2:r2=add.f32(r0,r1)} (2,1) \"a1\";"
    "slice begin=[0,2] size=[s0,2] strides=[1,1] (0) \"b0\";"
    "pointwise program={2:r2=add.f32(r0,r1)} (4,1) \"b1\";->3,5},\"joined\"{"
    "pointwise program={2:r2=add.f32(r0,r1)} (0,1) \"ab\";"
    "slice begin=[0,0] size=[s0,2] strides=[1,1] (2) \"a1\";"
    "slice begin=[0,2] size=[s0,2] strides=[1,1] (2) \"b1\";->3,4}] (%0,%1) \"choice\"\n"
    "output \"a\" %2\n"
    "output \"b\" %3\n";

class RegionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(::testing::TempDir() + "graft_regions");
    path_ = ::testing::TempDir() + "graft_regions/timings";
    cache_ = TimingCache::Open(path_);
    hooks_.optimize = [](ir::Module&) { return OkStatus(); };
    hooks_.time = [this](const std::vector<TunedBody>& bodies,
                         double) -> Result<std::vector<double>> {
      ++timed_;
      sizes_.clear();
      std::vector<double> times;
      for (const TunedBody& body : bodies) {
        sizes_.push_back(body.module.node_count());
        EXPECT_EQ(body.choices.steps.size(), static_cast<size_t>(body.module.node_count()));
        EXPECT_TRUE(ir::Verify(body.module).ok()) << ir::Verify(body.module).ToString();
        times.push_back(time_of_(body.module));
      }
      return times;
    };
  }
  Result<int> Choose(TuneReport* report, int opt_level = 3,
                     const std::vector<bool>& windows = {false, false},
                     const std::vector<TuningPoint>& points = {{{1}}}) {
    return ChooseIn(ir::ParseText(kText).value(), report, opt_level, windows, points);
  }
  Result<int> ChooseIn(const ir::Module& module, TuneReport* report, int opt_level = 3,
                       const std::vector<bool>& windows = {false, false},
                       const std::vector<TuningPoint>& points = {{{1}}}) {
    TuneOptions options;
    options.opt_level = opt_level;
    return ChooseBody(module, module.node(0), windows, backend_, points, options, hooks_, *cache_,
                      report);
  }

  TestBackend backend_;
  TestTactic& tactic_ = backend_.Add("test");
  RegionHooks hooks_;
  std::function<double(const ir::Module&)> time_of_ = [](const ir::Module& body) {
    return static_cast<double>(body.node_count());
  };
  std::unique_ptr<TimingCache> cache_;
  std::string path_;
  int timed_ = 0;
  std::vector<int> sizes_;  // nodes of the bodies that were timed
};

TEST_F(RegionsTest, TheFastestBodyIsChosen) {
  TuneReport report;
  const Result<int> body = Choose(&report);
  ASSERT_TRUE(body.ok()) << body.status().ToString();
  EXPECT_EQ(*body, 1);
  ASSERT_EQ(report.regions.size(), 1u);
  const RegionReport& region = report.regions[0];
  EXPECT_EQ(region.node, "choice");
  EXPECT_EQ(region.region, "test");
  EXPECT_EQ(region.chosen, 1);
  EXPECT_TRUE(region.measured);
  ASSERT_EQ(region.bodies.size(), 2u);
  EXPECT_EQ(region.bodies[0].name, "apart");
  EXPECT_EQ(region.bodies[0].microseconds, 4);
  EXPECT_EQ(region.bodies[1].microseconds, 3);
}

TEST_F(RegionsTest, TheFirstBodyWinsTies) {
  time_of_ = [](const ir::Module& body) { return body.node_count() == 4 ? 1.02 : 1.0; };
  TuneReport report;
  EXPECT_EQ(*Choose(&report), 0);
}

TEST_F(RegionsTest, AllPointsCountAlike) {
  // Together is a little better for one row and far worse for many.
  time_of_ = [](const ir::Module& body) {
    const bool apart = body.node_count() == 4;
    const bool one = body.value(body.inputs[0]).shape[0] == 1;
    return one ? (apart ? 1.1 : 1.0) : (apart ? 1000.0 : 2000.0);
  };
  TuneReport report;
  EXPECT_EQ(*Choose(&report, 3, {false, false}, {{{1}}}), 1);
  EXPECT_EQ(*Choose(&report, 3, {false, false}, {{{1}}, {{8}}}), 0);
}

TEST_F(RegionsTest, AWindowNeedsNoSlice) {
  TuneReport report;
  EXPECT_EQ(*Choose(&report, 3, {true, false}), 1);
  EXPECT_EQ(sizes_, (std::vector<int>{4, 2}));
  EXPECT_EQ(*Choose(&report, 3, {true, true}), 1);
  EXPECT_EQ(sizes_, (std::vector<int>{4, 1}));
}

TEST_F(RegionsTest, ACachedBuildTimesNothingAndDecidesAlike) {
  TuneReport report;
  EXPECT_EQ(*Choose(&report), 1);
  EXPECT_EQ(timed_, 1);
  ASSERT_TRUE(cache_->Flush().ok());
  cache_ = TimingCache::Open(path_);
  time_of_ = [](const ir::Module&) { return 1.0; };
  EXPECT_EQ(*Choose(&report), 1);
  EXPECT_EQ(timed_, 1);
  // Another version of a tactic is another engine.
  ++tactic_.tactic_version;
  EXPECT_EQ(*Choose(&report), 0);
  EXPECT_EQ(timed_, 2);
}

// What the whole module is tuned with is not timed once more, as if it were all there is.
TEST_F(RegionsTest, StepsAreTimedAsTheyAreInTheWholeModule) {
  backend_.Add("other");
  ir::Module module = ir::ParseText(kText).value();
  module.AddConstant("large", Tensor::Allocate(DType::kFloat32, {100}).value());
  backend_.device().cache = 100;
  TuneReport report;
  ASSERT_TRUE(ChooseIn(module, &report).ok());
  EXPECT_GT(report.measured, 2);
  // The chosen body by itself, as what the whole module's final tuning would find.
  const ir::Module part =
      ir::ParseText(
          "graft-ir 1\ninput \"x\" %0 f32[1,4] \"x\"\nconstant %1 f32[1] \"c\" = {1}\n"
          "%2 f32[1,4] \"ab\" = pointwise program={2:r2=add.f32(r0,r1)} (%0,%1) \"ab\"\n"
          "output \"ab\" %2\n")
          .value();
  TuneOptions options;
  options.cold_constants = true;
  TuneReport again;
  ASSERT_TRUE(Tune(part, backend_, {TuningPoint()}, options, *cache_, &again).ok());
  EXPECT_EQ(again.measured, 0);
  EXPECT_EQ(again.remembered, 2);
}

TEST_F(RegionsTest, CostsAreSummedWhereNothingIsTimed) {
  TuneReport report;
  EXPECT_EQ(*Choose(&report, 0), 1);
  EXPECT_EQ(timed_, 0);
  EXPECT_FALSE(report.regions[0].measured);
  EXPECT_EQ(report.regions[0].bodies[0].microseconds, 4000);
  EXPECT_EQ(report.regions[0].bodies[1].microseconds, 3000);
  // An estimate is not kept.
  EXPECT_EQ(*Choose(&report), 1);
  EXPECT_EQ(timed_, 1);
}

TEST_F(RegionsTest, BodiesKnowTheBoundsOfWhatTheyRead) {
  ir::Module module = ir::ParseText(kText).value();
  module.value(module.inputs[0]).low = 0;
  module.value(module.inputs[0]).high = 127;
  int bodies = 0;
  time_of_ = [&](const ir::Module& body) {
    ++bodies;
    EXPECT_EQ(body.value(body.inputs[0]).low, 0);
    EXPECT_EQ(body.value(body.inputs[0]).high, 127);
    return 1.0;
  };
  TuneReport report;
  ASSERT_TRUE(ChooseBody(module, module.node(0), {false, false}, backend_, {{{1}}}, {}, hooks_,
                         *cache_, &report)
                  .ok());
  EXPECT_EQ(bodies, 2);
}

TEST_F(RegionsTest, BodiesThatTheBackendCannotRunLose) {
  tactic_.accepts = [](const ir::Node& node) { return node.name != "ab"; };
  TuneReport report;
  EXPECT_EQ(*Choose(&report), 0);
  tactic_.accepts = [](const ir::Node&) { return false; };
  const Result<int> none = Choose(&report);
  EXPECT_EQ(none.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(none.status().message().find("choice"), std::string::npos);
}

}  // namespace
}  // namespace graft
