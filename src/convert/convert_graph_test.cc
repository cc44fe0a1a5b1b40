#include "convert/convert_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "plan/plan_file.h"
#include "tf/opdefs.h"
#include "tf/test_util.h"
#include "tf/wire.h"

namespace graft::convert {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::NotNull;
using testing::SizeIs;
using tf::CountOp;
using tf::FindNode;
using tf::Get;
using tf::GraphDef;
using tf::NodeDef;

constexpr DType kF32 = DType::kFloat32;

NodeDef Node(std::string name, std::string op, std::vector<std::string> inputs) {
  return {.name = std::move(name),
          .op = std::move(op),
          .inputs = std::move(inputs),
          .attrs = {{"T", kF32}}};
}

NodeDef Const(std::string name, Dims dims) {
  Tensor tensor = Tensor::Allocate(kF32, std::move(dims)).value();
  float next = 1;
  for (float& v : tensor.mutable_data<float>()) v = next++;
  return {.name = std::move(name),
          .op = "Const",
          .attrs = {{"dtype", kF32}, {"value", tf::TensorValue(std::move(tensor))}}};
}

NodeDef Input(std::string name) {
  return {.name = std::move(name), .op = "Placeholder", .attrs = {{"dtype", kF32}}};
}

// Refused: an engine computes it of vectors alone.
NodeDef Refused(std::string name, std::string input) {
  return Node(std::move(name), "Unique", {std::move(input)});
}

// Converts a graph that reads "x", of shape [?,4], on the reference backend without timing
// anything.
class ConvertGraphTest : public testing::Test {
 protected:
  ConvertGraphTest() {
    options_.build.backend = "reference";
    options_.build.threads = 1;
    options_.build.opt_level = 0;
    options_.build.cache = &cache_;
    options_.cluster.minimum_segment_size = 1;
    options_.graph_number = 0;
  }

  ConvertedGraph Convert(std::vector<NodeDef> nodes, const std::vector<std::string>& outputs,
                         tf::Shape shape = {.dims = {-1, 4}}) {
    GraphDef graph;
    graph.versions.producer = tf::kGraphDefVersion;
    graph.nodes = std::move(nodes);
    tf::AddDefaultAttrs(&graph);
    Result<ConvertedGraph> converted =
        ConvertGraph(graph, {{"x", kF32, std::move(shape)}}, outputs, options_);
    EXPECT_TRUE(converted.ok()) << converted.status().ToString();
    if (!converted.ok()) return {};
    ExpectNoCycle(converted->graph);
    for (const std::string& output : outputs) {
      EXPECT_THAT(FindNode(converted->graph, Get(tf::ParseTensorName(output)).node), NotNull())
          << output;
    }
    return *std::move(converted);
  }

  // Every input exists, and no node waits for itself.
  static void ExpectNoCycle(const GraphDef& graph) {
    std::map<std::string_view, int> state;  // 1: being visited, 2: done
    std::function<void(std::string_view)> visit = [&](std::string_view name) {
      ASSERT_NE(state[name], 1) << "a cycle through " << name;
      if (state[name] == 2) return;
      const NodeDef* node = FindNode(graph, name);
      ASSERT_THAT(node, NotNull()) << name;
      state[name] = 1;
      for (const std::string& input : node->inputs) visit(Get(tf::ParseTensorName(input)).node);
      state[name] = 2;
    };
    for (const NodeDef& node : graph.nodes) visit(node.name);
  }

  static Plan PlanOf(const GraphDef& graph, const std::string& engine) {
    const std::string bytes = Get(FindNode(graph, engine)->Attr<std::string>("serialized_segment"));
    return Get(ReadPlan(tf::CopyBytes(bytes)));
  }

  TimingCache cache_;
  ConvertOptions options_;
};

// Whatever the rank turns out to be, an engine can be built of the segment then. What is known
// without it stays as it was.
TEST_F(ConvertGraphTest, AnEngineOfUnknownRankIsBuiltWhenItRuns) {
  const std::vector<NodeDef> nodes = {Input("x"), Const("w", {4, 3}), Node("r", "Relu", {"x"}),
                                      Node("m", "MatMul", {"r", "w"}), Node("y", "Exp", {"m"})};
  const ConvertedGraph converted = Convert(nodes, {"y"}, tf::Shape::Unknown());
  const NodeDef* engine = FindNode(converted.graph, "TRTEngineOp_000_000");
  ASSERT_THAT(engine, NotNull());
  EXPECT_FALSE(Get(engine->Attr<bool>("static_engine")));
  EXPECT_EQ(Get(engine->Attr<std::string>("serialized_segment")), "");
  EXPECT_TRUE(Get(engine->AttrList<tf::Shape>("input_shapes"))[0].unknown_rank);
  EXPECT_THAT(converted.report.engines, IsEmpty());
  ASSERT_THAT(converted.report.late_engines, SizeIs(1));
  EXPECT_EQ(converted.report.late_engines[0].name, "TRTEngineOp_000_000");
  EXPECT_EQ(converted.report.late_engines[0].nodes, 3);
  EXPECT_EQ(converted.report.late_engines[0].reason, "the rank of its input x is unknown");
  EXPECT_EQ(converted.report.converted_ops, 3);

  // Nothing could build it.
  for (bool* needed :
       {&options_.attributes.allow_build_at_runtime, &options_.attributes.native_segment}) {
    *needed = false;
    const ConvertedGraph native = Convert(nodes, {"y"}, tf::Shape::Unknown());
    *needed = true;
    EXPECT_THAT(native.report.late_engines, IsEmpty());
    EXPECT_EQ(FindNode(native.graph, "r")->op, "Relu");
    EXPECT_THAT(native.report.unconverted,
                Contains(Field(&partition::LeftOut::reason,
                               HasSubstr("Input tensor rank is unknown. (x)"))));
  }
}

// What each rank alone would convert, and what none does.
TEST_F(ConvertGraphTest, UnknownRanksMayDiffer) {
  const ConvertedGraph converted =
      Convert({Input("x"), Input("z"), Const("w", {4, 3}), Node("m", "MatMul", {"x", "w"}),
               Node("rows", "Exp", {"m"}), Const("f", {1, 1, 2, 2}),
               [] {
                 NodeDef conv = Node("conv", "Conv2D", {"z", "f"});
                 conv.attrs["strides"] = std::vector<int64_t>{1, 1, 1, 1};
                 conv.attrs["padding"] = std::string("SAME");
                 return conv;
               }(),
               Node("images", "Exp", {"conv"}), Node("native", "RandomShuffle", {"z"})},
              {"rows", "images", "native"}, tf::Shape::Unknown());
  EXPECT_EQ(converted.report.engine_nodes, 2);
  EXPECT_THAT(converted.report.late_engines, SizeIs(2));
  EXPECT_THAT(converted.report.unconverted,
              Contains(Field(&partition::LeftOut::op, testing::Eq("RandomShuffle"))));
}

// A segment behind a node that gives some rank says why it waits; one behind a reshape is built.
TEST_F(ConvertGraphTest, OnlyWhatNeedsAnUnknownRankWaits) {
  NodeDef shape{.name = "shape", .op = "Const"};
  Tensor dims = Tensor::Allocate(DType::kInt32, {2}).value();
  dims.mutable_data<int32_t>()[0] = -1;
  dims.mutable_data<int32_t>()[1] = 4;
  shape.attrs = {{"dtype", DType::kInt32}, {"value", tf::TensorValue(std::move(dims))}};
  NodeDef reshape = Node("flat", "Reshape", {"x", "shape"});
  reshape.attrs["Tshape"] = DType::kInt32;
  options_.candidates.denied_ops = {"Reshape"};
  const ConvertedGraph converted =
      Convert({Input("x"), shape, reshape, Const("w", {4, 3}), Node("m", "MatMul", {"flat", "w"}),
               Node("y", "Relu", {"m"})},
              {"y"}, tf::Shape::Unknown());
  EXPECT_THAT(converted.report.engines, SizeIs(1));
  EXPECT_THAT(converted.report.late_engines, IsEmpty());
}

TEST_F(ConvertGraphTest, AWholeGraphBecomesOneEngine) {
  const ConvertedGraph converted = Convert(
      {Input("x"), Const("w", {4, 3}), Node("m", "MatMul", {"x", "w"}), Node("y", "Relu", {"m"})},
      {"y"});
  EXPECT_THAT(converted.graph.nodes, SizeIs(3));
  const NodeDef* engine = FindNode(converted.graph, "TRTEngineOp_000_000");
  ASSERT_THAT(engine, NotNull());
  EXPECT_THAT(engine->inputs, ElementsAre("x"));
  EXPECT_EQ(Get(engine->AttrList<tf::Shape>("input_shapes"))[0], (tf::Shape{.dims = {-1, 4}}));
  EXPECT_EQ(Get(engine->AttrList<tf::Shape>("output_shapes"))[0], (tf::Shape{.dims = {-1, 3}}));
  EXPECT_EQ(FindNode(converted.graph, "y")->op, "Identity");
  const Plan plan = PlanOf(converted.graph, "TRTEngineOp_000_000");
  EXPECT_THAT(plan.module.input_names, ElementsAre("TensorRTInputPH_0"));
  EXPECT_THAT(plan.module.output_names, ElementsAre("TensorRTOutputPH_0"));
  EXPECT_EQ(converted.report.total_ops, 2);
  EXPECT_EQ(converted.report.converted_ops, 2);
  EXPECT_THAT(converted.report.unconverted, IsEmpty());
}

TEST_F(ConvertGraphTest, ARefusedNodeInTheMiddleLeavesTwoEngines) {
  const ConvertedGraph converted = Convert({Input("x"), Node("a", "Neg", {"x"}), Refused("u", "a"),
                                            Node("b", "Relu", {"u"}), Node("y", "Exp", {"b"})},
                                           {"y"});
  EXPECT_EQ(CountOp(converted.graph, "TRTEngineOp"), 2);
  EXPECT_THAT(FindNode(converted.graph, "u"), NotNull());
  ASSERT_THAT(converted.report.unconverted, SizeIs(1));
  EXPECT_EQ(converted.report.unconverted[0].name, "u");
  EXPECT_THAT(converted.report.unconverted[0].reason, HasSubstr("must have rank 1"));
}

TEST_F(ConvertGraphTest, ANativePathBesideAnEngineMakesNoCycle) {
  // a → native → y and a → b → y: a, b and y in one engine would wait for themselves.
  options_.candidates.denied_nodes = {"native"};
  const ConvertedGraph converted =
      Convert({Input("x"), Node("a", "Neg", {"x"}), Node("native", "Abs", {"a"}),
               Node("b", "Relu", {"a"}), Node("y", "Mul", {"b", "native"})},
              {"y"});
  EXPECT_GE(CountOp(converted.graph, "TRTEngineOp"), 1);
  EXPECT_EQ(FindNode(converted.graph, "native")->op, "Abs");
}

TEST_F(ConvertGraphTest, ADeniedNodeStaysAndSaysWhy) {
  options_.candidates.denied_nodes = {"a"};
  options_.candidates.denied_ops = {"Exp"};
  const ConvertedGraph converted = Convert(
      {Input("x"), Node("a", "Neg", {"x"}), Node("b", "Exp", {"a"}), Node("y", "Relu", {"b"})},
      {"y"});
  EXPECT_EQ(FindNode(converted.graph, "a")->op, "Neg");
  EXPECT_EQ(FindNode(converted.graph, "b")->op, "Exp");
  EXPECT_THAT(
      converted.report.unconverted,
      ElementsAre(Field(&partition::LeftOut::reason, HasSubstr("excluded by segmenter option")),
                  Field(&partition::LeftOut::reason, HasSubstr("TF_TRT_OP_DENYLIST"))));
}

TEST_F(ConvertGraphTest, AFetchedInnerNodeKeepsItsName) {
  const ConvertedGraph converted =
      Convert({Input("x"), Node("a", "Neg", {"x"}), Node("y", "Relu", {"a"})}, {"y", "a"});
  EXPECT_EQ(CountOp(converted.graph, "TRTEngineOp"), 1);
  EXPECT_EQ(FindNode(converted.graph, "a")->op, "Identity");
  EXPECT_EQ(FindNode(converted.graph, "y")->op, "Identity");
}

TEST_F(ConvertGraphTest, SmallSegmentsStayNativeAndAreReported) {
  options_.cluster.minimum_segment_size = 3;
  const ConvertedGraph converted =
      Convert({Input("x"), Node("a", "Neg", {"x"}), Node("y", "Relu", {"a"})}, {"y"});
  EXPECT_EQ(CountOp(converted.graph, "TRTEngineOp"), 0);
  EXPECT_THAT(converted.graph.nodes, SizeIs(3));
  ASSERT_THAT(converted.report.unconverted, SizeIs(2));
  EXPECT_THAT(converted.report.unconverted[0].reason, HasSubstr("minimum_segment_size (3)"));
  EXPECT_THAT(converted.report.left_out, Contains(Field(&partition::LeftOut::name, "a")));
}

TEST_F(ConvertGraphTest, EntryPointsShareWhatBothNeed) {
  options_.entries = {{{"x"}, {"y"}}, {{"x", "label"}, {"loss"}}};
  GraphDef graph;
  graph.versions.producer = tf::kGraphDefVersion;
  graph.nodes = {Input("x"),
                 Input("label"),
                 Node("a", "Neg", {"x"}),
                 Node("b", "Exp", {"a"}),
                 Node("y", "Relu", {"b"}),
                 Node("c", "Mul", {"b", "label"}),
                 Node("loss", "Sqrt", {"c"})};
  tf::AddDefaultAttrs(&graph);
  const ConvertedGraph converted =
      Get(ConvertGraph(graph, {{"x", kF32, {.dims = {-1, 4}}}, {"label", kF32, {.dims = {-1, 4}}}},
                       {"y", "loss"}, options_));
  EXPECT_EQ(CountOp(converted.graph, "TRTEngineOp"), 3);
  const NodeDef* shared = FindNode(converted.graph, "TRTEngineOp_000_000");
  EXPECT_THAT(shared->inputs, ElementsAre("x"));
  EXPECT_EQ(converted.report.converted_ops, 5);
}

TEST_F(ConvertGraphTest, AFedNodeStaysOutside) {
  // Someone feeds the middle of the graph.
  GraphDef graph;
  graph.versions.producer = tf::kGraphDefVersion;
  graph.nodes = {Input("x"), Node("a", "Neg", {"x"}), Node("fed", "Exp", {"a"}),
                 Node("y", "Relu", {"fed"})};
  tf::AddDefaultAttrs(&graph);
  const tf::Shape shape = {.dims = {-1, 4}};
  const ConvertedGraph converted =
      Get(ConvertGraph(graph, {{"x", kF32, shape}, {"fed", kF32, shape}}, {"y"}, options_));
  EXPECT_EQ(FindNode(converted.graph, "fed")->op, "Exp");
}

TEST_F(ConvertGraphTest, WeightsThatConstantsDecideEnterNoEngineAsData) {
  const ConvertedGraph converted =
      Convert({Input("x"), Const("c", {4}), Node("w", "Neg", {"c"}), Node("a", "Mul", {"x", "w"}),
               Refused("u", "a"), Node("b", "Mul", {"u", "w"}), Node("y", "Exp", {"b"})},
              {"y"});
  EXPECT_EQ(CountOp(converted.graph, "TRTEngineOp"), 2);
  EXPECT_THAT(FindNode(converted.graph, "TRTEngineOp_000_001")->inputs, ElementsAre("u"));
  EXPECT_EQ(converted.report.converted_ops, 4);
}

TEST_F(ConvertGraphTest, TheReportListsWhatTheGraphHolds) {
  const ConvertedGraph converted =
      Convert({Input("x"), Node("a", "Neg", {"x"}), Node("b", "Exp", {"a"}), Refused("u", "b"),
               Node("y", "Identity", {"b"})},
              {"y", "b", "u"});
  std::multiset<std::string> listed, present;
  for (const partition::LeftOut& node : converted.report.left_out) listed.insert(node.op);
  for (const NodeDef& node : converted.graph.nodes) {
    if (node.op != "TRTEngineOp" && node.op != "Const") present.insert(node.op);
  }
  EXPECT_EQ(listed, present);
  EXPECT_THAT(listed, ElementsAre("Identity", "Identity", "Placeholder", "Unique"));
}

TEST_F(ConvertGraphTest, EnginesOfDifferentModelsHaveDifferentNames) {
  options_.graph_number = -1;
  auto name = [&](const std::string& model, const std::string& op) {
    options_.model_hash = model;
    const ConvertedGraph converted = Convert({Input("x"), Node("y", op, {"x"})}, {"y"});
    return converted.report.engines[0].name;
  };
  EXPECT_EQ(name("a", "Neg"), name("a", "Neg"));
  EXPECT_NE(name("a", "Neg"), name("b", "Neg"));
  EXPECT_TRUE(name("a", "Neg").starts_with("TRTEngineOp_"));
  EXPECT_TRUE(name("a", "Neg").ends_with("_000"));
}

TEST_F(ConvertGraphTest, IdentitiesAloneMakeNoEngine) {
  const ConvertedGraph converted =
      Convert({Input("x"), Node("a", "Identity", {"x"}), Node("y", "Identity", {"a"})}, {"y"});
  EXPECT_EQ(CountOp(converted.graph, "TRTEngineOp"), 0);
  EXPECT_THAT(converted.graph.nodes, SizeIs(3));
  EXPECT_EQ(converted.report.total_ops, 0);
}

// As an inlined call of two results, which the outputs are named by, leaves it.
TEST_F(ConvertGraphTest, WhatHandsSeveralResultsOnCountsNoMoreThanAnIdentity) {
  options_.cluster.minimum_segment_size = 3;
  NodeDef call = Node("call", "IdentityN", {"a", "b"});
  call.attrs["T"] = std::vector<DType>{DType::kFloat32, DType::kFloat32};
  const ConvertedGraph converted =
      Convert({Input("x"), Node("a", "Relu", {"x"}), Node("b", "Relu6", {"a"}), call},
              {"call:0", "call:1"});
  EXPECT_EQ(CountOp(converted.graph, "TRTEngineOp"), 0);
  EXPECT_EQ(converted.report.total_ops, 2);
  EXPECT_THAT(converted.report.unconverted, SizeIs(2));
}

TEST_F(ConvertGraphTest, ASegmentThatCannotBeBuiltIsNoEngine) {
  const ConvertedGraph converted =
      Convert({Input("x"), Const("c", {4}), Node("y", "Neg", {"c"})}, {"y"});
  EXPECT_EQ(CountOp(converted.graph, "TRTEngineOp"), 0);
  EXPECT_EQ(converted.report.candidate_segments, 1);
  EXPECT_EQ(converted.report.engine_nodes, 0);
  EXPECT_EQ(converted.report.converted_ops, 0);
  EXPECT_THAT(converted.report.warnings, ElementsAre(HasSubstr("Segment has no inputs")));
}

TEST_F(ConvertGraphTest, ControlEdgesAreKept) {
  options_.candidates.denied_nodes = {"before", "after"};
  const ConvertedGraph converted =
      Convert({Input("x"), Node("before", "Abs", {"x"}), Node("a", "Neg", {"x", "^before"}),
               Node("b", "Exp", {"a"}), Node("after", "Abs", {"x", "^b"})},
              {"b", "after"});
  EXPECT_THAT(FindNode(converted.graph, "TRTEngineOp_000_000")->inputs,
              ElementsAre("x", "^before"));
  EXPECT_THAT(FindNode(converted.graph, "after")->inputs, ElementsAre("x", "^TRTEngineOp_000_000"));
}

TEST_F(ConvertGraphTest, WeightsAreHeldByTheNativeSegmentUnlessEmbedded) {
  const std::vector<NodeDef> nodes = {Input("x"), Const("w", {4, 512}),
                                      Node("m", "MatMul", {"x", "w"}), Node("y", "Relu", {"m"})};
  const size_t by_name = Convert(nodes, {"y"}).report.engines[0].plan_bytes;
  options_.embed_weights = true;
  const size_t embedded = Convert(nodes, {"y"}).report.engines[0].plan_bytes;
  EXPECT_GE(embedded, by_name + 4 * 512 * sizeof(float));
}

TEST_F(ConvertGraphTest, EnginesBuiltAtTheirFirstRunHoldNoPlan) {
  options_.build_engines = false;
  options_.graph_number = 7;
  options_.attributes.static_engine = false;
  const ConvertedGraph converted = Convert({Input("x"), Node("y", "Neg", {"x"})}, {"y"});
  const NodeDef* engine = FindNode(converted.graph, "TRTEngineOp_007_000");
  ASSERT_THAT(engine, NotNull());
  EXPECT_EQ(converted.report.engine_nodes, 1);
  EXPECT_EQ(Get(engine->Attr<std::string>("serialized_segment")), "");
  EXPECT_FALSE(Get(engine->Attr<bool>("static_engine")));
}

TEST_F(ConvertGraphTest, ACustomOpStaysAndItsReadersWithIt) {
  const ConvertedGraph converted =
      Convert({Input("x"), Node("a", "Neg", {"x"}), Node("custom", "NobodysOp", {"a"}),
               Node("b", "Relu", {"custom:1"}), Node("y", "Exp", {"a"})},
              {"b", "y"});
  EXPECT_EQ(CountOp(converted.graph, "TRTEngineOp"), 1);
  EXPECT_EQ(FindNode(converted.graph, "b")->op, "Relu");
  EXPECT_THAT(FindNode(converted.graph, "custom")->inputs, ElementsAre("TRTEngineOp_000_000"));
}

TEST_F(ConvertGraphTest, AConvertedGraphConvertsAgain) {
  options_.candidates.denied_ops = {"Exp"};
  const ConvertedGraph once =
      Convert({Input("x"), Node("a", "Neg", {"x"}), Node("y", "Exp", {"x"})}, {"a", "y"});
  options_.candidates.denied_ops.clear();
  const ConvertedGraph twice = Convert(once.graph.nodes, {"a", "y"});
  EXPECT_THAT(FindNode(twice.graph, "a")->inputs, ElementsAre("TRTEngineOp_000_000"));
  EXPECT_THAT(FindNode(twice.graph, "y")->inputs, ElementsAre("TRTEngineOp_001_000"));
}

}  // namespace
}  // namespace graft::convert
