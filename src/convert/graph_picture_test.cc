#include "convert/graph_picture.h"

#include <gtest/gtest.h>

namespace graft::convert {
namespace {

TEST(GraphPicture, ShowsOpsEdgesAndDTypes) {
  tf::GraphDef graph;
  graph.nodes = {
      {.name = "x", .op = "Placeholder", .attrs = {{"dtype", DType::kFloat32}}},
      {.name = "TRTEngineOp_000_000",
       .op = "TRTEngineOp",
       .inputs = {"x"},
       .attrs = {{"OutT", std::vector{DType::kInt32}}}},
      {.name = "a\"b", .op = "NoOp", .inputs = {"^TRTEngineOp_000_000"}},
  };
  EXPECT_EQ(GraphPicture(graph), R"(digraph {
  node [style=filled, fontsize=10];
  "x" [label="x\nPlaceholder", fillcolor=lightblue];
  "TRTEngineOp_000_000" [label="TRTEngineOp_000_000\nTRTEngineOp", fillcolor=lightsalmon, shape=box3d, penwidth=3];
  "x" -> "TRTEngineOp_000_000";
  "a\"b" [label="a\"b\nNoOp", fillcolor=white];
  "TRTEngineOp_000_000" -> "a\"b" [style=dashed];
  subgraph cluster_legend {
    label="compute dtype";
    "dtype invalid" [label=none, shape=box, fillcolor=white];
    "dtype float" [label=float, shape=box, fillcolor=lightblue];
    "dtype int32" [label=int32, shape=box, fillcolor=lightsalmon];
  }
}
)");
}

}  // namespace
}  // namespace graft::convert
