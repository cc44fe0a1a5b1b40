#include "tune/tuner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "backend_api/test_backend.h"
#include "tune/explain.h"
#include "tune/measure.h"

namespace graft {
namespace {

using testing::TestBackend;
using testing::TestTactic;

// An addition of a constant of 1000 numbers, for two tactics.
class TunerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(::testing::TempDir() + "graft_tuner");
    path_ = ::testing::TempDir() + "graft_tuner/timings";
    cache_ = TimingCache::Open(path_);
    const ir::ValueId x = module_.AddInput("x", DType::kFloat32, {1000});
    const ir::ValueId y =
        module_.AddConstant("y", Tensor::Allocate(DType::kFloat32, {1000}).value());
    ir::PointwiseAttributes add;
    add.program = ParsePointwise("2:r2=add.f32(r0,r1)").value();
    ASSERT_TRUE(module_.AddNode(add, {x, y}, "sum").ok());
  }
  Result<Choices> Run(TuneReport* report = nullptr, int opt_level = 3) {
    TuneOptions options;
    options.opt_level = opt_level;
    return Tune(module_, backend_, {TuningPoint{}}, options, *cache_, report);
  }
  // As another process would find the cache.
  void Reopen() {
    ASSERT_TRUE(cache_->Flush().ok());
    cache_ = TimingCache::Open(path_);
  }
  std::string Timings() {
    EXPECT_TRUE(cache_->Flush().ok());
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  ir::Module module_;
  TestBackend backend_;
  TestTactic& first_ = backend_.Add("test.first");
  TestTactic& second_ = backend_.Add("test.second");
  std::unique_ptr<TimingCache> cache_;
  std::string path_;
};

void Wait(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

TEST_F(TunerTest, TheFasterTacticIsFirst) {
  first_.on_run = [] { Wait(1); };
  const Result<Choices> choices = Run();
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.second");
}

TEST_F(TunerTest, OneDisturbedRunDoesNotLose) {
  first_.on_run = [] { Wait(1); };
  // The second run, which is the first that counts, takes as long as ten of the other tactic.
  second_.on_run = [this] {
    if (second_.runs == 2) Wait(10);
  };
  const Result<Choices> choices = Run();
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.second");
}

TEST_F(TunerTest, OfEqualsTheOneThatGeneratesNothingWins) {
  first_.traits.prepare_cost_ms = 5;
  first_.cost = 1;
  second_.cost = 1 + kTuningTie / 2;
  EXPECT_EQ(Run(nullptr, 0)->steps[0].tactics[0].name, "test.second");
  second_.cost = 1 + 2 * kTuningTie;
  EXPECT_EQ(Run(nullptr, 0)->steps[0].tactics[0].name, "test.first");
}

TEST_F(TunerTest, AnEstimateNeverStandsInForAMeasurement) {
  first_.on_run = [] { Wait(1); };
  second_.cost = 2;  // the model is wrong
  TuneReport report;
  Result<Choices> choices = Run(&report, 0);
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.first");
  EXPECT_EQ(report.estimated, 2);
  EXPECT_EQ(report.measured, 0);
  Reopen();
  report = {};
  choices = Run(&report);
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.second");
  EXPECT_EQ(report.measured, 2);
  Reopen();
  // Measurements are better than estimates at every level.
  report = {};
  choices = Run(&report, 0);
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.second");
  EXPECT_EQ(report.remembered, 2);
  EXPECT_EQ(report.measured, 0);
}

// At level 1 a tactic that the model puts far behind is not timed, and its estimate, which is less
// than what the other takes, wins nothing.
TEST_F(TunerTest, EstimatesAreNotComparedWithMeasurements) {
  first_.cost = 1e-6;
  first_.on_run = [] { Wait(1); };
  second_.cost = 1e-5;
  second_.traits.any_shape = false;
  TuneReport report;
  const Result<Choices> choices = Run(&report, 1);
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.first");
  EXPECT_EQ(second_.runs, 0);
  EXPECT_EQ(report.measured, 1);
}

// Whatever was built before with the cache: a level that times more than that build did times all.
TEST_F(TunerTest, NoLevelTakesAnEstimateOfAnother) {
  // The model puts the second far behind, so that levels 1 and 2 do not time it.
  first_.cost = 1e-6;
  first_.on_run = [] { Wait(1); };
  second_.cost = 1e-5;
  second_.traits.any_shape = false;
  const auto timed = [](int level) { return level == 0 ? 0 : level <= 2 ? 1 : 2; };
  for (int before = 0; before <= 5; ++before) {
    for (int level = 0; level <= 5; ++level) {
      SCOPED_TRACE(std::to_string(before) + ", then " + std::to_string(level));
      std::filesystem::remove_all(path_);
      cache_ = TimingCache::Open(path_);
      TuneReport report;
      ASSERT_TRUE(Run(&report, before).ok());
      EXPECT_EQ(report.measured, timed(before));
      Reopen();
      report = {};
      const Result<Choices> choices = Run(&report, level);
      ASSERT_TRUE(choices.ok()) << choices.status().ToString();
      EXPECT_EQ(report.measured, timed(level) > timed(before) ? timed(level) : 0);
      EXPECT_EQ(report.remembered, timed(before));
      const bool second = std::max(timed(level), timed(before)) == 2;
      EXPECT_EQ(choices->steps[0].tactics[0].name, second ? "test.second" : "test.first");
    }
  }
}

TEST_F(TunerTest, MayBeStopped) {
  std::atomic<bool> stopped{false};
  TuneOptions options;
  options.stopped = &stopped;
  ASSERT_TRUE(Tune(module_, backend_, {TuningPoint{}}, options, *cache_, nullptr).ok());
  const int runs = first_.runs + second_.runs;
  stopped = true;
  EXPECT_EQ(Tune(module_, backend_, {TuningPoint{}}, options, *cache_, nullptr).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(first_.runs + second_.runs, runs);
}

TEST_F(TunerTest, WhatDoesNotFitInMemoryIsNotTimed) {
  TuneOptions options;
  options.max_bytes = 7999;  // an operand and the result
  TuneReport report;
  ASSERT_TRUE(Tune(module_, backend_, {TuningPoint{}}, options, *cache_, &report).ok());
  EXPECT_EQ(report.estimated, 2);
  EXPECT_EQ(first_.runs + second_.runs, 0);
  options.max_bytes = 8000;
  ASSERT_TRUE(Tune(module_, backend_, {TuningPoint{}}, options, *cache_, &report).ok());
  EXPECT_EQ(report.measured, 2);
}

// More than any machine has.
constexpr size_t kTooLarge = size_t{1} << 60;

TEST_F(TunerTest, ATacticWithoutMemoryIsNotTakenInThisBuildAlone) {
  first_.on_run = [] { Wait(1); };
  second_.workspace = kTooLarge;
  TuneReport report;
  Result<Choices> choices = Run(&report);
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.first");
  ASSERT_EQ(report.rejected.size(), 1u);
  EXPECT_EQ(report.rejected[0].tactic, "test.second");
  Reopen();
  second_.workspace = 0;
  choices = Run();
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.second");
}

TEST_F(TunerTest, AWorkspaceOverTheLimitIsNoCandidate) {
  backend_.device().accessible = false;
  first_.on_run = [] { Wait(1); };
  second_.workspace = 1000;
  TuneOptions options;
  for (const auto& [limit, name] : {std::pair<size_t, std::string>{0, "test.second"},
                                    {999, "test.first"},
                                    {1000, "test.second"}}) {
    options.max_workspace_bytes = limit;
    const Result<Choices> choices =
        Tune(module_, backend_, {TuningPoint{}}, options, *cache_, nullptr);
    ASSERT_TRUE(choices.ok()) << choices.status().ToString();
    EXPECT_EQ(choices->steps[0].tactics[0].name, name) << limit;
  }
  options.max_workspace_bytes = 10;
  first_.workspace = 11;
  const Result<Choices> none = Tune(module_, backend_, {TuningPoint{}}, options, *cache_, nullptr);
  EXPECT_NE(none.status().message().find("workspace of 11 bytes, 10 are allowed"),
            std::string::npos)
      << none.status().ToString();
}

// Two nodes of one problem, of which the second has a tactic less: the times of the first go by
// name, not by place.
TEST_F(TunerTest, EqualProblemsMayHaveDifferentCandidates) {
  const ir::Node sum = module_.node(0);
  ASSERT_TRUE(module_.AddNode(sum.attributes, sum.inputs, "other").ok());
  TestTactic& third = backend_.Add("test.third");
  first_.accepts = [](const ir::Node& node) { return node.name == "sum"; };
  second_.on_run = [] { Wait(1); };
  third.on_run = [] { Wait(8); };
  const Result<Choices> choices = Run();
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.first");
  EXPECT_EQ(choices->steps[1].tactics[0].name, "test.second");
  Reopen();
  TuneReport report;
  const Result<Choices> again = Run(&report);
  EXPECT_EQ(report.measured, 0);
  EXPECT_EQ(*again, *choices);
}

TEST_F(TunerTest, ExplainsEveryCandidate) {
  TestTactic& refused = backend_.Add("test.refused");
  TestTactic& shape = backend_.Add("test.shape");
  refused.accepts = [](const ir::Node&) { return false; };
  shape.takes = [](const BoundNode&) { return false; };
  shape.traits.any_shape = false;
  second_.on_run = [] { Wait(1); };
  const Result<std::vector<CandidateReport>> reports =
      ExplainNode(module_, 0, backend_, std::vector<TuningPoint>(2), {});
  ASSERT_TRUE(reports.ok()) << reports.status().ToString();
  std::map<std::string, CandidateReport> by_name;
  for (const CandidateReport& report : *reports) by_name[report.tactic] = report;
  ASSERT_EQ(by_name.size(), 4u);
  EXPECT_EQ(by_name["test.refused"].refusal, "sum: not this node");
  EXPECT_TRUE(by_name["test.refused"].times.empty());
  for (const char* name : {"test.first", "test.second", "test.shape"}) {
    EXPECT_EQ(by_name[name].refusal, "") << name;
    EXPECT_EQ(by_name[name].times.size(), 2u) << name;  // one for each tuning point
  }
  EXPECT_EQ(by_name["test.shape"].times[1].rejected, "not this shape");
  EXPECT_GE(by_name["test.second"].times[1].microseconds, 1000);
  EXPECT_LT(by_name["test.first"].times[1].microseconds, 1000);
  // It asks no cache and fills none.
  EXPECT_EQ(Timings(), "");
  TuneOptions small;
  small.max_bytes = 7999;
  EXPECT_EQ(ExplainNode(module_, 0, backend_, std::vector<TuningPoint>(1), small).status().code(),
            StatusCode::kUnsupported);
}

TEST_F(TunerTest, KeepsWhatTheWinnerPrepared) {
  first_.on_run = [] { Wait(1); };
  second_.traits.prepares = true;
  second_.traits.any_shape = false;
  const Result<Choices> choices = Run();
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  const TacticChoice& winner = choices->steps[0].tactics[0];
  EXPECT_EQ(winner.name, "test.second");
  ASSERT_EQ(winner.prepared.size(), 1u);
  EXPECT_TRUE(winner.prepared[0]->starts_with("blob"));
  EXPECT_TRUE(choices->steps[0].tactics[1].prepared.empty());
  EXPECT_EQ(second_.prepares, 1);

  Reopen();
  TuneReport report;
  const Result<Choices> again = Run(&report);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(*again, *choices);
  EXPECT_EQ(second_.prepares, 1);
  EXPECT_EQ(report.prepared + report.measured, 0);

  // Without its bytes a timing is of no use.
  std::filesystem::remove_all(path_ + ".prepared");
  ASSERT_TRUE(Run(&report).ok());
  EXPECT_EQ(report.measured, 2);
  EXPECT_EQ(second_.prepares, 2);
}

TEST_F(TunerTest, PreparesWithoutTiming) {
  second_.traits.prepares = true;
  second_.cost = 0.5;
  const Result<Choices> choices = Run(nullptr, 0);
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.second");
  EXPECT_TRUE(choices->steps[0].tactics[0].prepared.at(0)->starts_with("blob"));
}

// A tactic that hands on its operand, or gives zeros: a comparison of zeros would not tell.
class CopyTactic final : public Tactic {
 public:
  static constexpr size_t kNothing = SIZE_MAX;
  // spoiled: where a float of the result is that is not written as it should be.
  CopyTactic(std::string name, bool wrong, size_t spoiled = kNothing)
      : name_(std::move(name)), wrong_(wrong), spoiled_(spoiled) {}
  std::string_view name() const override { return name_; }
  std::optional<Refusal> Accepts(const ir::Module&, const ir::Node&) const override {
    return std::nullopt;
  }
  TacticTraits Traits(const ir::Module&, const ir::Node&) const override { return {}; }
  double Cost(const BoundNode&) const override { return 1; }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    return std::unique_ptr<BoundStep>(new Step(
        CountElements(node.inputs[0].dims) * SizeOf(node.inputs[0].dtype), wrong_, spoiled_));
  }

 private:
  struct Step final : BoundStep {
    Step(size_t b, bool w, size_t s) : bytes(b), wrong(w), spoiled(s) {}
    size_t bytes;
    bool wrong;
    size_t spoiled;
    Status Enqueue(const StepPointers& p, const Queue&) const override {
      if (wrong)
        std::memset(p.outputs[0], 0, bytes);
      else
        std::memcpy(p.outputs[0], p.inputs[0], bytes);
      if (spoiled != kNothing) static_cast<uint8_t*>(p.outputs[0])[spoiled + 3] = 0x7f;
      return OkStatus();
    }
  };
  std::string name_;
  bool wrong_;
  size_t spoiled_;
};

class MeasureTest : public ::testing::TestWithParam<DType> {};

TEST_P(MeasureTest, AWrongTacticIsRejected) {
  ir::Module module;
  const ir::ValueId x = module.AddInput("x", GetParam(), {33});
  const Result<ir::NodeId> node = module.AddNode(ir::TransposeAttributes{{0}}, {x}, "copy");
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  const BoundNode bound = *BindNode(module, module.node(*node), {});
  const CopyTactic wrong("wrong", true), right("right", false);
  TestBackend backend;
  InlineExecutor executor;
  MeasureOptions options;
  options.milliseconds = 0.01;
  const auto measured = MeasureTactics(module, module.node(*node), bound, {&right, &wrong, &right},
                                       backend, executor, options);
  ASSERT_TRUE(measured.ok()) << measured.status().ToString();
  EXPECT_EQ((*measured)[0].rejected, "");
  EXPECT_NE((*measured)[1].rejected, "") << Name(GetParam());
  EXPECT_FALSE((*measured)[1].refused);
}

TEST(Measure, ALargeResultOfADeviceIsComparedAtBothEnds) {
  ir::Module module;
  const ir::ValueId x = module.AddInput("x", DType::kFloat32, {4096, 100});
  const Result<ir::NodeId> node = module.AddNode(ir::TransposeAttributes{{0, 1}}, {x}, "copy");
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  const BoundNode bound = *BindNode(module, module.node(*node), {});
  const CopyTactic right("right", false);
  TestBackend backend;
  backend.device().accessible = false;
  InlineExecutor executor;
  MeasureOptions options;
  options.milliseconds = 0.01;
  for (const size_t spoiled : {size_t{0}, size_t{4096 * 100 - 1}}) {
    const CopyTactic wrong("wrong", false, spoiled * sizeof(float));
    const auto measured = MeasureTactics(module, module.node(*node), bound,
                                         {&right, &wrong, &right}, backend, executor, options);
    ASSERT_TRUE(measured.ok()) << measured.status().ToString();
    EXPECT_EQ((*measured)[0].rejected, "");
    EXPECT_NE((*measured)[1].rejected, "") << spoiled;
  }
}

// What a device's tactics prepare is there before the first of them runs.
TEST_F(TunerTest, ADevicesTacticsArePreparedAhead) {
  backend_.on_executor = false;
  first_.traits.prepares = second_.traits.prepares = true;
  int unprepared = 0;
  first_.on_run = [&] { unprepared += second_.prepares == 0; };
  const Result<Choices> choices = Run();
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_GT(first_.runs, 0);
  EXPECT_EQ(unprepared, 0);
}

TEST_F(TunerTest, SoAreThoseThatPackConstants) {
  backend_.on_executor = false;
  first_.traits.prepares = second_.traits.prepares = true;
  second_.packing_name = "test";
  second_.traits.packed_inputs = {1};
  int unprepared = 0;
  first_.on_run = [&] { unprepared += second_.prepares == 0; };
  const Result<Choices> choices = Run();
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_GT(first_.runs, 0);
  EXPECT_EQ(unprepared, 0);
}

INSTANTIATE_TEST_SUITE_P(DTypes, MeasureTest,
                         ::testing::Values(DType::kFloat32, DType::kFloat64, DType::kFloat16,
                                           DType::kBFloat16, DType::kInt8, DType::kInt16,
                                           DType::kInt32, DType::kInt64, DType::kUint8,
                                           DType::kUint16, DType::kUint32, DType::kUint64,
                                           DType::kBool),
                         [](const auto& info) { return std::string(Name(info.param)); });

// Data that may be anything is not what an index may be, nor what a kernel for integers that are
// not negative can be tried with.
TEST(SeededData, IsInRange) {
  ir::Module module;
  const ir::ValueId x = module.AddInput("x", DType::kInt8, {3, 5});
  module.value(x).low = 0;
  const ir::ValueId i = module.AddInput("i", DType::kInt32, {40});
  ir::GatherAttributes gather;
  const Result<ir::NodeId> node = module.AddNode(gather, {x, i}, "gather");
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  struct Check final : Tactic {
    std::string_view name() const override { return "check"; }
    std::optional<Refusal> Accepts(const ir::Module&, const ir::Node&) const override {
      return std::nullopt;
    }
    TacticTraits Traits(const ir::Module&, const ir::Node&) const override { return {}; }
    double Cost(const BoundNode&) const override { return 1; }
    struct Step final : BoundStep {
      Status Enqueue(const StepPointers& p, const Queue&) const override {
        const std::span indices(static_cast<const int32_t*>(p.inputs[1]), 40);
        const auto [least, most] = std::ranges::minmax(indices);
        if (least != 0 || most != 2) return InternalError("{} … {}", least, most);
        const std::span x(static_cast<const int8_t*>(p.inputs[0]), 15);
        if (std::ranges::min(x) < 0) return InternalError("{}", std::ranges::min(x));
        return OkStatus();
      }
    };
    Result<std::unique_ptr<BoundStep>> Bind(const BoundNode&, const PackedWeights*,
                                            std::string_view) const override {
      return std::unique_ptr<BoundStep>(new Step);
    }
  } check;
  TestBackend backend;
  InlineExecutor executor;
  const auto measured =
      MeasureTactics(module, module.node(*node), *BindNode(module, module.node(*node), {}),
                     {&check}, backend, executor, {});
  ASSERT_TRUE(measured.ok()) << measured.status().ToString();
  EXPECT_EQ((*measured)[0].rejected, "");
}

TEST_F(TunerTest, ConstantsThatNoCacheHoldsAreMeasuredCold) {
  backend_.device().cache = 3999;
  second_.packing_name = "test";
  second_.traits.packed_inputs = {1};
  ASSERT_TRUE(Run().ok());
  // Both tactics' constants: the module's own and what the second one packed.
  const std::vector<const std::byte*>& evicted = backend_.device().evicted;
  const auto* own = module_.value(module_.node(0).inputs[1]).constant->raw();
  const auto of_module = std::ranges::count(evicted, own);
  EXPECT_GT(of_module, 0);
  EXPECT_GT(std::ssize(evicted), of_module);
  EXPECT_NE(Timings().find("test.first@1 t1 cold ["), std::string::npos);
}

TEST_F(TunerTest, ConstantsThatACacheHoldsStayThere) {
  backend_.device().cache = 4000;
  ASSERT_TRUE(Run().ok());
  EXPECT_TRUE(backend_.device().evicted.empty());
  EXPECT_NE(Timings().find("test.first@1 t1 ["), std::string::npos);
}

TEST_F(TunerTest, ThreadsAreInKeysWhereStepsRunOnThem) {
  backend_.on_executor = false;
  ASSERT_TRUE(Run().ok());
  EXPECT_NE(Timings().find("test.first@1 [test]"), std::string::npos);
}

TEST_F(TunerTest, NothingIsColdWhereCachesAreNotKnown) {
  backend_.device().cache = 0;
  ASSERT_TRUE(Run().ok());
  EXPECT_TRUE(backend_.device().evicted.empty());
  EXPECT_NE(Timings().find("test.first@1 t1 ["), std::string::npos);
}

}  // namespace
}  // namespace graft
