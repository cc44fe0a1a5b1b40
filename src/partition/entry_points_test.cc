#include "partition/entry_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tf/test_util.h"

namespace graft::partition {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using tf::Get;
using tf::GraphDef;

GraphDef Graph() {
  GraphDef graph;
  graph.nodes = {{.name = "x", .op = "Placeholder"},
                 {.name = "shared", .op = "Neg", .inputs = {"x"}},
                 {.name = "a", .op = "Exp", .inputs = {"shared"}},
                 {.name = "label", .op = "Placeholder"},
                 {.name = "b", .op = "Mul", .inputs = {"shared", "label"}},
                 {.name = "saver", .op = "NoOp"}};
  return graph;
}

std::vector<int> Groups(const GraphDef& graph, const std::vector<EntryPoint>& entries,
                        const std::vector<std::pair<int, int>>& also = {}) {
  return Get(GroupByEntryPoint(Get(WiredGraph::Of(graph)), entries, also));
}

TEST(EntryPoints, NodesOfEqualReadersAreOneGroup) {
  // x and shared are for both; what neither needs is group 0.
  const std::vector<int> groups = Groups(Graph(), {{{"x"}, {"a"}}, {{"x", "label"}, {"b"}}});
  EXPECT_EQ(groups[0], groups[1]);
  EXPECT_EQ(groups[3], groups[4]);
  EXPECT_NE(groups[1], groups[2]);
  EXPECT_NE(groups[1], groups[4]);
  EXPECT_NE(groups[2], groups[4]);
  EXPECT_EQ(groups[5], 0);
}

TEST(EntryPoints, OneEntryPointIsOneGroup) {
  EXPECT_THAT(Groups(Graph(), {{{"x", "label"}, {"a", "b"}}}), ElementsAre(1, 1, 1, 1, 1, 0));
}

TEST(EntryPoints, WhatIsFedNeedsNothing) {
  EXPECT_THAT(Groups(Graph(), {{{"shared"}, {"a"}}}), ElementsAre(0, 1, 1, 0, 0, 0));
}

TEST(EntryPoints, FurtherEdgesCount) {
  EXPECT_THAT(Groups(Graph(), {{{"x"}, {"a"}}}, {{2, 5}}), ElementsAre(1, 1, 1, 0, 0, 1));
}

TEST(EntryPoints, ANodeThatIsMissingIsNamed) {
  const auto groups = GroupByEntryPoint(Get(WiredGraph::Of(Graph())), {{{}, {"nowhere"}}}, {});
  ASSERT_FALSE(groups.ok());
  EXPECT_THAT(groups.status().message(), HasSubstr("'nowhere'"));
}

}  // namespace
}  // namespace graft::partition
