#include "partition/op_support.h"

#include <algorithm>

#include "import/example.h"

namespace graft::partition {
namespace {

constexpr DType kTried[] = {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kFloat64,
                            DType::kInt8,    DType::kInt16,   DType::kInt32,    DType::kInt64,
                            DType::kUint8,   DType::kUint16,  DType::kUint32,   DType::kUint64,
                            DType::kBool,    DType::kQint8,   DType::kQuint8,   DType::kQint16,
                            DType::kQuint16, DType::kQint32};

Result<bool> IsConverted(std::string_view op, DType dtype, const Backend& backend) {
  const Result<importer::ExampleGraph> example = importer::MakeExample(op, dtype);
  if (example.status().code() == StatusCode::kUnsupported) return false;
  GRAFT_RETURN_IF_ERROR(example.status());
  GRAFT_ASSIGN_OR_RETURN(const importer::ImportedGraph imported,
                         importer::ImportGraph(example->graph, example->inputs,
                                               {example->graph.nodes[example->node].name}));
  if (imported.nodes[example->node].decision == importer::Decision::kRefused) return false;
  for (ir::NodeId id = 0; id < imported.module.node_count(); ++id) {
    if (backend.Supports(imported.module, imported.module.node(id))) return false;
  }
  return true;
}

}  // namespace

Result<std::vector<OpSupport>> SupportTable(const Backend& backend) {
  std::vector<OpSupport> table;
  for (const importer::ImportRow& row : importer::ImportRows()) {
    OpSupport support{.op = row.op, .any_dtype = row.role == importer::Role::kFree};
    for (const DType dtype : kTried) {
      if (support.any_dtype) break;
      GRAFT_ASSIGN_OR_RETURN(const bool converted, IsConverted(row.op, dtype, backend));
      if (converted) support.dtypes.push_back(dtype);
    }
    for (const importer::RefusalRow& refusal : importer::RefusalRows()) {
      if (refusal.ops != "*" && refusal.Concerns(row.op)) support.refusals.push_back(&refusal);
    }
    table.push_back(std::move(support));
  }
  std::sort(table.begin(), table.end(),
            [](const OpSupport& a, const OpSupport& b) { return a.op < b.op; });
  return table;
}

}  // namespace graft::partition
