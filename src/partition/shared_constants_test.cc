#include "partition/shared_constants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tf/test_util.h"

namespace graft::partition {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

tf::NodeDef Const(std::string name, Tensor value) {
  const DType dtype = value.dtype();
  return {.name = std::move(name),
          .op = "Const",
          .attrs = {{"dtype", dtype}, {"value", tf::TensorValue(std::move(value))}}};
}

Tensor Numbers(int64_t count, float first) {
  std::vector<float> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return Tensor::Of<float>({count}, numbers);
}

tf::FunctionDef Holder(std::string name, std::vector<tf::NodeDef> nodes) {
  tf::FunctionDef function;
  function.signature.name = std::move(name);
  function.nodes = std::move(nodes);
  return function;
}

constexpr int64_t kLarge = 20'000;

TEST(ShareConstantsTest, WhatSeveralHoldIsAFunctionThatTheyCall) {
  tf::GraphDef graph;
  graph.functions = {
      Holder("a", {Const("w", Numbers(kLarge, 0)), Const("own", Numbers(kLarge, 1))}),
      Holder("b", {Const("tied/w", Numbers(kLarge, 0)), Const("s", Numbers(9, 0))}),
      Holder("c", {Const("s", Numbers(9, 0))})};
  ShareConstants({"a", "b", "c"}, &graph);
  ASSERT_THAT(graph.functions, SizeIs(4));
  const tf::FunctionDef& shared = graph.functions[3];
  EXPECT_THAT(shared.nodes, ElementsAre(testing::Field(&tf::NodeDef::op, "Const")));
  for (const auto& [f, name] : {std::pair(0, "w"), std::pair(1, "tied/w")}) {
    const tf::NodeDef& call = graph.functions[f].nodes[0];
    EXPECT_EQ(call.name, name);
    EXPECT_EQ(call.op, "PartitionedCall");
    EXPECT_EQ(call.Attr<tf::FuncValue>("f")->name, shared.signature.name);
    EXPECT_THAT(*call.AttrList<DType>("Tout"), ElementsAre(DType::kFloat32));
  }
  EXPECT_EQ(graph.functions[0].nodes[1].op, "Const");  // one holder
  EXPECT_EQ(graph.functions[1].nodes[1].op, "Const");  // small
  EXPECT_EQ(graph.functions[2].nodes[0].op, "Const");
}

TEST(ShareConstantsTest, CanBeUndone) {
  tf::GraphDef graph;
  graph.functions = {
      Holder("a", {Const("w", Numbers(kLarge, 0)), Const("own", Numbers(kLarge, 1))}),
      Holder("b", {Const("tied/w", Numbers(kLarge, 0))}),
      Holder("graft_constant_of_a_user", {Const("x", Numbers(1, 0)), Const("y", Numbers(1, 0))})};
  const tf::GraphDef before = graph;
  ShareConstants({"a", "b"}, &graph);
  ASSERT_THAT(graph.functions, SizeIs(4));
  UnshareConstants(&graph);
  EXPECT_EQ(*tf::SerializeGraphDef(graph), *tf::SerializeGraphDef(before));
}

TEST(ShareConstantsTest, OthersAndTwiceInOneStayAsTheyAre) {
  tf::GraphDef graph;
  graph.functions = {
      Holder("a", {Const("w", Numbers(kLarge, 0)), Const("again", Numbers(kLarge, 0))}),
      Holder("users", {Const("w", Numbers(kLarge, 0))})};
  ShareConstants({"a"}, &graph);
  ASSERT_THAT(graph.functions, SizeIs(2));
  for (const tf::FunctionDef& function : graph.functions) {
    for (const tf::NodeDef& node : function.nodes) EXPECT_EQ(node.op, "Const");
  }
}

// The same bytes as another dtype or of another shape are another constant.
TEST(ShareConstantsTest, EqualMeansShapeAndDtypeToo) {
  tf::GraphDef graph;
  const Tensor flat = Numbers(kLarge, 0);
  const Tensor folded = flat.Reshaped({kLarge / 2, 2}), integers = flat.Retyped(DType::kInt32);
  graph.functions = {Holder("a", {Const("w", flat)}), Holder("b", {Const("w", folded)}),
                     Holder("c", {Const("w", integers)})};
  ShareConstants({"a", "b", "c"}, &graph);
  EXPECT_THAT(graph.functions, SizeIs(3));
}

}  // namespace
}  // namespace graft::partition
