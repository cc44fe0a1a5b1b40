#include "partition/encapsulate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tf/test_util.h"

namespace graft::partition {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsNull;
using testing::NotNull;
using tf::FindNode;
using tf::Get;
using tf::GraphDef;
using tf::NodeDef;

constexpr DType kF32 = DType::kFloat32;

NodeDef Node(std::string name, std::string op, std::vector<std::string> inputs,
             std::string device = "") {
  return {.name = std::move(name),
          .op = std::move(op),
          .inputs = std::move(inputs),
          .device = std::move(device),
          .attrs = {{"T", kF32}}};
}

NodeDef Const(std::string name) {
  return {.name = std::move(name),
          .op = "Const",
          .attrs = {{"dtype", kF32}, {"value", tf::TensorValue(Tensor::Scalar<float>(2))}}};
}

NodeDef Input(std::string name) {
  return {.name = std::move(name), .op = "Placeholder", .attrs = {{"dtype", kF32}}};
}

NodeDef Split(std::string name, std::string axis, std::string value, int parts = 2) {
  NodeDef node = Node(std::move(name), "Split", {std::move(axis), std::move(value)});
  node.attrs["num_split"] = parts;
  return node;
}

// A graph whose segments are given by member names; everything is a float tensor of [batch,4].
struct Fixture {
  GraphDef graph;
  std::vector<std::vector<std::string>> segments;
  std::vector<std::string> fetches;
  std::set<std::string> copied = {};  // beside constants
  int64_t batch = -1;

  int Index(const std::string& name) const {
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      if (graph.nodes[i].name == name) return static_cast<int>(i);
    }
    ADD_FAILURE() << "no node " << name;
    return -1;
  }

  Result<std::vector<SegmentPorts>> TryPorts() const {
    std::vector<std::vector<int>> members;
    std::vector<std::string> engines;
    for (const std::vector<std::string>& names : segments) {
      engines.push_back(fmt::format("engine_{}", engines.size()));
      members.emplace_back();
      for (const std::string& name : names) members.back().push_back(Index(name));
    }
    std::vector<bool> is_copied;
    for (const NodeDef& node : graph.nodes)
      is_copied.push_back(node.op == "Const" || copied.contains(node.name));
    auto info = [this](int node, int output) -> Result<Port> {
      return Port{node, output, kF32, {.dims = {batch, 4}}};
    };
    GRAFT_ASSIGN_OR_RETURN(const WiredGraph wired, WiredGraph::Of(graph));
    return FindPorts(wired, members, is_copied, fetches, engines, info);
  }
  std::vector<SegmentPorts> Ports() const { return Get(TryPorts()); }

  Result<GraphDef> TryConvert(const EngineAttributes& attributes = {}) const {
    std::vector<EngineNode> engines;
    for (SegmentPorts& ports : Ports()) engines.push_back({std::move(ports), attributes});
    GRAFT_ASSIGN_OR_RETURN(const WiredGraph wired, WiredGraph::Of(graph));
    return Encapsulate(wired, engines, fetches);
  }
  GraphDef Convert(const EngineAttributes& attributes = {}) const {
    return Get(TryConvert(attributes));
  }
};

TEST(Encapsulate, AnEngineTakesThePlaceOfItsMembers) {
  const Fixture f{
      {{Input("x"), Node("a", "Relu", {"x"}), Node("b", "Neg", {"a"}), Node("y", "Unique", {"b"})}},
      {{"a", "b"}},
      {"y"}};
  const GraphDef converted = f.Convert();
  ASSERT_EQ(converted.nodes.size(), 3u);
  EXPECT_THAT(FindNode(converted, "engine_0")->inputs, ElementsAre("x"));
  EXPECT_THAT(FindNode(converted, "y")->inputs, ElementsAre("engine_0"));
  ASSERT_THAT(converted.FindFunction("engine_0_native_segment"), NotNull());
}

TEST(Encapsulate, TheNativeSegmentNamesEdgesByArgument) {
  const Fixture f{{{Input("x"), Const("axis"), Split("s", "axis", "x"), Node("a", "Neg", {"s:1"}),
                    Node("y", "Unique", {"a"})}},
                  {{"s", "a"}},
                  {"y"}};
  const GraphDef converted = f.Convert();
  const tf::FunctionDef* native = converted.FindFunction("engine_0_native_segment");
  ASSERT_THAT(native, NotNull());
  ASSERT_EQ(native->nodes.size(), 3u);
  EXPECT_THAT(native->nodes[1].inputs, ElementsAre("axis:output:0", "tensorrtinputph_0"));
  EXPECT_THAT(native->nodes[2].inputs, ElementsAre("s:output:1"));
  EXPECT_THAT(native->ret, ElementsAre(testing::Pair("tensorrtoutputph_0", "a:y:0")));
  EXPECT_EQ(native->signature.inputs[0].type, kF32);
}

TEST(Encapsulate, TheSegmentAloneReadsPlaceholders) {
  const Fixture f{
      {{Input("x"), Input("z"), Const("c"), Node("a", "Add", {"x", "c"}),
        Node("b", "Mul", {"a", "z"}), Node("d", "Sub", {"b", "x:0"}), Node("y", "Unique", {"d"})}},
      {{"a", "b", "d"}},
      {"y"}};
  const SegmentPorts ports = f.Ports()[0];
  const GraphDef segment = Get(SegmentGraph(Get(WiredGraph::Of(f.graph)), ports));
  EXPECT_THAT(FindNode(segment, "a")->inputs, ElementsAre("TensorRTInputPH_0", "c"));
  EXPECT_THAT(FindNode(segment, "b")->inputs, ElementsAre("a", "TensorRTInputPH_1"));
  // "x" and "x:0" are one tensor: one port.
  EXPECT_THAT(FindNode(segment, "d")->inputs, ElementsAre("b", "TensorRTInputPH_0"));
  EXPECT_EQ(tf::CountOp(segment, "Placeholder"), 2);
  EXPECT_THAT(OutputTensors(f.graph, ports), ElementsAre("d"));
}

TEST(Encapsulate, AFetchedMemberKeepsItsName) {
  const Fixture f{{{Input("x"), Node("inner", "Relu", {"x"}), Node("out", "Neg", {"inner"})}},
                  {{"inner", "out"}},
                  {"out", "inner:0"}};
  const GraphDef converted = f.Convert();
  EXPECT_EQ(FindNode(converted, "inner")->op, "Identity");
  EXPECT_THAT(FindNode(converted, "inner")->inputs, ElementsAre("engine_0"));
  EXPECT_EQ(FindNode(converted, "out")->op, "Identity");
  EXPECT_THAT(FindNode(converted, "out")->inputs, ElementsAre("engine_0:1"));
}

TEST(Encapsulate, AFetchedSecondOutputKeepsItsNumber) {
  const Fixture f{{{Input("x"), Const("axis"), Split("s", "axis", "x")}}, {{"s"}}, {"s:1"}};
  const GraphDef converted = f.Convert();
  EXPECT_EQ(FindNode(converted, "s")->op, "IdentityN");
  EXPECT_THAT(FindNode(converted, "s")->inputs, ElementsAre("engine_0", "engine_0:1"));
  EXPECT_EQ(Get(FindNode(converted, "s")->AttrList<DType>("T")), (std::vector{kF32, kF32}));
}

TEST(Encapsulate, OutputsThatOnlyOtherNodesReadNeedNoStandIn) {
  const Fixture f{
      {{Input("x"), Const("axis"), Split("s", "axis", "x", 3), Node("y", "Unique", {"s:2"})}},
      {{"s"}},
      {"s", "y"}};
  const GraphDef converted = f.Convert();
  EXPECT_THAT(FindNode(converted, "s")->inputs, ElementsAre("engine_0"));
  EXPECT_THAT(FindNode(converted, "y")->inputs, ElementsAre("engine_0:1"));
}

TEST(Encapsulate, AMemberFetchedAsAControlOutputIsRefused) {
  const Fixture f{{{Input("x"), Node("a", "Relu", {"x"})}}, {{"a"}}, {"^a"}};
  const Result<std::vector<SegmentPorts>> ports = f.TryPorts();
  ASSERT_FALSE(ports.ok());
  EXPECT_EQ(ports.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(ports.status().message(), HasSubstr("'^a'"));
}

TEST(Encapsulate, ConstantsAreCopiedAndStayWhereTheyAreRead) {
  const Fixture f{{{Input("x"), Const("shared"), Const("outside"), Const("own"), Const("fetched"),
                    Node("a", "Add", {"x", "shared"}), Node("n", "Unique", {"a"}),
                    Node("b", "Add", {"n", "shared"}), Node("c", "Add", {"b", "own"}),
                    Node("d", "Add", {"c", "outside"}), Node("e", "Mul", {"d", "fetched"}),
                    Node("y", "Unique", {"e", "outside"})}},
                  {{"a"}, {"b", "c", "d", "e"}},
                  {"y", "fetched"}};
  const GraphDef converted = f.Convert();
  for (const char* engine : {"engine_0_native_segment", "engine_1_native_segment"}) {
    const tf::FunctionDef* native = converted.FindFunction(engine);
    ASSERT_THAT(native, NotNull());
    EXPECT_EQ(native->nodes[0].name, "shared");
  }
  EXPECT_THAT(FindNode(converted, "shared"), IsNull());
  EXPECT_THAT(FindNode(converted, "own"), IsNull());
  EXPECT_THAT(FindNode(converted, "outside"), NotNull());
  EXPECT_THAT(FindNode(converted, "fetched"), NotNull());
  // No constant enters an engine as an input.
  EXPECT_THAT(FindNode(converted, "engine_1")->inputs, ElementsAre("n"));
}

TEST(Encapsulate, ControlEdgesAcrossTheBorderAreKept) {
  const Fixture f{
      {{Input("x"), Node("before", "Unique", {"x"}), Node("a", "Relu", {"x", "^before"}),
        Node("b", "Neg", {"a", "^before", "^a"}), Node("y", "Unique", {"b", "^a", "^b"})}},
      {{"a", "b"}},
      {"y"}};
  const GraphDef converted = f.Convert();
  EXPECT_THAT(FindNode(converted, "engine_0")->inputs, ElementsAre("x", "^before"));
  EXPECT_THAT(FindNode(converted, "y")->inputs, ElementsAre("engine_0", "^engine_0"));
  const tf::FunctionDef* native = converted.FindFunction("engine_0_native_segment");
  ASSERT_THAT(native, NotNull());
  EXPECT_THAT(native->nodes[0].inputs, ElementsAre("tensorrtinputph_0"));
  EXPECT_THAT(native->nodes[1].inputs, ElementsAre("a:activations:0", "^a"));
}

TEST(Encapsulate, AnEngineWaitsOnlyForWhatItsInputsDoNotWaitFor) {
  const Fixture f{
      {{Input("x"), Node("first", "Unique", {"x"}), Node("second", "Unique", {"x", "^first"}),
        Node("third", "Unique", {"second"}), Node("other", "Unique", {"x"}),
        Node("a", "Relu", {"third", "^first", "^second", "^third", "^other"}),
        Node("y", "Unique", {"a"})}},
      {{"a"}},
      {"y"}};
  EXPECT_THAT(FindNode(f.Convert(), "engine_0")->inputs, ElementsAre("third", "^other"));
}

TEST(Encapsulate, AMergeWaitsForOneOfItsInputsOnly) {
  const Fixture f{{{Input("x"), Node("first", "Unique", {"x"}), Node("second", "Unique", {"x"}),
                    Node("merge", "Merge", {"first", "second"}),
                    Node("a", "Relu", {"merge", "^first"}), Node("y", "Unique", {"a"})}},
                  {{"a"}},
                  {"y"}};
  EXPECT_THAT(FindNode(f.Convert(), "engine_0")->inputs, ElementsAre("merge", "^first"));
}

TEST(Encapsulate, ColocationWithAMemberIsDropped) {
  Fixture f{{{Input("x"), Node("a", "Relu", {"x"}), Node("y", "Unique", {"a"})}}, {{"a"}}, {"y"}};
  f.graph.nodes[2].attrs["_class"] = std::vector<std::string>{"loc:@a", "loc:@x"};
  EXPECT_EQ(Get(FindNode(f.Convert(), "y")->AttrList<std::string>("_class")),
            std::vector<std::string>{"loc:@x"});
}

TEST(Encapsulate, WhatConstantsDecideIsCopiedWithThem) {
  Fixture f{
      {{Input("x"), Const("c"), Node("w", "Neg", {"c"}), Const("d"), Node("v", "Neg", {"d"}),
        Node("a", "Add", {"x", "w"}), Node("n", "Unique", {"a"}), Node("b", "Add", {"n", "w"}),
        Node("e", "Add", {"b", "v"}), Node("y", "Unique", {"e", "v"})}},
      {{"a"}, {"b", "e"}},
      {"y"}};
  f.copied = {"w", "v"};
  const GraphDef converted = f.Convert();
  EXPECT_THAT(FindNode(converted, "w"), IsNull());
  EXPECT_THAT(FindNode(converted, "c"), IsNull());
  EXPECT_THAT(FindNode(converted, "v")->inputs, ElementsAre("d"));
  EXPECT_THAT(FindNode(converted, "engine_1")->inputs, ElementsAre("n"));
  const tf::FunctionDef* native = converted.FindFunction("engine_1_native_segment");
  ASSERT_THAT(native, NotNull());
  EXPECT_EQ(native->nodes[0].name, "c");
  EXPECT_THAT(native->nodes[1].inputs, ElementsAre("c:output:0"));
}

TEST(Encapsulate, EnginesFeedEachOther) {
  const Fixture f{{{Input("x"), Node("a", "Relu", {"x"}), Node("n", "Unique", {"a"}),
                    Node("b", "Add", {"n", "a", "^a"}), Node("y", "Unique", {"b"})}},
                  {{"a"}, {"b"}},
                  {"y"}};
  const GraphDef converted = f.Convert();
  EXPECT_THAT(FindNode(converted, "n")->inputs, ElementsAre("engine_0"));
  EXPECT_THAT(FindNode(converted, "engine_1")->inputs, ElementsAre("n", "engine_0"));
}

TEST(Encapsulate, TheEngineNodeSaysWhatItIs) {
  const Fixture f{
      {{Input("x"), Node("a", "Relu", {"x"}, "/CPU:0"), Node("y", "Unique", {"a"}, "/CPU:1")}},
      {{"a"}},
      {"y"}};
  const GraphDef converted = f.Convert(
      {.serialized_segment = "plan", .max_batch_size = 8, .allow_build_at_runtime = false});
  const NodeDef* engine = FindNode(converted, "engine_0");
  EXPECT_EQ(engine->op, "TRTEngineOp");
  EXPECT_EQ(engine->device, "/CPU:0");
  EXPECT_EQ(Get(engine->Attr<std::string>("serialized_segment")), "plan");
  EXPECT_EQ(Get(engine->Attr<std::string>("precision_mode")), "FP32");
  EXPECT_EQ(Get(engine->Attr<int64_t>("max_batch_size")), 8);
  EXPECT_TRUE(Get(engine->Attr<bool>("static_engine")));
  EXPECT_FALSE(Get(engine->Attr<bool>("_allow_build_at_runtime")));
  EXPECT_EQ(Get(engine->Attr<tf::FuncValue>("segment_func")).name, "engine_0_native_segment");
  EXPECT_EQ(Get(engine->AttrList<DType>("InT")), std::vector{kF32});
  EXPECT_EQ(Get(engine->AttrList<DType>("OutT")), std::vector{kF32});
  EXPECT_EQ(Get(engine->AttrList<tf::Shape>("input_shapes")),
            (std::vector<tf::Shape>{{.dims = {-1, 4}}}));
}

TEST(Encapsulate, TheBatchSizeIsTheNodesElseTheInputsElseTheConverters) {
  Fixture f{{{Input("x"), Node("a", "Relu", {"x"}), Node("y", "Unique", {"a"})}}, {{"a"}}, {"y"}};
  const auto size = [&](bool implicit_batch) {
    const GraphDef converted =
        f.Convert({.max_batch_size = 8, .use_implicit_batch = implicit_batch});
    return Get(FindNode(converted, "engine_0")->Attr<int64_t>("max_batch_size"));
  };
  EXPECT_EQ(size(true), 8);
  f.batch = 5;
  EXPECT_EQ(size(true), 5);
  EXPECT_EQ(size(false), 8);
  f.graph.nodes[1].attrs["_tftrt_op_max_batch_size"] = 3;
  EXPECT_EQ(size(true), 3);
}

TEST(Encapsulate, MembersOnDifferentDevicesLeaveTheEngineFree) {
  const Fixture f{{{Input("x"), Node("a", "Relu", {"x"}, "/CPU:0"),
                    Node("b", "Neg", {"a"}, "/CPU:1"), Node("y", "Unique", {"b"})}},
                  {{"a", "b"}},
                  {"y"}};
  EXPECT_EQ(FindNode(f.Convert(), "engine_0")->device, "");
}

TEST(Encapsulate, NoSegmentLeavesTheGraphAlone) {
  const Fixture f{{{Input("x"), Const("c"), Node("y", "Add", {"x", "c"})}}, {}, {"y"}};
  EXPECT_EQ(f.Convert().nodes.size(), 3u);
  EXPECT_THAT(f.Convert().functions, IsEmpty());
}

TEST(Encapsulate, AFetchThatDoesNotExistIsNamed) {
  const Fixture f{{{Input("x"), Node("a", "Relu", {"x"})}}, {{"a"}}, {"nowhere"}};
  const Result<std::vector<SegmentPorts>> ports = f.TryPorts();
  ASSERT_FALSE(ports.ok());
  EXPECT_THAT(ports.status().message(), HasSubstr("'nowhere'"));
}

}  // namespace
}  // namespace graft::partition
