#include "convert/convert_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/plan_file.h"
#include "tf/test_util.h"
#include "tf/wire.h"

namespace graft::convert {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::NotNull;
using tf::FindNode;
using tf::Get;
using tf::GraphDef;

constexpr DType kF32 = DType::kFloat32;
const char kFast[] = R"({"backend": "reference", "threads": 1, "opt-level": 0,
                         "timing-cache": "", "minimum-segment-size": 1})";

// x: [?,4] → Neg → Relu "y".
FileBytes SmallGraph() {
  GraphDef graph;
  graph.versions.producer = tf::kGraphDefVersion;
  graph.nodes = {
      {.name = "x",
       .op = "Placeholder",
       .attrs = {{"dtype", kF32}, {"shape", tf::Shape{.dims = {-1, 4}}}}},
      {.name = "a", .op = "Neg", .inputs = {"x"}, .attrs = {{"T", kF32}}},
      {.name = "y", .op = "Relu", .inputs = {"a"}, .attrs = {{"T", kF32}}},
  };
  return tf::CopyBytes(Get(tf::SerializeGraphDef(graph)));
}

std::string ErrorOf(const std::string& options) {
  const Result<ConvertedBytes> converted = ConvertGraphDefBytes(SmallGraph(), options);
  return converted.ok() ? "" : converted.status().message();
}

TEST(ConvertBytes, PlaceholdersAndUnreadTensorsAreTheDefault) {
  const ConvertedBytes converted = Get(ConvertGraphDefBytes(SmallGraph(), kFast));
  const GraphDef graph = Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def)));
  EXPECT_EQ(tf::CountOp(graph, "TRTEngineOp"), 1);
  ASSERT_THAT(FindNode(graph, "y"), NotNull());
  EXPECT_THAT(FindNode(graph, "y")->inputs,
              ElementsAre(testing::MatchesRegex("TRTEngineOp_[0-9]+_000")));
  EXPECT_THAT(converted.report, AllOf(HasSubstr("old_report"), HasSubstr("new_report")));
}

TEST(ConvertBytes, ANativeSegmentBuildsForItsArguments) {
  const ConvertedBytes converted = Get(ConvertGraphDefBytes(SmallGraph(), kFast));
  const GraphDef graph = Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def)));
  const FileBytes function = tf::CopyBytes(tf::SerializeFunctionDef(graph.functions.at(0)));
  const std::string bytes = Get(BuildSegment(function, {{"", kF32, {.dims = {3, 4}}}}, kFast));
  const Plan plan = Get(ReadPlan(tf::CopyBytes(bytes)));
  EXPECT_THAT(plan.module.input_names, ElementsAre("TensorRTInputPH_0"));
  EXPECT_THAT(plan.module.output_names, ElementsAre("TensorRTOutputPH_0"));

  const Result<std::string> none = BuildSegment(function, {}, kFast);
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.status().message(), HasSubstr("0 arguments for 1"));
}

std::string With(const std::string& options) {
  return std::string(kFast, 1) + options + "," + std::string(kFast).substr(1);
}

// A fill of an input's two integers, which say a shape only as long as there are known to be two.
TEST(ConvertBytes, ANativeSegmentKeepsTheSizesThatNeverChange) {
  GraphDef graph;
  graph.versions.producer = tf::kGraphDefVersion;
  graph.nodes = {
      {.name = "dims",
       .op = "Placeholder",
       .attrs = {{"dtype", DType::kInt32}, {"shape", tf::Shape{.dims = {2}}}}},
      {.name = "x",
       .op = "Placeholder",
       .attrs = {{"dtype", kF32}, {"shape", tf::Shape{.dims = {}}}}},
      {.name = "y",
       .op = "Fill",
       .inputs = {"dims", "x"},
       .attrs = {{"T", kF32}, {"index_type", DType::kInt32}}},
  };
  const FileBytes graph_def = tf::CopyBytes(Get(tf::SerializeGraphDef(graph)));
  const ConvertedBytes converted = Get(ConvertGraphDefBytes(graph_def, kFast));
  const FileBytes function = tf::CopyBytes(tf::SerializeFunctionDef(
      Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def))).functions.at(0)));
  const std::vector<importer::GraphInput> arguments = {{"", DType::kInt32, {.dims = {2}}},
                                                       {"", kF32, {.dims = {}}}};
  const auto error = [&](const std::string& options) {
    const Result<std::string> built = BuildSegment(function, arguments, options);
    return built.ok() ? "" : built.status().message();
  };
  EXPECT_THAT(error(kFast), HasSubstr("must be a constant or have at most 16 integers"));
  EXPECT_EQ(error(With(R"("input-shapes": [[2], null])")), "");
  EXPECT_THAT(error(With(R"("input-shapes": [[3], []])")),
              HasSubstr("argument 0 is [2], but input-shapes say [3]"));
  EXPECT_THAT(error(With(R"("input-shapes": [[2]])")), HasSubstr("1 input-shapes for 2"));
  EXPECT_THAT(error(With(R"("input-shapes": [2, 3])")), HasSubstr("wrong type"));
}

// Of the engine's only symbol, the batch.
std::vector<int64_t> TunedBatches(const std::string& options) {
  const ConvertedBytes converted = Get(ConvertGraphDefBytes(SmallGraph(), With(options)));
  const GraphDef graph = Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def)));
  for (const tf::NodeDef& node : graph.nodes) {
    if (node.op != "TRTEngineOp") continue;
    const Plan plan =
        Get(ReadPlan(tf::CopyBytes(Get(node.Attr<std::string>("serialized_segment")))));
    std::vector<int64_t> batches;
    for (const TuningPoint& point : plan.choices.points) batches.push_back(point.symbols.at(0));
    return batches;
  }
  return {};
}

TEST(ConvertBytes, TheLargestBatchIsATuningPoint) {
  EXPECT_THAT(TunedBatches(R"("max-batch-size": 1)"), ElementsAre(1));
  EXPECT_THAT(TunedBatches(R"("max-batch-size": 8)"), ElementsAre(1, 8));
}

TEST(ConvertBytes, ShapesAreTheTuningPoints) {
  EXPECT_THAT(
      TunedBatches(R"("max-batch-size": 8, "shapes": [{"x:0": [3, 4]}, {"x": [5, 4]}, {}])"),
      ElementsAre(3, 5, 1));
  EXPECT_THAT(ErrorOf(With(R"("shapes": [{"z": [3, 4]}])")), HasSubstr("shapes: no input is 'z'"));
  EXPECT_THAT(ErrorOf(With(R"("shapes": [{"x": [3]}])")), HasSubstr("rank 1 given"));
  for (const char* bad : {"{}", "[[]]", R"([{"x": 3}])", R"([{"x": ["a"]}])"}) {
    EXPECT_THAT(ErrorOf(R"({"shapes": )" + std::string(bad) + "}"),
                HasSubstr("option 'shapes' has a value of the wrong type"));
  }
}

TEST(ConvertBytes, EnginesCanBeLeftToTheFirstRun) {
  for (const char* option : {R"("build-engines": false)", R"("static-engine": false)"}) {
    const ConvertedBytes converted = Get(ConvertGraphDefBytes(
        SmallGraph(), With(option + std::string(R"(, "use-implicit-batch": true)"))));
    const GraphDef graph = Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def)));
    EXPECT_EQ(tf::CountOp(graph, "TRTEngineOp"), 1) << option;
    for (const tf::NodeDef& node : graph.nodes) {
      if (node.op != "TRTEngineOp") continue;
      EXPECT_EQ(Get(node.Attr<std::string>("serialized_segment")), "") << option;
      EXPECT_TRUE(Get(node.Attr<bool>("_use_implicit_batch"))) << option;
    }
  }
}

TEST(ConvertBytes, AnEngineLeftToItsFirstRunHasItsCalibration) {
  const auto engine_of = [](const std::string& tables) {
    const std::string options = With(
        R"("static-engine": false, "precision-mode": "INT8", "calibration-tables": )" + tables);
    const ConvertedBytes converted = Get(ConvertGraphDefBytes(SmallGraph(), options));
    GraphDef graph = Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def)));
    for (tf::NodeDef& node : graph.nodes) {
      if (node.op == "TRTEngineOp") return std::move(node);
    }
    return tf::NodeDef();
  };
  const std::string table = R"("TRT-8602-EntropyCalibration2\nTensorRTInputPH_0: 3c010a14\n")";
  const tf::NodeDef engine = engine_of("{\"" + engine_of("{}").name + "\": " + table + "}");
  EXPECT_EQ(Get(engine.Attr<std::string>("serialized_segment")), "");
  EXPECT_THAT(Get(engine.Attr<std::string>("calibration_data")),
              HasSubstr("TensorRTInputPH_0: 3c010a14"));
}

// x: [?,8] → MatMul with 8 × 256 weights "dense/kernel" → Relu.
tf::FunctionDef DenseSegment() {
  std::vector<float> weights(8 * 256);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i);
  const Tensor kernel = Tensor::Of<float>({8, 256}, weights);
  GraphDef graph;
  graph.versions.producer = tf::kGraphDefVersion;
  graph.nodes = {
      {.name = "x",
       .op = "Placeholder",
       .attrs = {{"dtype", kF32}, {"shape", tf::Shape{.dims = {-1, 8}}}}},
      {.name = "dense/kernel",
       .op = "Const",
       .attrs = {{"dtype", kF32}, {"value", tf::TensorValue(kernel)}}},
      {.name = "dense", .op = "MatMul", .inputs = {"x", "dense/kernel"}, .attrs = {{"T", kF32}}},
      {.name = "y", .op = "Relu", .inputs = {"dense"}, .attrs = {{"T", kF32}}},
  };
  const FileBytes bytes = tf::CopyBytes(Get(tf::SerializeGraphDef(graph)));
  const ConvertedBytes converted = Get(ConvertGraphDefBytes(bytes, kFast));
  return Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def))).functions.at(0);
}

TEST(ConvertBytes, ANativeSegmentsPlanRefersToItsConstants) {
  const FileBytes function = tf::CopyBytes(tf::SerializeFunctionDef(DenseSegment()));
  const std::vector<importer::GraphInput> arguments = {{"", kF32, {.dims = {3, 8}}}};
  const std::string referring = Get(BuildSegment(function, arguments, kFast));
  std::vector<std::string> asked;
  ReadPlanOptions read;
  read.external_weight = [&](const std::string& name, auto) -> Result<Tensor> {
    asked.push_back(name);
    return NotFoundError("nowhere");
  };
  EXPECT_FALSE(ReadPlan(tf::CopyBytes(referring), read).ok());
  EXPECT_THAT(asked, ElementsAre("dense/kernel"));

  const std::string whole =
      Get(BuildSegment(function, arguments, With(R"("embed-weights": true)")));
  EXPECT_TRUE(ReadPlan(tf::CopyBytes(whole)).ok());
  EXPECT_GT(whole.size(), referring.size() + 8 * 256 * 4 - 256);
}

tf::NodeDef Constant(const std::string& name, std::vector<std::string> inputs) {
  return {
      .name = name,
      .op = "Const",
      .inputs = std::move(inputs),
      .attrs = {{"dtype", kF32}, {"value", tf::TensorValue(Tensor::Of<float>({4}, {1, 2, 3, 4}))}}};
}

// As TensorFlow freezes calls of functions that read variables: a NoOp waits for the arguments, and
// the constants of the body wait for it.
FileBytes FrozenCalls() {
  GraphDef graph;
  graph.versions.producer = tf::kGraphDefVersion;
  graph.nodes = {{.name = "x",
                  .op = "Placeholder",
                  .attrs = {{"dtype", kF32}, {"shape", tf::Shape{.dims = {-1, 4}}}}}};
  std::string last = "x";
  for (const std::string layer : {"a", "b", "c"}) {
    const std::string control = layer + "/input_control_node", weight = layer + "/weight";
    graph.nodes.push_back({.name = control, .op = "NoOp", .inputs = {"^" + last}});
    graph.nodes.push_back(Constant(weight, {"^" + control}));
    graph.nodes.push_back(
        {.name = layer, .op = "Mul", .inputs = {last, weight}, .attrs = {{"T", kF32}}});
    last = layer;
  }
  graph.nodes.push_back(Constant("unused", {}));
  graph.nodes.push_back({.name = "y", .op = "Relu", .inputs = {last}, .attrs = {{"T", kF32}}});
  graph.functions.push_back({.signature = {.name = "nobody_calls"}});
  return tf::CopyBytes(Get(tf::SerializeGraphDef(graph)));
}

TEST(ConvertBytes, NodesThatOnlyWaitSplitNoSegment) {
  const ConvertedBytes converted = Get(ConvertGraphDefBytes(FrozenCalls(), kFast));
  const GraphDef graph = Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def)));
  EXPECT_EQ(tf::CountOp(graph, "TRTEngineOp"), 1);
  EXPECT_EQ(tf::CountOp(graph, "NoOp"), 0);
  EXPECT_THAT(FindNode(graph, "y")->inputs,
              ElementsAre(testing::MatchesRegex("TRTEngineOp_[0-9]+_000")));
  EXPECT_EQ(tf::CountOp(graph, "TRTEngineOp"), 1);
  for (const tf::NodeDef& node : graph.nodes) {
    if (node.op != "TRTEngineOp") continue;
    EXPECT_THAT(node.inputs, ElementsAre("x"));
  }
  EXPECT_EQ(graph.functions.size(), 1);  // the native segment
  EXPECT_THAT(FindNode(graph, "unused"), NotNull());
}

TEST(ConvertBytes, WhatNamedOutputsDoNotNeedIsPruned) {
  const std::string options =
      std::string(kFast, 1) + R"("outputs": ["b"], "deny": ["c"],)" + std::string(kFast).substr(1);
  const ConvertedBytes converted = Get(ConvertGraphDefBytes(FrozenCalls(), options));
  const GraphDef graph = Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def)));
  EXPECT_THAT(FindNode(graph, "b"), NotNull());
  EXPECT_THAT(FindNode(graph, "c"), NotNull());
  EXPECT_THAT(FindNode(graph, "y"), testing::IsNull());
  EXPECT_THAT(FindNode(graph, "unused"), testing::IsNull());
}

TEST(ConvertBytes, OptionsThatAreNotUnderstoodAreNamed) {
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf("{"), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(R"({"opt-levle": 1})"), HasSubstr("'opt-levle' is not known"));
  EXPECT_THAT(ErrorOf(R"({"opt-level": "high"})"), HasSubstr("'opt-level'"));
  EXPECT_THAT(ErrorOf(R"({"deny": "a"})"), HasSubstr("'deny'"));
  EXPECT_THAT(ErrorOf(R"({"inputs": [{"tensor": "x"}]})"), HasSubstr("'inputs'"));
  EXPECT_THAT(ErrorOf(R"({"outputs": ["nowhere"]})"), HasSubstr("'nowhere'"));
  EXPECT_THAT(ErrorOf(R"({"precision-mode": "INT4"})"), HasSubstr("'INT4'"));
  EXPECT_THAT(ErrorOf(R"({"backend": "abacus"})"), HasSubstr("abacus"));
}

TEST(ConvertBytes, APrecisionNeedsABackendThatHasIt) {
  const auto with = [](std::string_view backend, std::string_view mode) {
    return fmt::format(
        R"({{"backend": "{}", "precision-mode": "{}", "opt-level": 0, "threads": 1,
             "timing-cache": "", "minimum-segment-size": 1}})",
        backend, mode);
  };
  EXPECT_THAT(ErrorOf(with("reference", "FP8")),
              HasSubstr("precision mode 'FP8' has no engine in this version of Graft"));
  const ConvertedBytes converted =
      Get(ConvertGraphDefBytes(SmallGraph(), with("reference", "fp16")));
  const GraphDef graph = Get(tf::ParseGraphDef(tf::CopyBytes(converted.graph_def)));
  for (const tf::NodeDef& node : graph.nodes) {
    if (node.op != "TRTEngineOp") continue;
    EXPECT_EQ(std::get<std::string>(node.attrs.at("precision_mode").value), "FP16");
  }
}

TEST(ConvertBytes, ADtypeThatDoesNotExistIsReadByNoEngine) {
  for (const char* input :
       {R"("dtype": 9999, "dims": [-1, 4])", R"("dtype": -1)", R"("dtype": 99999999999)"}) {
    const std::string options = fmt::format(
        R"({{"inputs": [{{"tensor": "x", {}}}], "minimum-segment-size": 1,
             "backend": "reference", "timing-cache": "", "opt-level": 0}})",
        input);
    const Result<ConvertedBytes> converted = ConvertGraphDefBytes(SmallGraph(), options);
    if (!converted.ok()) continue;
    const GraphDef graph = Get(tf::ParseGraphDef(tf::CopyBytes(converted->graph_def)));
    // Behind the op that reads it, the dtype is what that op says.
    for (const tf::NodeDef& node : graph.nodes) {
      if (node.op == "TRTEngineOp") {
        EXPECT_THAT(node.inputs, testing::Not(testing::Contains("x"))) << input;
      }
    }
  }
}

}  // namespace
}  // namespace graft::convert
