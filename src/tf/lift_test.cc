#include "tf/lift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tf/opdefs.h"
#include "tf/test_util.h"

namespace graft::tf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr DType kF32 = DType::kFloat32;
constexpr DType kI32 = DType::kInt32;

NodeDef Node(std::string name, std::string op, std::vector<std::string> inputs, AttrMap attrs) {
  NodeDef node{.name = std::move(name), .op = std::move(op), .inputs = std::move(inputs)};
  node.attrs = std::move(attrs);
  return node;
}
NodeDef Float(std::string name, float value) {
  return Node(std::move(name), "Const", {},
              {{"dtype", kF32}, {"value", TensorValue(Tensor::Scalar(value))}});
}

FunctionDef Function(std::string name, std::vector<ArgDef> inputs, std::vector<ArgDef> outputs,
                     std::vector<NodeDef> nodes, std::vector<std::string> rets) {
  FunctionDef function;
  function.signature.name = std::move(name);
  function.signature.inputs = std::move(inputs);
  function.signature.outputs = std::move(outputs);
  function.nodes = std::move(nodes);
  for (size_t i = 0; i < rets.size(); ++i)
    function.ret[function.signature.outputs[i].name] = rets[i];
  return function;
}

// i < 3: (i + 1, x * w, w, h), where h is a variable's handle that the body adds.
GraphDef Loop() {
  const std::vector<ArgDef> args = {{.name = "i", .type = kI32},
                                    {.name = "x", .type = kF32},
                                    {.name = "w", .type = kF32},
                                    {.name = "h", .type = DType::kResource}};
  GraphDef graph;
  graph.nodes = {
      Node("x", "Placeholder", {}, {{"dtype", kF32}}),
      Node("zero", "Const", {}, {{"dtype", kI32}, {"value", TensorValue(Tensor::Scalar(0))}}),
      Float("weight", 2),
      Node("variable", "VarHandleOp", {}, {{"dtype", kF32}, {"shape", Shape{}}}),
      Node("loop", "While", {"zero", "x", "weight", "variable"},
           {{"T", std::vector<DType>{kI32, kF32, kF32, DType::kResource}},
            {"cond", FuncValue{"cond", {}}},
            {"body", FuncValue{"body", {}}},
            {"output_shapes", std::vector<Shape>{{}, {.dims = {-1, 5}}, {}, {}}}}),
      Node("y", "Neg", {"loop:1"}, {{"T", kF32}}),
      Node("again", "Neg", {"loop:2"}, {{"T", kF32}})};
  graph.functions = {
      Function(
          "cond", args, {{.name = "go", .type = DType::kBool}},
          {Node("three", "Const", {}, {{"dtype", kI32}, {"value", TensorValue(Tensor::Scalar(3))}}),
           Node("less", "Less", {"i", "three:output:0"}, {{"T", kI32}})},
          {"less:z:0"}),
      Function(
          "body", args,
          {{.name = "i_out", .type = kI32},
           {.name = "x_out", .type = kF32},
           {.name = "w_out", .type = kF32},
           {.name = "h_out", .type = DType::kResource}},
          {Node("one", "Const", {}, {{"dtype", kI32}, {"value", TensorValue(Tensor::Scalar(1))}}),
           Node("next", "AddV2", {"i", "one:output:0"}, {{"T", kI32}}),
           Node("read", "ReadVariableOp", {"h"}, {{"dtype", kF32}}),
           Node("mul", "Mul", {"x", "w"}, {{"T", kF32}}),
           Node("sum", "AddV2", {"mul:z:0", "read:value:0"}, {{"T", kF32}}),
           Node("same", "Identity", {"w"}, {{"T", kF32}})},
          {"next:z:0", "sum:z:0", "same:output:0", "h"})};
  AddDefaultAttrs(&graph);
  return graph;
}

// The function that an attribute of a node names.
const FunctionDef& FunctionOf(const GraphDef& graph, const NodeDef& node, std::string_view attr) {
  return *graph.FindFunction(node.Attr<FuncValue>(attr)->name);
}

TEST(Lift, ALoopsBodyReadsWhatItCapturesFromTheGraph) {
  GraphDef graph = Loop();
  const LiftedNodes lifted = LiftBodies({"y", "x"}, &graph);
  ASSERT_THAT(lifted, SizeIs(1));
  EXPECT_THAT(Roots(lifted), ElementsAre("loop/cond", "loop/body"));
  EXPECT_THAT(lifted[0].captured, ElementsAre("", "", "weight", "variable"));
  EXPECT_THAT(FindNode(graph, "loop/body/mul")->inputs, ElementsAre("loop/body/x", "weight"));
  EXPECT_THAT(FindNode(graph, "loop/body/read")->inputs, ElementsAre("variable"));
  EXPECT_EQ(FindNode(graph, "loop/body/x")->op, "Placeholder");
  EXPECT_THAT(FindNode(graph, "loop/body/x")->Attr<Shape>("shape")->dims, ElementsAre(-1, 5));
  // What is captured is no argument and no result of the loop any more.
  EXPECT_THAT(FindNode(graph, "loop")->inputs, ElementsAre("zero", "x"));
  EXPECT_THAT(FindNode(graph, "again")->inputs, ElementsAre("weight"));
  // The read is a side effect to a function that does not say which of its nodes are.
  EXPECT_THAT(FindNode(graph, "loop/body")->inputs,
              ElementsAre("loop/body/next", "loop/body/sum", "^loop/body/read"));
}

TEST(Lift, LoweringMakesFunctionsOfWhatTheBodiesBecame) {
  GraphDef graph = Loop();
  const LiftedNodes lifted = LiftBodies({"y", "x"}, &graph);
  for (NodeDef& node : graph.nodes) {
    if (node.name == "loop/body/mul") node.op = "Maximum";
  }
  ASSERT_TRUE(LowerBodies(lifted, &graph).ok());
  for (const NodeDef& node : graph.nodes) EXPECT_FALSE(node.name.starts_with("loop/")) << node.name;
  ASSERT_THAT(graph.functions, SizeIs(2));
  const FunctionDef& body = FunctionOf(graph, *FindNode(graph, "loop"), "body");
  // Another function under the old name would be refused by a process that knows the old one.
  EXPECT_THAT(body.signature.name, StartsWith("body_graft_"));
  // The constant moved in; the variable's handle, which stays a variable, is an argument.
  EXPECT_THAT(FindNode(graph, "loop")->inputs, ElementsAre("zero", "x", "variable"));
  EXPECT_THAT(*FindNode(graph, "loop")->AttrList<DType>("T"),
              ElementsAre(kI32, kF32, DType::kResource));
  EXPECT_THAT(*FindNode(graph, "loop")->AttrList<Shape>("output_shapes"), SizeIs(3));
  ASSERT_THAT(body.signature.inputs, SizeIs(3));
  ASSERT_THAT(body.signature.outputs, SizeIs(3));
  EXPECT_EQ(body.ret.at("x_out"), "sum:z:0");
  EXPECT_EQ(body.ret.at(body.signature.outputs[2].name), body.signature.inputs[2].name);
  GraphDef inside;
  inside.nodes = body.nodes;
  EXPECT_EQ(FindNode(inside, "mul")->op, "Maximum");
  EXPECT_THAT(FindNode(inside, "mul")->inputs, ElementsAre("x", "weight:output:0"));
  EXPECT_TRUE(HasConst(inside, Tensor::Scalar(2.0f)));
  EXPECT_THAT(FunctionOf(graph, *FindNode(graph, "loop"), "cond").signature.inputs, SizeIs(3));
  // It is as good as the first: it can be lifted again.
  EXPECT_THAT(LiftBodies({"y", "x"}, &graph), SizeIs(1));
}

TEST(Lift, AFetchedLoopKeepsItsOutputs) {
  GraphDef graph = Loop();
  const LiftedNodes lifted = LiftBodies({"loop"}, &graph);
  EXPECT_THAT(lifted[0].captured, ElementsAre("", "", "", ""));
  EXPECT_THAT(FindNode(graph, "loop")->inputs, SizeIs(4));
}

const std::vector<ArgDef> kX = {{.name = "x", .type = kF32}};
const std::vector<ArgDef> kY = {{.name = "y", .type = kF32}};

NodeDef If(std::string name, std::string input, std::string then_branch, std::string else_branch) {
  return Node(std::move(name), "If", {"go", std::move(input)},
              {{"Tcond", DType::kBool},
               {"Tin", std::vector<DType>{kF32}},
               {"Tout", std::vector<DType>{kF32}},
               {"then_branch", FuncValue{std::move(then_branch), {}}},
               {"else_branch", FuncValue{std::move(else_branch), {}}}});
}
FunctionDef Unary(std::string name, std::string op) {
  return Function(std::move(name), kX, kY, {Node("n", std::move(op), {"x"}, {{"T", kF32}})},
                  {"n:y:0"});
}
GraphDef Branches(std::vector<NodeDef> nodes, std::vector<FunctionDef> functions) {
  GraphDef graph;
  graph.nodes = {Node("go", "Placeholder", {}, {{"dtype", DType::kBool}}),
                 Node("in", "Placeholder", {}, {{"dtype", kF32}})};
  graph.nodes.insert(graph.nodes.end(), nodes.begin(), nodes.end());
  graph.functions = std::move(functions);
  AddDefaultAttrs(&graph);
  return graph;
}

TEST(Lift, AFunctionThatOthersUseStays) {
  GraphDef graph = Branches({If("a", "in", "neg", "abs"), If("b", "a", "neg", "abs")},
                            {Unary("neg", "Neg"), Unary("abs", "Abs")});
  const LiftedNodes lifted = LiftBodies({"b"}, &graph);
  ASSERT_THAT(lifted, SizeIs(2));
  for (NodeDef& node : graph.nodes) {
    if (node.name == "a/then_branch/n") node.op = "Square";
  }
  ASSERT_TRUE(LowerBodies(lifted, &graph).ok());
  auto branch = [&](std::string_view node, std::string_view attr) {
    return FunctionOf(graph, *FindNode(graph, node), attr).nodes[0].op;
  };
  EXPECT_EQ(branch("a", "then_branch"), "Square");
  EXPECT_EQ(branch("b", "then_branch"), "Neg");
  EXPECT_EQ(branch("a", "else_branch"), "Abs");
}

TEST(Lift, BodiesInBodiesAreLiftedAndLowered) {
  FunctionDef outer =
      Function("outer", kX, kY,
               {Node("yes", "Const", {},
                     {{"dtype", DType::kBool}, {"value", TensorValue(Tensor::Scalar(true))}}),
                Node("inner", "If", {"yes:output:0", "x"}, If("", "", "neg", "abs").attrs)},
               {"inner:output:0"});
  GraphDef graph =
      Branches({If("a", "in", "outer", "square")},
               {outer, Unary("neg", "Neg"), Unary("abs", "Abs"), Unary("square", "Square")});
  const LiftedNodes lifted = LiftBodies({"a"}, &graph);
  ASSERT_THAT(lifted, SizeIs(2));
  EXPECT_EQ(FindNode(graph, "a/then_branch/inner/then_branch/n")->op, "Neg");
  ASSERT_TRUE(LowerBodies(lifted, &graph).ok());
  EXPECT_THAT(graph.nodes, SizeIs(3));
  EXPECT_THAT(graph.functions, SizeIs(4));
  const FunctionDef& inside = FunctionOf(graph, *FindNode(graph, "a"), "then_branch");
  EXPECT_EQ(FunctionOf(graph, inside.nodes[1], "then_branch").nodes[0].op, "Neg");
}

TEST(Lift, ControlEdgesKeepTheOrderOfSideEffects) {
  FunctionDef print = Unary("print", "Neg");
  print.nodes.push_back(
      Node("text", "Const", {}, {{"dtype", DType::kString}, {"value", TensorValue::String("t")}}));
  print.nodes.push_back(Node("say", "PrintV2", {"text:output:0", "^n"}, {}));
  print.signature.control_outputs = {"said"};
  print.control_ret = {{"said", "say"}};
  print.signature.is_stateful = true;
  GraphDef graph = Branches({If("a", "in", "print", "neg")}, {print, Unary("neg", "Neg")});
  const LiftedNodes lifted = LiftBodies({"a"}, &graph);
  EXPECT_THAT(FindNode(graph, "a/then_branch")->inputs,
              ElementsAre("a/then_branch/n", "^a/then_branch/say"));
  ASSERT_TRUE(LowerBodies(lifted, &graph).ok());
  const FunctionDef& lowered = FunctionOf(graph, *FindNode(graph, "a"), "then_branch");
  ASSERT_THAT(lowered.control_ret, SizeIs(1));
  EXPECT_EQ(lowered.control_ret.begin()->second, "say");
  EXPECT_TRUE(lowered.signature.is_stateful);
  EXPECT_THAT(lowered.nodes.back().inputs, ElementsAre("text:output:0", "^n"));
}

TEST(Lift, WhatIsNotTensorFlowsStaysAsItIs) {
  const GraphDef custom =
      Branches({If("a", "in", "own", "neg")}, {Unary("own", "MyCompanysOp"), Unary("neg", "Neg")});
  GraphDef graph = custom;
  EXPECT_THAT(LiftBodies({"a"}, &graph), IsEmpty());
  EXPECT_EQ(*SerializeGraphDef(graph), *SerializeGraphDef(custom));

  const GraphDef missing = Branches({If("a", "in", "gone", "neg")}, {Unary("neg", "Neg")});
  graph = missing;
  EXPECT_THAT(LiftBodies({"a"}, &graph), IsEmpty());
  EXPECT_EQ(*SerializeGraphDef(graph), *SerializeGraphDef(missing));
}

TEST(Lift, EndlessRecursionEnds) {
  FunctionDef again =
      Function("again", kX, kY,
               {Node("yes", "Const", {},
                     {{"dtype", DType::kBool}, {"value", TensorValue(Tensor::Scalar(true))}}),
                Node("inner", "If", {"yes:output:0", "x"}, If("", "", "again", "again").attrs)},
               {"inner:output:0"});
  GraphDef graph = Branches({If("a", "in", "again", "again")}, {again});
  const LiftedNodes lifted = LiftBodies({"a"}, &graph);
  EXPECT_TRUE(LowerBodies(lifted, &graph).ok());
  EXPECT_EQ(FindNode(graph, "a")->op, "If");
}

}  // namespace
}  // namespace graft::tf
