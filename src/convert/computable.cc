#include "convert/computable.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "convert/mark_constants.h"
#include "import/import_table.h"
#include "partition/candidates.h"
#include "tf/prune.h"

namespace graft::convert {
namespace {

bool IsProduct(const tf::NodeDef& node) {
  const importer::ImportRow* const row = importer::FindImport(node.op);
  return row != nullptr && row->product;
}

class Finder {
 public:
  Finder(const EngineSource& source, const Backend& backend)
      : source_(source), graph_(*source.graph), backend_(backend) {}

  Result<std::unique_ptr<ComputablePart>> Find() {
    part_ = std::make_unique<ComputablePart>();
    GRAFT_ASSIGN_OR_RETURN(imported_, importer::ImportGraph(graph_, source_.inputs, source_.outputs,
                                                            {.take_defaults = true,
                                                             .evaluate = ReferenceEvaluator()}));
    MarkConstants(imported_.module);
    GRAFT_ASSIGN_OR_RETURN(wired_, tf::WiredGraph::Of(graph_));
    GRAFT_ASSIGN_OR_RETURN(candidates_,
                           partition::FindCandidates(*wired_, imported_, backend_, {}));
    GRAFT_RETURN_IF_ERROR(TakeInputs());
    FollowNatives();
    GRAFT_RETURN_IF_ERROR(TakeOutputs());
    GRAFT_RETURN_IF_ERROR(Cut());
    return std::move(part_);
  }

 private:
  // What no engine holds is none of the part's.
  Status TakeInputs() {
    for (size_t i = 0; i < source_.inputs.size(); ++i) {
      const importer::GraphInput& input = source_.inputs[i];
      if (!IsHeld(input.dtype) || input.shape.unknown_rank) continue;
      GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(input.tensor));
      fed_.emplace(ref.node);
      part_->inputs.push_back(i);
      part_->source.inputs.push_back(input);
      part_->source.input_names.push_back(source_.input_names[i]);
    }
    for (const std::vector<Dims>& point : source_.points) {
      std::vector<Dims>& kept = part_->source.points.emplace_back();
      for (const size_t i : part_->inputs) kept.push_back(point[i]);
    }
    return OkStatus();
  }

  bool IsFed(int node) const { return fed_.contains(graph_.nodes[static_cast<size_t>(node)].name); }
  bool IsConstant(int node) const {
    return candidates_.nodes[static_cast<size_t>(node)].copied ||
           imported_.nodes[static_cast<size_t>(node)].decision == importer::Decision::kNotNeeded;
  }

  void FollowNatives() {
    native_.assign(graph_.nodes.size(), false);
    for (const int v : candidates_.order) {
      const auto at = static_cast<size_t>(v);
      const tf::NodeDef& node = graph_.nodes[at];
      if (IsFed(v)) continue;
      const bool follows = std::ranges::any_of(
          wired_->inputs(v),
          [&](const tf::WiredGraph::Edge& e) -> bool { return native_[e.node]; });
      // A placeholder with a default that nobody feeds has it.
      const bool stays = !candidates_.reasons[at].empty() && !IsConstant(v);
      native_[at] = follows || stays;
      if (stays && !follows)
        part_->natives.push_back(
            fmt::format("{} ({}): {}", node.name, node.op, candidates_.reasons[at]));
      part_->products += native_[at] && IsProduct(node);
    }
  }

  // The graph's own results under their names, and what the nodes that stay read.
  Status TakeOutputs() {
    std::set<std::string> taken;
    const partition::TensorInfo info = partition::InfoOf(graph_, imported_);
    const auto take = [&](int node, int output, const std::string& name) {
      if (node < 0 || output < 0 || native_[static_cast<size_t>(node)]) return;
      const Result<partition::Port> port = info(node, output);
      if (!port.ok() || !IsHeld(port->dtype) || port->shape.unknown_rank) return;
      const std::string tensor =
          tf::TensorName(graph_.nodes[static_cast<size_t>(node)].name, output);
      if (!taken.insert(tensor).second) return;
      part_->source.outputs.push_back(tensor);
      part_->source.output_names.push_back(name.empty() ? tensor : name);
    };
    for (size_t i = 0; i < source_.outputs.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(source_.outputs[i]));
      take(wired_->index().Find(ref.node), ref.index, source_.output_names[i]);
    }
    for (const int v : candidates_.order) {
      if (!native_[static_cast<size_t>(v)]) continue;
      for (const tf::WiredGraph::Edge& e : wired_->inputs(v)) {
        if (!IsFed(e.node) && !IsConstant(e.node)) take(e.node, e.output, "");
      }
    }
    if (!part_->source.outputs.empty()) return OkStatus();
    return UnsupportedError("nothing can be computed without TensorFlow: all comes after\n  {}",
                            fmt::join(part_->natives, "\n  "));
  }

  Status Cut() {
    std::vector<std::string> roots(fed_.begin(), fed_.end());
    for (const std::string& output : part_->source.outputs) {
      GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(output));
      roots.emplace_back(ref.node);
    }
    part_->graph = graph_;
    GRAFT_ASSIGN_OR_RETURN(std::vector<bool> needed, tf::Needed(part_->graph, roots));
    tf::Prune(needed, &part_->graph);
    part_->source.graph = &part_->graph;
    return OkStatus();
  }

  const EngineSource& source_;
  const tf::GraphDef& graph_;
  const Backend& backend_;
  importer::ImportedGraph imported_;
  std::optional<tf::WiredGraph> wired_;
  partition::Candidates candidates_;
  std::set<std::string, std::less<>> fed_;
  std::vector<bool> native_;  // by node: it stays in TensorFlow, or comes after one that does
  std::unique_ptr<ComputablePart> part_;
};

}  // namespace

Result<std::unique_ptr<ComputablePart>> FindComputable(const EngineSource& source,
                                                       const Backend& backend) {
  return Finder(source, backend).Find();
}

}  // namespace graft::convert
