// The time to divide a graph, and that to optimise one, grows with its size, not with its square.
#include <gtest/gtest.h>

#include <ctime>
#include <functional>

#include "backends/reference/evaluator.h"
#include "convert/convert_graph.h"
#include "convert/large_graphs_test_util.h"
#include "passes/pipeline.h"

namespace graft::convert {
namespace {

const std::vector<importer::GraphInput> kInputs = {{"x", DType::kFloat32, {.dims = {-1, 4}}}};

// Processor seconds, the least of three: other processes do not count.
double Seconds(const std::function<void()>& work) {
  double least = 1e9;
  for (int i = 0; i < 3; ++i) {
    const std::clock_t start = std::clock();
    work();
    least = std::min(least, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return least;
}

double SecondsToDivide(const GraphShape& shape, int nodes) {
  const tf::GraphDef graph = shape.make(nodes);
  ConvertOptions options;
  options.build_engines = false;
  options.cluster.minimum_segment_size = 1;
  options.candidates.denied_ops = {LargeGraph::kDenied};
  return Seconds([&] {
    const Result<ConvertedGraph> converted =
        ConvertGraph(graph, kInputs, {graph.nodes.back().name}, options);
    EXPECT_TRUE(converted.ok()) << converted.status().message();
  });
}

// As one engine.
double SecondsToOptimize(const GraphShape& shape, int nodes) {
  const tf::GraphDef graph = shape.make(nodes);
  const Result<importer::ImportedGraph> imported =
      importer::ImportGraph(graph, kInputs, {graph.nodes.back().name});
  EXPECT_TRUE(imported.ok()) << imported.status().message();
  passes::PassContext context;
  context.evaluate = [](const ir::Module& module, const ir::Node& node,
                        std::span<const Tensor> inputs) {
    return reference::Evaluate(module, node, inputs);
  };
  return Seconds([&] {
    ir::Module module = imported->module;
    for (const passes::Stage stage : {passes::Stage::kSimplify, passes::Stage::kOptimize}) {
      const auto reports = passes::RunPipeline(stage, {}, context, module);
      EXPECT_TRUE(reports.ok()) << reports.status().message();
    }
  });
}

void ExpectNotQuadratic(double (*seconds)(const GraphShape&, int)) {
  for (const GraphShape& shape : kGraphShapes) {
    const double small = seconds(shape, 1000), large = seconds(shape, 8000);
    // 8 when linear, 64 when quadratic.
    EXPECT_LT(large / small, 24) << shape.name << ": " << small << " s, then " << large << " s";
  }
}

TEST(Scaling, DividingIsNotQuadratic) { ExpectNotQuadratic(SecondsToDivide); }
TEST(Scaling, OptimizingIsNotQuadratic) { ExpectNotQuadratic(SecondsToOptimize); }

}  // namespace
}  // namespace graft::convert
