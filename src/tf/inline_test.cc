#include "tf/inline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tf/opdefs.h"
#include "tf/test_util.h"

namespace graft::tf {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr DType kF32 = DType::kFloat32;

// name(x: float) -> y: float, whose body is given.
FunctionDef Function(std::string name, std::vector<NodeDef> nodes, std::string ret) {
  FunctionDef function;
  function.signature.name = std::move(name);
  function.signature.inputs = {{.name = "x", .type = kF32}};
  function.signature.outputs = {{.name = "y", .type = kF32}};
  function.nodes = std::move(nodes);
  function.ret = {{"y", std::move(ret)}};
  return function;
}

NodeDef CallNode(std::string name, std::string function, std::vector<std::string> inputs) {
  return {.name = std::move(name),
          .op = "PartitionedCall",
          .inputs = std::move(inputs),
          .attrs = {{"f", FuncValue{std::move(function), {}}},
                    {"Tin", std::vector<DType>{kF32}},
                    {"Tout", std::vector<DType>{kF32}}}};
}

NodeDef Unary(std::string name, std::string op, std::string input) {
  return {.name = std::move(name),
          .op = std::move(op),
          .inputs = {std::move(input)},
          .attrs = {{"T", kF32}}};
}

GraphDef Graph(std::vector<NodeDef> nodes, std::vector<FunctionDef> functions) {
  GraphDef graph;
  graph.nodes = std::move(nodes);
  graph.functions = std::move(functions);
  AddDefaultAttrs(&graph);
  return graph;
}

const NodeDef kInput = {.name = "in", .op = "Placeholder", .attrs = {{"dtype", kF32}}};

TEST(Inline, NestedCallsBecomeNodes) {
  GraphDef graph = Graph(
      {kInput, CallNode("call", "outer", {"in"}), Unary("out", "Neg", "call:0")},
      {Function("outer",
                {Unary("before", "Relu", "x"), CallNode("deep", "inner", {"before:activations:0"})},
                "deep:output:0"),
       Function("inner", {Unary("abs", "Abs", "x")}, "abs:y:0")});
  EXPECT_THAT(Get(InlineCalls(&graph)), IsEmpty());
  EXPECT_THAT(FindNode(graph, "call/before")->inputs, ElementsAre("in"));
  EXPECT_THAT(FindNode(graph, "call/deep/abs")->inputs, ElementsAre("call/before"));
  EXPECT_THAT(FindNode(graph, "out")->inputs, ElementsAre("call/deep/abs"));
  // The call's name can still be fetched.
  EXPECT_EQ(FindNode(graph, "call")->op, "Identity");
  EXPECT_THAT(FindNode(graph, "call")->inputs, ElementsAre("call/deep/abs"));
}

TEST(Inline, OutputsAreFoundByArgumentName) {
  const NodeDef top = {
      .name = "top", .op = "TopKV2", .inputs = {"x", "k:output:0"}, .attrs = {{"T", kF32}}};
  const NodeDef k = {
      .name = "k",
      .op = "Const",
      .attrs = {{"dtype", DType::kInt32}, {"value", TensorValue(Tensor::Scalar<int32_t>(2))}}};
  const NodeDef cast = {.name = "cast",
                        .op = "Cast",
                        .inputs = {"top:indices:0"},
                        .attrs = {{"SrcT", DType::kInt32}, {"DstT", kF32}}};
  GraphDef graph =
      Graph({kInput, CallNode("c", "f", {"in"})}, {Function("f", {top, k, cast}, "cast:y:0")});
  EXPECT_THAT(Get(InlineCalls(&graph)), IsEmpty());
  EXPECT_THAT(FindNode(graph, "c/cast")->inputs, ElementsAre("c/top:1"));
}

TEST(Inline, ControlEdgesKeepTheOrder) {
  const NodeDef print = {.name = "print", .op = "PrintV2", .inputs = {"text:output:0"}};
  const NodeDef text = {.name = "text",
                        .op = "Const",
                        .attrs = {{"dtype", DType::kString}, {"value", TensorValue::String("t")}}};
  FunctionDef f = Function("f", {text, print, Unary("neg", "Neg", "x")}, "neg:y:0");
  f.signature.control_outputs = {"done"};
  f.control_ret = {{"done", "print"}};
  GraphDef graph = Graph({kInput,
                          {.name = "first", .op = "NoOp"},
                          CallNode("c", "f", {"in", "^first"}),
                          {.name = "last", .op = "NoOp", .inputs = {"^c"}}},
                         {f});
  EXPECT_THAT(Get(InlineCalls(&graph)), IsEmpty());
  EXPECT_THAT(FindNode(graph, "c/print")->inputs, ElementsAre("c/text", "^first"));
  EXPECT_THAT(FindNode(graph, "c/neg")->inputs, ElementsAre("in"));
  EXPECT_THAT(FindNode(graph, "c")->inputs, ElementsAre("c/neg", "^c/print"));
  EXPECT_THAT(FindNode(graph, "last")->inputs, ElementsAre("^c"));
}

TEST(Inline, LoopsOfTensorFlow1KeepTheirFrames) {
  // Who calls waits for the Exit, and for what the call waits only the Enter can wait.
  NodeDef merge = Unary("merge", "Merge", "enter:output:0");
  merge.inputs.push_back("next");
  FunctionDef function =
      Function("f",
               {Unary("enter", "Enter", "x"),
                merge,
                {.name = "pivot", .op = "Const", .inputs = {"^merge"}, .attrs = {{"dtype", kF32}}},
                {.name = "effect", .op = "PrintV2", .inputs = {"pivot:output:0"}},
                Unary("next", "NextIteration", "merge:output:0"),
                Unary("exit", "Exit", "merge:output:0")},
               "exit:output:0");
  function.signature.control_outputs = {"effect"};
  function.control_ret = {{"effect", "effect"}};
  GraphDef graph = Graph({{.name = "x", .op = "Placeholder", .attrs = {{"dtype", kF32}}},
                          {.name = "before", .op = "NoOp"},
                          CallNode("call", "f", {"x", "^before"})},
                         {function});
  ASSERT_TRUE(InlineCalls(&graph).ok());
  EXPECT_THAT(FindNode(graph, "call")->inputs, ElementsAre("call/exit", "^call/exit"));
  EXPECT_THAT(FindNode(graph, "call/enter")->inputs, ElementsAre("x", "^before"));
  EXPECT_THAT(FindNode(graph, "call/pivot")->inputs, ElementsAre("^call/merge"));
  EXPECT_THAT(FindNode(graph, "call/effect")->inputs, ElementsAre("call/pivot"));
}

TEST(Inline, PlaceholderAttributesTakeTheCallsValues) {
  FunctionDef f = Function(
      "f", {{.name = "n", .op = "Neg", .inputs = {"x"}, .attrs = {{"T", PlaceholderValue{"T"}}}}},
      "n:y:0");
  f.signature.inputs[0] = {.name = "x", .type_attr = "T"};
  f.signature.outputs[0] = {.name = "y", .type_attr = "T"};
  f.signature.attrs = {{.name = "T", .type = "type"}};
  const NodeDef call = {.name = "c", .op = "f", .inputs = {"in"}, .attrs = {{"T", kF32}}};
  GraphDef graph = Graph({kInput, call}, {f});
  EXPECT_THAT(Get(InlineCalls(&graph)), IsEmpty());
  EXPECT_EQ(*FindNode(graph, "c/n")->Attr<DType>("T"), kF32);

  GraphDef missing = Graph({kInput, {.name = "c", .op = "f", .inputs = {"in"}}}, {f});
  EXPECT_THAT(InlineCalls(&missing).status().message(), HasSubstr("nothing gives attribute 'T'"));
}

TEST(Inline, CustomOpsKeepTheirCall) {
  GraphDef graph = Graph({kInput, CallNode("c", "f", {"in"})},
                         {Function("f", {Unary("own", "MyCompanysOp", "x")}, "own:y:0")});
  const std::vector<KeptCall> kept = Get(InlineCalls(&graph));
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].node, "c");
  EXPECT_THAT(kept[0].reason, HasSubstr("MyCompanysOp"));
  EXPECT_EQ(FindNode(graph, "c")->op, "PartitionedCall");
}

TEST(Inline, EndlessRecursionStaysACall) {
  GraphDef graph = Graph({kInput, CallNode("c", "f", {"in"})},
                         {Function("f", {CallNode("again", "f", {"x"})}, "again:output:0")});
  const std::vector<KeptCall> kept = Get(InlineCalls(&graph));
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_THAT(kept[0].reason, HasSubstr("nest deeper"));
}

TEST(Inline, ExponentialUnfoldingIsRefused) {
  std::vector<FunctionDef> functions;
  for (int i = 0; i < 40; ++i) {
    const std::string next = fmt::format("f{}", i + 1);
    functions.push_back(Function(fmt::format("f{}", i),
                                 {CallNode("a", next, {"x"}), CallNode("b", next, {"a:output:0"})},
                                 "b:output:0"));
  }
  functions.push_back(Function("f40", {Unary("n", "Neg", "x")}, "n:y:0"));
  GraphDef graph = Graph({kInput, CallNode("c", "f0", {"in"})}, functions);
  EXPECT_EQ(InlineCalls(&graph).status().code(), StatusCode::kUnsupported);
}

TEST(Inline, BrokenCallsAreAStatus) {
  const FunctionDef f = Function("f", {Unary("n", "Neg", "x")}, "n:y:0");
  auto code = [](GraphDef graph) { return InlineCalls(&graph).status().code(); };
  EXPECT_EQ(code(Graph({kInput, CallNode("c", "g", {"in"})}, {f})), StatusCode::kDataLoss);
  EXPECT_EQ(code(Graph({kInput, CallNode("c", "f", {})}, {f})), StatusCode::kDataLoss);
  EXPECT_EQ(code(Graph({kInput, CallNode("c", "f", {"in"}), {.name = "c/n", .op = "NoOp"}}, {f})),
            StatusCode::kDataLoss);
  for (const char* edge : {"nowhere:y:0", "n:z:0", "n:y:1", "n:y:x"}) {
    EXPECT_EQ(code(Graph({kInput, CallNode("c", "f", {"in"})},
                         {Function("f", {Unary("n", "Neg", "x")}, edge)})),
              StatusCode::kDataLoss)
        << edge;
  }
}

}  // namespace
}  // namespace graft::tf
