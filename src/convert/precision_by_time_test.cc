#include "convert/precision_by_time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "convert/build_by_time.h"
#include "convert/precision_choice.h"
#include "tf/opdefs.h"
#include "tf/test_util.h"

namespace graft::convert {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using tf::Get;

// x f32[8,64] → three products with ReLUs between them.
const std::vector<std::string> kProducts = {"a", "b", "c"};
const std::vector<Dims> kWeights = {{64, 96}, {96, 80}, {80, 48}};

tf::GraphDef Chain() {
  tf::GraphDef graph;
  graph.versions.producer = tf::kGraphDefVersion;
  graph.nodes.push_back(
      {.name = "x",
       .op = "Placeholder",
       .attrs = {{"dtype", DType::kFloat32}, {"shape", tf::Shape{.dims = {8, 64}}}}});
  std::string at = "x";
  for (size_t i = 0; i < kProducts.size(); ++i) {
    Tensor weights = Get(Tensor::Allocate(DType::kFloat32, kWeights[i]));
    for (int64_t k = 0; k < weights.elements(); ++k)
      weights.mutable_data<float>()[k] = static_cast<float>(k % 7 - 3) / 16;
    const std::string& name = kProducts[i];
    graph.nodes.push_back(
        {.name = name + "/w",
         .op = "Const",
         .attrs = {{"dtype", DType::kFloat32}, {"value", tf::TensorValue(std::move(weights))}}});
    graph.nodes.push_back({.name = name,
                           .op = "MatMul",
                           .inputs = {at, name + "/w"},
                           .attrs = {{"T", DType::kFloat32}}});
    at = name + "/relu";
    graph.nodes.push_back(
        {.name = at, .op = "Relu", .inputs = {name}, .attrs = {{"T", DType::kFloat32}}});
  }
  tf::AddDefaultAttrs(&graph);
  return graph;
}

class PrecisionByTimeTest : public testing::Test {
 protected:
  PrecisionByTimeTest()
      : folder_(std::filesystem::temp_directory_path() /
                ("precision_by_time_test." + std::to_string(getpid()))),
        graph_(Chain()) {
    std::filesystem::create_directories(folder_);
    cache_ = TimingCache::Open(folder_ / "timings");
    options_.precision = Precision::kInt8;
    options_.threads = 1;
    options_.opt_level = 1;
    options_.cache = cache_.get();
    options_.int8.table.emplace();
    options_.int8.table->scales = {{"x", 0.02F}, {"a/relu", 0.04F}, {"b/relu", 0.08F}};
  }
  ~PrecisionByTimeTest() override { std::filesystem::remove_all(folder_); }

  EngineSource Source() const {
    return {.graph = &graph_,
            .inputs = {{"x", DType::kFloat32, {.dims = {8, 64}}}},
            .outputs = {"c/relu:0"},
            .input_names = {"x"},
            .output_names = {"y"}};
  }
  PrecisionByTime Measure() { return Get(PrecisionByTime::Measure(Source(), options_, kProducts)); }
  // Nodes in floats, of an engine built with a table.
  std::vector<std::string> FloatsOfTheEngine() {
    StageTimes times;
    const BuiltEngine built = Get(BuildByTime(Source(), options_, &times));
    std::vector<std::string> floats;
    for (const Int8Layer& layer : built.int8.layers) {
      if (!layer.integers) floats.push_back(layer.node + ": " + layer.reason);
    }
    return floats;
  }

  // As if the products had taken so long on integers, 100 us in floats, and each cast 10 us.
  PrecisionByTime WithTimes(const std::vector<double>& on_integers) {
    Measure();
    EXPECT_TRUE(cache_->Flush().ok());
    std::ifstream file(folder_ / "timings");
    for (std::string line; std::getline(file, line);) {
      const std::string key = line.substr(line.find(" m ") + 3);
      double time = key.find("] pointwise ") != std::string::npos ? 10 : 100;
      for (size_t i = 0; i < kProducts.size(); ++i) {
        if (key.find(fmt::format("i8[{},{}]:const", kWeights[i][0], kWeights[i][1])) !=
            std::string::npos)
          time = on_integers[i];
      }
      cache_->Insert(key, {time});
    }
    return Measure();
  }

  const std::filesystem::path folder_;
  const tf::GraphDef graph_;
  std::unique_ptr<TimingCache> cache_;
  BuildOptions options_;
};

TEST_F(PrecisionByTimeTest, KnowsBothTimesOfEveryProduct) {
  const PrecisionByTime times = WithTimes({50, 105, 60});
  ASSERT_EQ(times.times().size(), 3);
  EXPECT_EQ(times.times().at("b").integers, 105);
  EXPECT_EQ(times.times().at("b").floats, 100);
}

TEST_F(PrecisionByTimeTest, AnEngineWithATableIsBuiltSoUnlessStrict) {
  WithTimes({50, 60, 200});
  EXPECT_THAT(FloatsOfTheEngine(), ElementsAre("c: integers take 200 us, floats 100, and casts"));
  options_.int8.strict = true;
  EXPECT_THAT(FloatsOfTheEngine(), IsEmpty());
  options_.int8.strict = false;
  options_.opt_level = 0;
  EXPECT_THAT(FloatsOfTheEngine(), IsEmpty());
}

TEST_F(PrecisionByTimeTest, AChoiceInTheTableComesBeforeTimes) {
  WithTimes({50, 60, 200});
  AddChoice({.layers = {{.node = "a", .in_floats = FloatReason::kAccuracy},
                        {.node = "b"},
                        {.node = "c"}}},
            &*options_.int8.table);
  for (const int level : {0, 1}) {
    options_.opt_level = level;
    EXPECT_THAT(FloatsOfTheEngine(), ElementsAre("a: integers are too coarse for it"));
  }
  options_.int8.strict = true;
  EXPECT_THAT(FloatsOfTheEngine(), IsEmpty());
}

TEST_F(PrecisionByTimeTest, ALittleIsNotWorthTwoCasts) {
  const PrecisionByTime times = WithTimes({50, 115, 60});
  EXPECT_THAT(times.Floats({}), IsEmpty());
}

TEST_F(PrecisionByTimeTest, WhatIsSlowByMoreThanItsCastsIsInFloats) {
  const PrecisionByTime times = WithTimes({50, 140, 60});
  EXPECT_THAT(times.Floats({}), ElementsAre("b"));
}

// Beside floats an integer product needs casts that it needed not before.
TEST_F(PrecisionByTimeTest, NeighboursOfFloatsFollowThem) {
  const PrecisionByTime times = WithTimes({50, 96, 96});
  EXPECT_THAT(times.Floats({}), IsEmpty());
  EXPECT_THAT(times.Floats({"a"}), ElementsAre("a", "b", "c"));
}

TEST_F(PrecisionByTimeTest, NothingIsKnownWhereNothingMayBeTimed) {
  options_.opt_level = 0;
  const PrecisionByTime times = Measure();
  EXPECT_TRUE(times.times().empty());
  EXPECT_THAT(times.Floats({}), IsEmpty());
}

}  // namespace
}  // namespace graft::convert
