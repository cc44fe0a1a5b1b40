#include "partition/candidates.h"

#include <algorithm>

#include "base/log.h"
#include "import/graph_order.h"
#include "tf/opdefs.h"

namespace graft::partition {
namespace {

constexpr std::string_view kDeniedOp = "Denylisted with the env var TF_TRT_OP_DENYLIST";
constexpr std::string_view kDeniedCast =
    "Casts between floats are rejected by TF_TRT_EXPERIMENTAL_FEATURES=reject_all_fp_cast_ops";

bool IsFloatCast(const tf::NodeDef& node) {
  if (node.op != "Cast") return false;
  const Result<DType> from = node.Attr<DType>("SrcT"), to = node.Attr<DType>("DstT");
  return from.ok() && to.ok() && IsFloating(*from) && IsFloating(*to);
}

// What upstream leaves out of a segment's size, and IdentityN, which an inlined call of several
// results has become. An Identity after each result would not count either.
constexpr std::string_view kWeightless[] = {"Identity", "IdentityN", "Snapshot", "StopGradient"};

// Marks as copied what constants alone decide, where a candidate that is none of these reads it.
// The rest of it stays as it is: a graph of constants alone is a segment without inputs.
void CopyConstantComputations(const tf::GraphDef& graph, Candidates* found) {
  const size_t n = found->nodes.size();
  std::vector<bool> constant(n, false), copied(n, false);
  for (int v : found->order) {
    const ClusterNode& node = found->nodes[v];
    const tf::OpDef* op = tf::FindOp(graph.nodes[v].op);
    const bool computes = node.candidate && op != nullptr && !op->is_stateful;
    constant[v] = node.copied ||
                  (computes && node.controls.empty() && !node.inputs.empty() &&
                   std::ranges::all_of(node.inputs, [&](int p) -> bool { return constant[p]; }));
  }
  for (auto v = found->order.rbegin(); v != found->order.rend(); ++v) {
    const ClusterNode& node = found->nodes[*v];
    if (!copied[*v] && (constant[*v] || !node.candidate)) continue;
    for (int p : node.inputs) copied[p] = copied[p] || constant[p];
  }
  for (size_t v = 0; v < n; ++v) {
    if (!copied[v]) continue;
    found->nodes[v].copied = true;
    found->nodes[v].candidate = false;
  }
}

// Every result of the node can live in an engine's buffers.
bool HasNumericResults(const importer::ImportedGraph& imported, int node) {
  for (ir::ValueId id : imported.tensors[node]) {
    if (id < 0) continue;
    const ir::Value& value = imported.module.value(id);
    if (!IsHeld(value.dtype) || !value.has_shape) return false;
  }
  return !imported.tensors[node].empty();
}

// What an import of the graph says of its nodes.
class Judge {
 public:
  Judge(const WiredGraph& wired, const importer::ImportedGraph& imported, const Backend& backend,
        const CandidateOptions& options)
      : wired_(&wired), imported_(&imported), options_(&options) {
    backend_reasons_.resize(imported.nodes.size());
    for (ir::NodeId id = 0; id < imported.module.node_count(); ++id) {
      const ir::Node& node = imported.module.node(id);
      // What an import function began and then refused was removed again.
      if (imported.module.removed(id) || node.kind() == ir::OpKind::kOpaque) continue;
      if (std::optional<Refusal> refusal = backend.Supports(imported.module, node)) {
        for (int32_t v : node.origin) backend_reasons_[v] = refusal->reason;
      }
    }
  }

  // Why the node is no candidate; empty: it is one.
  std::string WhyNot(size_t v) const {
    const tf::NodeDef& node = wired_->graph().nodes[v];
    const importer::NodeReport& report = imported_->nodes[v];
    const bool numeric = HasNumericResults(*imported_, static_cast<int>(v));
    const bool faked = options_->faked_ops.contains(node.op) && numeric;
    const auto native = options_->native_nodes.find(node.name);
    if (options_->denied_nodes.contains(node.name) || report.fed) return std::string(kExcluded);
    if (native != options_->native_nodes.end()) return native->second;
    if (report.decision == importer::Decision::kRefused && !faked) return report.reason;
    if (options_->denied_ops.contains(node.op)) return std::string(kDeniedOp);
    if (options_->deny_float_casts && IsFloatCast(node)) return std::string(kDeniedCast);
    if (report.decision == importer::Decision::kNotNeeded && (!ReadsValues(v) || !numeric)) {
      return node.op == "Placeholder" ? std::string(kExcluded)
                                      : fmt::format("Op type {} has nothing to compute", node.op);
    }
    return faked ? std::string() : backend_reasons_[v];
  }

 private:
  bool ReadsValues(size_t v) const {
    return std::ranges::any_of(wired_->inputs(static_cast<int>(v)), [](const WiredGraph::Edge& e) {
      return e.output != tf::TensorRef::kControl;
    });
  }

  const WiredGraph* wired_;
  const importer::ImportedGraph* imported_;
  const CandidateOptions* options_;
  std::vector<std::string> backend_reasons_;  // by node; empty: it supports what the node became
};

}  // namespace

Result<Candidates> FindCandidates(const WiredGraph& wired, const importer::ImportedGraph& imported,
                                  const Backend& backend, const CandidateOptions& options,
                                  std::span<const importer::ImportedGraph> assumed) {
  const tf::GraphDef& graph = wired.graph();
  GRAFT_ASSIGN_OR_RETURN(importer::GraphOrder order, importer::OrderGraph(wired));
  const size_t n = graph.nodes.size();
  Candidates found;
  found.order = std::move(order.nodes);
  found.nodes.resize(n);
  found.reasons.resize(n);
  found.at_run_time.resize(n);

  const Judge judge(wired, imported, backend, options);
  std::vector<Judge> assuming;
  for (const importer::ImportedGraph& other : assumed)
    assuming.emplace_back(wired, other, backend, options);

  for (size_t v = 0; v < n; ++v) {
    const tf::NodeDef& node = graph.nodes[v];
    ClusterNode& cluster = found.nodes[v];
    for (const WiredGraph::Edge& e : wired.inputs(static_cast<int>(v)))
      (e.output == tf::TensorRef::kControl ? cluster.controls : cluster.inputs).push_back(e.node);
    cluster.name = node.name;
    if (!options.groups.empty()) cluster.group = options.groups[v];
    if (imported.nodes[v].decision == importer::Decision::kNotNeeded && node.op == "Const") {
      cluster.copied = true;
      continue;
    }
    std::string& reason = found.reasons[v];
    reason = judge.WhyNot(v);
    if (!reason.empty() &&
        std::ranges::any_of(assuming, [&](const Judge& j) { return j.WhyNot(v).empty(); })) {
      found.at_run_time[v] = true;
      reason.clear();
    }
    cluster.candidate = reason.empty();
    cluster.weightless =
        cluster.candidate && std::ranges::find(kWeightless, node.op) != std::end(kWeightless);
    if (cluster.candidate) {
      GRAFT_VLOG(2, "segment", "Accepted as a TF-TRT candidate, (Op type: {}), (Op name: {})",
                 node.op, node.name);
    } else {
      GRAFT_VLOG(1, "segment", "Not a TF-TRT candidate, (Op type: {}), (Op name: {}), (Reason: {})",
                 node.op, node.name, reason);
    }
  }
  CopyConstantComputations(graph, &found);
  return found;
}

TensorInfo InfoOf(const tf::GraphDef& graph, const importer::ImportedGraph& imported) {
  return [&](int node, int output) -> Result<Port> {
    const std::vector<ir::ValueId>& results = imported.tensors[node];
    if (output < 0 || static_cast<size_t>(output) >= results.size() || results[output] < 0) {
      return FailedPreconditionError("{}: nothing is known of output {}", graph.nodes[node].name,
                                     output);
    }
    const ir::Value& value = imported.module.value(results[output]);
    Port port{node, output, value.dtype, tf::Shape::Unknown()};
    if (value.has_shape) {
      port.shape.unknown_rank = false;
      for (const ir::Dim& d : value.shape) port.shape.dims.push_back(d.constant().value_or(-1));
    }
    return port;
  };
}

}  // namespace graft::partition
