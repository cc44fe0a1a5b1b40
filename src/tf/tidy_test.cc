#include "tf/tidy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tf/test_util.h"

namespace graft::tf {
namespace {

using testing::ElementsAre;

// A TF1 loop over x, of which `exit` is the result; `body` is in it.
std::vector<NodeDef> Loop(const std::string& body_op) {
  return {{.name = "x", .op = "Placeholder"},
          {.name = "enter", .op = "Enter", .inputs = {"x"}},
          {.name = "merge", .op = "Merge", .inputs = {"enter", "next"}},
          {.name = "less", .op = "Less", .inputs = {"merge", "merge"}},
          {.name = "cond", .op = "LoopCond", .inputs = {"less"}},
          {.name = "switch", .op = "Switch", .inputs = {"merge", "cond"}},
          {.name = "body", .op = body_op, .inputs = {"switch:1"}},
          {.name = "next", .op = "NextIteration", .inputs = {"body"}},
          {.name = "exit", .op = "Exit", .inputs = {"switch"}}};
}

std::vector<std::string> InputsAfterTidying(std::vector<NodeDef> nodes, const std::string& name) {
  GraphDef graph;
  graph.nodes = std::move(nodes);
  DropIdleControlEdges(&graph);
  return FindNode(graph, name)->inputs;
}

TEST(Tidy, NobodyWaitsForArithmetic) {
  EXPECT_THAT(InputsAfterTidying({{.name = "x", .op = "Placeholder"},
                                  {.name = "a", .op = "Neg", .inputs = {"x"}},
                                  {.name = "no", .op = "NoOp", .inputs = {"^a"}},
                                  {.name = "y", .op = "Neg", .inputs = {"x", "^no"}}},
                                 "y"),
              ElementsAre("x"));
}

TEST(Tidy, SideEffectsAreWaitedFor) {
  EXPECT_THAT(InputsAfterTidying({{.name = "x", .op = "Placeholder"},
                                  {.name = "p", .op = "PrintV2", .inputs = {"x"}},
                                  {.name = "no", .op = "NoOp", .inputs = {"^p", "^x"}},
                                  {.name = "y", .op = "Neg", .inputs = {"x", "^no"}}},
                                 "y"),
              ElementsAre("x", "^no"));
}

TEST(Tidy, NobodyWaitsForAWholeLoop) {
  std::vector<NodeDef> nodes = Loop("Neg");
  nodes.push_back({.name = "a", .op = "Neg", .inputs = {"exit"}});
  nodes.push_back({.name = "no", .op = "NoOp", .inputs = {"^a"}});
  nodes.push_back({.name = "y", .op = "Neg", .inputs = {"x", "^no"}});
  EXPECT_THAT(InputsAfterTidying(nodes, "y"), ElementsAre("x"));
}

TEST(Tidy, WhatALoopDoesIsWaitedFor) {
  std::vector<NodeDef> nodes = Loop("RandomShuffle");
  nodes.push_back({.name = "y", .op = "Neg", .inputs = {"x", "^exit"}});
  EXPECT_THAT(InputsAfterTidying(nodes, "y"), ElementsAre("x", "^exit"));
}

TEST(Tidy, EdgesInsideALoopStay) {
  // A constant in a body is made in each iteration.
  std::vector<NodeDef> nodes = Loop("Neg");
  nodes.push_back({.name = "c", .op = "Const", .inputs = {"^merge"}});
  EXPECT_THAT(InputsAfterTidying(nodes, "c"), ElementsAre("^merge"));
}

TEST(Tidy, EdgesOfABranchStay) {
  EXPECT_THAT(InputsAfterTidying({{.name = "x", .op = "Placeholder"},
                                  {.name = "s", .op = "Switch", .inputs = {"x", "x"}},
                                  {.name = "t", .op = "Identity", .inputs = {"s:1"}},
                                  {.name = "c", .op = "Const", .inputs = {"^t"}}},
                                 "c"),
              ElementsAre("^t"));
}

TEST(Tidy, ABranchWithoutSideEffectsIsStateless) {
  const LiftedNodes lifted = {
      {.name = "if", .bodies = {{.attr = "then_branch", .root = "if/then"}}, .captured = {}},
      {.name = "other", .bodies = {{.attr = "then_branch", .root = "other/then"}}, .captured = {}}};
  GraphDef graph;
  graph.nodes = {{.name = "if", .op = "If"},
                 {.name = "if/then/check", .op = "NoOp"},
                 {.name = "if/then", .op = "NoOp", .inputs = {"^if/then/check"}},
                 {.name = "other", .op = "If"},
                 {.name = "other/then/check", .op = "PrintV2"},
                 {.name = "other/then", .op = "NoOp", .inputs = {"^other/then/check"}}};
  MakeStateless(lifted, &graph);
  EXPECT_EQ(FindNode(graph, "if")->op, "StatelessIf");
  EXPECT_EQ(FindNode(graph, "other")->op, "If");
}

TEST(Tidy, ChecksGoUnlessTheyAreKept) {
  GraphDef graph;
  graph.nodes = {{.name = "x", .op = "Placeholder"},
                 {.name = "ok", .op = "Placeholder"},
                 {.name = "check", .op = "CheckNumerics", .inputs = {"x"}},
                 {.name = "assert", .op = "Assert", .inputs = {"ok", "x"}},
                 {.name = "print", .op = "Print", .inputs = {"check", "ok"}},
                 {.name = "y", .op = "Neg", .inputs = {"print", "^assert"}}};
  GraphDef kept = graph;
  EXPECT_THAT(Tidy({.keep_asserts = false}, {}, &graph).removed,
              ElementsAre(testing::Pair("Assert", 1), testing::Pair("CheckNumerics", 1),
                          testing::Pair("Print", 1)));
  EXPECT_EQ(CountOp(graph, "Assert") + CountOp(graph, "CheckNumerics"), 0);
  EXPECT_THAT(FindNode(graph, "y")->inputs, ElementsAre("print"));

  EXPECT_THAT(Tidy({.keep_asserts = true}, {}, &kept).removed,
              ElementsAre(testing::Pair("Print", 1)));
  EXPECT_EQ(CountOp(kept, "Assert") + CountOp(kept, "CheckNumerics"), 2);
  EXPECT_THAT(FindNode(kept, "y")->inputs, ElementsAre("print", "^assert"));
}

}  // namespace
}  // namespace graft::tf
