#include "import/example.h"

#include <gtest/gtest.h>

#include "import/import_table.h"

namespace graft::importer {
namespace {

TEST(Example, HasOperandsAndAttributes) {
  const Result<ExampleGraph> example = MakeExample("Conv2D", DType::kFloat32);
  ASSERT_TRUE(example.ok()) << example.status().message();
  ASSERT_EQ(example->graph.nodes.size(), 3u);
  EXPECT_EQ(example->graph.nodes[0].op, "Placeholder");
  EXPECT_EQ(example->graph.nodes[1].op, "Const");
  EXPECT_EQ(*example->graph.nodes[2].Attr<std::string>("padding"), "SAME");
  EXPECT_EQ(*example->graph.nodes[2].Attr<DType>("T"), DType::kFloat32);
}

TEST(Example, HasNoDTypeThatTheOpDoesNotTake) {
  EXPECT_TRUE(MakeExample("LogicalAnd", DType::kBool).ok());
  EXPECT_EQ(MakeExample("LogicalAnd", DType::kFloat32).status().code(), StatusCode::kUnsupported);
}

// Every op of import.inc is converted in some dtype: its example is one of a node that is.
TEST(Example, IsConverted) {
  for (const ImportRow& row : ImportRows()) {
    if (row.role == Role::kFree) continue;
    std::string reasons;
    bool converted = false;
    for (const DType dtype : {DType::kFloat32, DType::kInt32, DType::kBool, DType::kQint8}) {
      const Result<ExampleGraph> example = MakeExample(row.op, dtype);
      if (!example.ok()) {
        reasons += "\n" + example.status().message();
        continue;
      }
      const Result<ImportedGraph> imported =
          ImportGraph(example->graph, example->inputs, {"example"});
      ASSERT_TRUE(imported.ok()) << row.op << ": " << imported.status().message();
      const NodeReport& report = imported->nodes[example->node];
      converted = converted || report.decision == Decision::kAccepted;
      reasons += "\n" + report.reason;
    }
    EXPECT_TRUE(converted) << row.op << " needs another row in examples.inc:" << reasons;
  }
}

// Refusals are of ops that are converted otherwise.
TEST(Refusals, NameOpsOfTheTable) {
  for (const RefusalRow& row : RefusalRows()) {
    if (row.ops == "*") continue;
    std::string_view rest = row.ops;
    while (!rest.empty()) {
      const std::string_view op = rest.substr(0, rest.find(' '));
      EXPECT_NE(FindImport(op), nullptr) << op << ": " << row.text;
      EXPECT_TRUE(row.Concerns(op));
      rest.remove_prefix(std::min(rest.size(), op.size() + 1));
    }
  }
  EXPECT_FALSE((RefusalRow{"Conv2DBackpropInput Conv3D", "", ""}).Concerns("Conv2D"));
}

}  // namespace
}  // namespace graft::importer
