#include "convert/assume_ranks.h"

#include "convert/build_engine.h"
#include "convert/mark_constants.h"

namespace graft::convert {
namespace {

// Of images, of rows, of sequences, of single rows, of videos.
constexpr int kRanks[] = {4, 2, 3, 1, 5};

}  // namespace

Result<std::vector<importer::ImportedGraph>> AssumeRanks(
    const tf::GraphDef& graph, const std::vector<importer::GraphInput>& inputs,
    const std::vector<std::string>& outputs, const importer::ImportedGraph& imported) {
  std::vector<size_t> refused;
  for (size_t v = 0; v < imported.nodes.size(); ++v) {
    if (imported.nodes[v].unknown_rank) refused.push_back(v);
  }
  std::vector<importer::ImportedGraph> assumed;
  for (const int rank : kRanks) {
    if (refused.empty()) break;
    GRAFT_ASSIGN_OR_RETURN(
        importer::ImportedGraph trial,
        importer::ImportGraph(graph, inputs, outputs,
                              {.assumed_rank = rank, .evaluate = ReferenceEvaluator()}));
    MarkConstants(trial.module);
    std::erase_if(
        refused, [&](size_t v) { return trial.nodes[v].decision != importer::Decision::kRefused; });
    assumed.push_back(std::move(trial));
  }
  return assumed;
}

}  // namespace graft::convert
