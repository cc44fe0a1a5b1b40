#include "convert/min_cut.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <tuple>

namespace graft::convert {
namespace {

constexpr double kAlways = std::numeric_limits<double>::infinity();
using Edges = std::vector<std::tuple<int, int, double>>;

double CostOf(const Edges& edges, const std::vector<bool>& side) {
  double cost = 0;
  for (const auto& [from, to, capacity] : edges) {
    if (side[from] && !side[to]) cost += capacity;
  }
  return cost;
}

TEST(MinCutTest, CostsWhatTheBestOfAllCutsCosts) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    const int nodes = 3 + static_cast<int>(random() % 7);
    MinCut cut;
    while (cut.AddNode() < nodes - 1) {
    }
    Edges edges;
    for (int i = 0; i < 3 * nodes; ++i) {
      const double capacity = static_cast<double>(random() % 20) / 4;
      edges.emplace_back(random() % nodes, random() % nodes, capacity);
      cut.Connect(std::get<0>(edges.back()), std::get<1>(edges.back()), capacity);
    }
    double best = kAlways;
    for (uint32_t bits = 0; bits < 1U << nodes; ++bits) {
      std::vector<bool> side;
      for (int i = 0; i < nodes; ++i) side.push_back((bits >> i & 1) != 0);
      if (side[MinCut::kSource] && !side[MinCut::kSink]) best = std::min(best, CostOf(edges, side));
    }
    const std::vector<bool> side = cut.Solve();
    EXPECT_TRUE(side[MinCut::kSource]);
    EXPECT_FALSE(side[MinCut::kSink]);
    EXPECT_NEAR(CostOf(edges, side), best, 1e-6);
  }
}

TEST(MinCutTest, EqualCutsLeaveMostToTheSink) {
  MinCut cut;
  const int node = cut.AddNode();
  cut.Connect(MinCut::kSource, node, 2);
  cut.Connect(node, MinCut::kSink, 2);
  EXPECT_FALSE(cut.Solve()[node]);
}

TEST(MinCutTest, WhatIsInfiniteIsNotCut) {
  MinCut cut;
  const int a = cut.AddNode();
  const int b = cut.AddNode();
  cut.Connect(MinCut::kSource, a, kAlways);
  cut.Connect(a, b, kAlways);
  cut.Connect(b, MinCut::kSink, 1000);
  const std::vector<bool> side = cut.Solve();
  EXPECT_TRUE(side[a] && side[b]);
}

}  // namespace
}  // namespace graft::convert
