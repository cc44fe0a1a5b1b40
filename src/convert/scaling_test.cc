// The time to divide a graph grows with its size, not with its square.
#include <gtest/gtest.h>

#include <ctime>

#include "convert/convert_graph.h"
#include "convert/large_graphs_test_util.h"

namespace graft::convert {
namespace {

// Processor seconds, the least of three: other processes do not count.
double Seconds(const GraphShape& shape, int nodes) {
  const tf::GraphDef graph = shape.make(nodes);
  ConvertOptions options;
  options.build_engines = false;
  options.cluster.minimum_segment_size = 1;
  options.candidates.denied_ops = {LargeGraph::kDenied};
  double least = 1e9;
  for (int i = 0; i < 3; ++i) {
    const std::clock_t start = std::clock();
    const Result<ConvertedGraph> converted = ConvertGraph(
        graph, {{"x", DType::kFloat32, {.dims = {-1, 4}}}}, {graph.nodes.back().name}, options);
    least = std::min(least, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    EXPECT_TRUE(converted.ok()) << converted.status().message();
  }
  return least;
}

TEST(Scaling, IsNotQuadratic) {
  for (const GraphShape& shape : kGraphShapes) {
    const double small = Seconds(shape, 1000), large = Seconds(shape, 8000);
    // 8 when linear, 64 when quadratic.
    EXPECT_LT(large / small, 24) << shape.name << ": " << small << " s, then " << large << " s";
  }
}

}  // namespace
}  // namespace graft::convert
