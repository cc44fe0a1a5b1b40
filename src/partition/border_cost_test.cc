#include "partition/border_cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace graft::partition {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Optional;

// Nodes 0 … count-1, and a segment of all of them with so many inputs and one output.
struct Sample {
  Sample(int count, int inputs) : nodes(static_cast<size_t>(count)) {
    for (int v = 0; v < count; ++v) ports.nodes.push_back(v);
    ports.inputs.resize(static_cast<size_t>(inputs));
    ports.outputs.resize(1);
    heavy.resize(nodes.size());
  }
  std::optional<std::string> Why() const {
    return WhyNotWorth(ports, nodes, heavy, {.engine = 1000, .port = 200, .node = 100});
  }
  SegmentPorts ports;
  std::vector<ClusterNode> nodes;
  std::vector<bool> heavy;
};

TEST(BorderCostTest, NodesPayForTheBorder) {
  EXPECT_EQ(Sample(10, 1).Why(), std::nullopt);
  EXPECT_THAT(Sample(9, 1).Why(), Optional(HasSubstr("9 element-wise nodes with 1 inputs")));
  EXPECT_THAT(Sample(11, 2).Why(), Optional(HasSubstr("costs more than it saves")));
  EXPECT_EQ(Sample(12, 2).Why(), std::nullopt);
}

TEST(BorderCostTest, IdentitiesPayNothing) {
  Sample sample(10, 1);
  sample.nodes[3].weightless = true;
  EXPECT_NE(sample.Why(), std::nullopt);
}

TEST(BorderCostTest, OneHeavyNodePaysForAll) {
  Sample sample(3, 5);
  EXPECT_NE(sample.Why(), std::nullopt);
  sample.heavy[1] = true;
  EXPECT_EQ(sample.Why(), std::nullopt);
}

TEST(BorderCostTest, ProductsAreHeavyAndArithmeticIsNot) {
  tf::GraphDef graph;
  const auto node = [&](std::string name, std::string op, std::vector<std::string> inputs) {
    graph.nodes.push_back(
        {.name = std::move(name), .op = std::move(op), .inputs = std::move(inputs)});
    graph.nodes.back().attrs["T"] = DType::kFloat32;
  };
  node("x", "Placeholder", {});
  graph.nodes.back().attrs = {{"dtype", DType::kFloat32}};
  node("add", "AddV2", {"x", "x"});
  node("product", "MatMul", {"add", "add"});
  node("relu", "Relu", {"product"});
  const Result<importer::ImportedGraph> imported =
      importer::ImportGraph(graph, {{"x", DType::kFloat32, {.dims = {4, 4}}}}, {"relu"});
  ASSERT_TRUE(imported.ok()) << imported.status().message();
  EXPECT_THAT(HeavyNodes(*imported), ElementsAre(false, false, true, false));
}

}  // namespace
}  // namespace graft::partition
