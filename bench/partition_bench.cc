// How long a graph takes to be imported, divided into segments and written again with engine nodes,
// for graphs of several shapes and sizes. No engine is built.
//
//   partition_bench [--benchmark_filter=chain]
#include <benchmark/benchmark.h>

#include "convert/convert_graph.h"
#include "convert/large_graphs_test_util.h"

namespace graft::convert {
namespace {

void ConvertWithoutEngines(benchmark::State& state, tf::GraphDef (*make)(int nodes)) {
  const tf::GraphDef graph = make(static_cast<int>(state.range(0)));
  ConvertOptions options;
  options.build_engines = false;
  options.cluster.minimum_segment_size = 1;
  options.candidates.denied_ops = {LargeGraph::kDenied};
  int segments = 0;
  for (auto _ : state) {
    const Result<ConvertedGraph> converted = ConvertGraph(
        graph, {{"x", DType::kFloat32, {.dims = {-1, 4}}}}, {graph.nodes.back().name}, options);
    if (!converted.ok()) return state.SkipWithError(converted.status().message().c_str());
    segments = converted->report.candidate_segments;
  }
  state.counters["segments"] = segments;
  state.SetComplexityN(state.range(0));
}

}  // namespace
}  // namespace graft::convert

int main(int argc, char** argv) {
  for (const graft::convert::GraphShape& shape : graft::convert::kGraphShapes) {
    benchmark::RegisterBenchmark(shape.name, graft::convert::ConvertWithoutEngines, shape.make)
        ->Arg(1000)
        ->Arg(4000)
        ->Arg(20000)
        ->Unit(benchmark::kMillisecond)
        ->Complexity();
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
