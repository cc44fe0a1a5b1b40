#include "partition/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <random>
#include <set>

namespace graft::partition {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<int> InOrder(size_t n) {
  std::vector<int> order(n);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

ClusterNode Yes(std::vector<int> inputs, std::vector<int> controls = {}) {
  return {.candidate = true, .inputs = std::move(inputs), .controls = std::move(controls)};
}
ClusterNode No(std::vector<int> inputs, std::vector<int> controls = {}) {
  return {.inputs = std::move(inputs), .controls = std::move(controls)};
}

std::vector<std::vector<int>> Segments(const std::vector<ClusterNode>& graph, int minimum = 1,
                                       int maximum = 0) {
  std::vector<std::vector<int>> nodes;
  for (Segment& s : Cluster(graph, InOrder(graph.size()), {minimum, maximum}).segments)
    nodes.push_back(std::move(s.nodes));
  return nodes;
}

TEST(Cluster, OneChainIsOneSegment) {
  EXPECT_THAT(Segments({No({}), Yes({0}), Yes({1}), Yes({2}), No({3})}),
              ElementsAre(ElementsAre(1, 2, 3)));
}

TEST(Cluster, APathThroughAnotherNodeIsNoSegment) {
  // 1 → 2(native) → 3 and 1 → 3: joining 1 and 3 would make a cycle through 2.
  EXPECT_THAT(Segments({No({}), Yes({0}), No({1}), Yes({1, 2})}),
              ElementsAre(ElementsAre(1), ElementsAre(3)));
}

TEST(Cluster, MergesAcrossLevelsWhereNoOtherPathJoins) {
  // 1 and 2 feed 5; 2's native consumer 3 feeds 4, which feeds 5: 1 may join 5's cluster although
  // its level is lower.
  const std::vector<ClusterNode> graph = {No({}),  Yes({0}), Yes({0}),
                                          No({2}), Yes({3}), Yes({1, 4})};
  EXPECT_THAT(Segments(graph), ElementsAre(ElementsAre(1, 4, 5), ElementsAre(2)));
}

TEST(Cluster, NodesOfDifferentGroupsStayApart) {
  // 1 is for both of two entry points, 2 and 3 for the one, 4 for the other.
  std::vector<ClusterNode> graph = {No({}), Yes({0}), Yes({1}), Yes({1, 2}), Yes({1})};
  const int groups[] = {0, 1, 2, 2, 3};
  for (size_t v = 0; v < graph.size(); ++v) graph[v].group = groups[v];
  EXPECT_THAT(Segments(graph), ElementsAre(ElementsAre(1), ElementsAre(2, 3), ElementsAre(4)));
}

TEST(Cluster, ConstantsCountForTheMinimum) {
  // As in TF-TRT: a node and the two constants that it reads, one of them twice, are three.
  const ClusterNode constant = {.copied = true};
  const std::vector<ClusterNode> graph = {No({}), constant, constant, Yes({0, 1, 2, 1})};
  EXPECT_THAT(Segments(graph, 3), ElementsAre(ElementsAre(3)));
  EXPECT_THAT(Segments(graph, 4), IsEmpty());
}

TEST(Cluster, NothingButWeightlessNodesIsNoSegment) {
  std::vector<ClusterNode> graph = {{.copied = true}, Yes({0}), Yes({1})};
  graph[1].weightless = graph[2].weightless = true;
  EXPECT_THAT(Segments(graph), IsEmpty());
}

TEST(Cluster, ControlEdgesOrderButDoNotJoin) {
  EXPECT_THAT(Segments({No({}), Yes({0}), Yes({0}, {1})}),
              ElementsAre(ElementsAre(1), ElementsAre(2)));
  // 1 → 3 by data, and 1 → 2(native, control) → 3.
  EXPECT_THAT(Segments({No({}), Yes({0}), No({}, {1}), Yes({1}, {2})}),
              ElementsAre(ElementsAre(1), ElementsAre(3)));
}

TEST(Cluster, CopiedConstantsAreNoMembersAndNoEdges) {
  std::vector<ClusterNode> graph = {No({}), Yes({0, 2}), {.copied = true}, Yes({0, 2})};
  EXPECT_THAT(Segments(graph), ElementsAre(ElementsAre(1), ElementsAre(3)));
}

TEST(Cluster, MinimumSizeDoesNotCountWeightlessNodes) {
  std::vector<ClusterNode> graph = {No({}), Yes({0}), Yes({1}), Yes({2})};
  graph[2].weightless = true;
  EXPECT_THAT(Segments(graph, 3), IsEmpty());
  EXPECT_THAT(Segments(graph, 2), ElementsAre(ElementsAre(1, 2, 3)));
}

TEST(Cluster, KeepsTheLargest) {
  const std::vector<ClusterNode> graph = {No({}),   Yes({0}), No({1}), Yes({2}),
                                          Yes({3}), No({4}),  Yes({5})};
  EXPECT_THAT(Segments(graph, 1, 1), ElementsAre(ElementsAre(3, 4)));
  EXPECT_THAT(Segments(graph, 1, 2), ElementsAre(ElementsAre(1), ElementsAre(3, 4)));
}

TEST(Cluster, EdgesThatCloseLoopsAreIgnored) {
  // 1 merges 0 and the loop's end 3.
  EXPECT_THAT(Segments({No({}), No({0, 3}), Yes({1}), No({2}), Yes({1})}),
              ElementsAre(ElementsAre(2), ElementsAre(4)));
}

std::vector<ClusterNode> RandomGraph(std::mt19937& random, int size, int reach, double candidates) {
  std::vector<ClusterNode> graph(size);
  for (int v = 0; v < size; ++v) {
    graph[v].candidate = v > 0 && std::uniform_real_distribution<>()(random) < candidates;
    for (int e = 0; e < 2 && v > 0; ++e) {
      const int p = std::uniform_int_distribution<>(std::max(0, v - reach), v - 1)(random);
      if (std::uniform_int_distribution<>(0, 9)(random) == 0)
        graph[v].controls.push_back(p);
      else
        graph[v].inputs.push_back(p);
    }
  }
  return graph;
}

TEST(Cluster, NeverMakesACycle) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 300; ++trial) {
    const int size = 2 + trial % 60;
    const std::vector<ClusterNode> graph = RandomGraph(random, size, 12, 0.2 + 0.2 * (trial % 4));
    std::vector<int> unit(size);
    std::iota(unit.begin(), unit.end(), 0);
    int next = size;
    for (const auto& nodes : Segments(graph)) {
      for (int v : nodes) {
        EXPECT_TRUE(graph[v].candidate);
        unit[v] = next;
      }
      ++next;
    }
    std::vector<std::set<int>> before(next);
    for (int v = 0; v < size; ++v) {
      for (int p : graph[v].inputs) before[unit[v]].insert(unit[p]);
      for (int p : graph[v].controls) before[unit[v]].insert(unit[p]);
    }
    // Kahn: all units can be taken away.
    std::set<int> left(unit.begin(), unit.end());
    for (bool progress = true; progress;) {
      progress = false;
      for (auto it = left.begin(); it != left.end();) {
        const bool ready = std::none_of(before[*it].begin(), before[*it].end(),
                                        [&](int p) { return p != *it && left.contains(p); });
        if (ready)
          it = left.erase(it), progress = true;
        else
          ++it;
      }
    }
    EXPECT_TRUE(left.empty()) << "trial " << trial;
  }
}

TEST(Cluster, TwentyThousandNodesTakeSeconds) {
  std::mt19937 random(2);
  const std::vector<ClusterNode> graph = RandomGraph(random, 20000, 40, 0.95);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(Segments(graph).empty());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace graft::partition
