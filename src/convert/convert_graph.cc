#include "convert/convert_graph.h"

#include <algorithm>
#include <set>

#include "backends/reference/evaluator.h"
#include "plan/plan_file.h"
#include "runtime/backend_table.h"

namespace graft::convert {
namespace {

using partition::Candidates;
using partition::EngineNode;
using partition::Segment;
using partition::SegmentPorts;

// Computes what constants alone decide, so that a backend sees a filter that is reshaped or scaled
// before it is used as the constant that it will be. The nodes stay: they are the graph's.
void MarkConstants(ir::Module& module) {
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id) || module.node(id).kind() == ir::OpKind::kOpaque) continue;
    const ir::Node& node = module.node(id);
    std::vector<Tensor> operands;
    for (ir::ValueId v : node.inputs) {
      if (module.value(v).constant) operands.push_back(*module.value(v).constant);
    }
    if (node.inputs.empty() || operands.size() != node.inputs.size()) continue;
    Result<std::vector<Tensor>> results = reference::Evaluate(module, node, operands);
    if (!results.ok()) continue;  // what the reference kernels do not take stays a computation
    for (size_t i = 0; i < results->size(); ++i) {
      module.value(node.outputs[i]).constant = std::move((*results)[i]);
    }
  }
}

class Converter {
 public:
  Converter(const tf::GraphDef& graph, const std::vector<importer::GraphInput>& inputs,
            const std::vector<std::string>& outputs, const ConvertOptions& options)
      : graph_(graph), inputs_(inputs), outputs_(outputs), options_(options) {}

  Result<ConvertedGraph> Run() {
    ConvertedGraph converted;
    report_ = &converted.report;
    GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(options_.build.backend));
    {
      StageTimer timer(&report_->seconds.import);
      GRAFT_ASSIGN_OR_RETURN(imported_, importer::ImportGraph(graph_, inputs_, outputs_));
      MarkConstants(imported_.module);
    }
    std::vector<SegmentPorts> ports;
    {
      StageTimer timer(&report_->seconds.partition);
      GRAFT_ASSIGN_OR_RETURN(
          candidates_, partition::FindCandidates(graph_, imported_, *backend, options_.candidates));
      segments_ = partition::Cluster(candidates_.nodes, candidates_.order, options_.cluster);
      report_->candidate_segments = static_cast<int>(segments_.size());
      GRAFT_ASSIGN_OR_RETURN(ports, FindSegmentPorts());
    }

    std::vector<EngineNode> engines;
    for (SegmentPorts& p : ports) {
      EngineNode engine{std::move(p), options_.attributes};
      const Status status = Build(engine);
      if (status.code() == StatusCode::kUnsupported) {
        KeepNative(engine.ports, status.message());
        continue;
      }
      GRAFT_RETURN_IF_ERROR(status);
      engines.push_back(std::move(engine));
    }
    {
      StageTimer timer(&report_->seconds.partition);
      GRAFT_ASSIGN_OR_RETURN(converted.graph, partition::Encapsulate(graph_, engines, outputs_));
    }
    Count(engines);
    report_->nodes_before = static_cast<int>(graph_.nodes.size());
    report_->nodes_after = static_cast<int>(converted.graph.nodes.size());
    return converted;
  }

 private:
  // "TRTEngineOp_000_", with the first number from the given one that no node has yet: a graph that
  // was converted before keeps its engines.
  std::string EnginePrefix() const {
    for (int number = options_.graph_number;; ++number) {
      std::string prefix = fmt::format("TRTEngineOp_{:03}_", number);
      const bool taken =
          std::any_of(graph_.nodes.begin(), graph_.nodes.end(),
                      [&](const tf::NodeDef& node) { return node.name.starts_with(prefix); });
      if (!taken) return prefix;
    }
  }

  Result<std::vector<SegmentPorts>> FindSegmentPorts() {
    std::vector<std::vector<int>> members;
    std::vector<std::string> names;
    std::vector<bool> copied;
    const std::string prefix = EnginePrefix();
    for (const Segment& s : segments_) {
      names.push_back(fmt::format("{}{:03}", prefix, members.size()));
      members.push_back(s.nodes);
    }
    copied.reserve(candidates_.nodes.size());
    for (const partition::ClusterNode& node : candidates_.nodes) copied.push_back(node.copied);
    return partition::FindPorts(graph_, members, copied, outputs_, names,
                                partition::InfoOf(graph_, imported_));
  }

  // The whole graph's symbols at the user's points. Each walks the whole graph, so all segments
  // share them.
  Status BindPoints() {
    if (!bindings_.empty()) return OkStatus();
    for (const std::vector<Dims>& dims : options_.points) {
      GRAFT_ASSIGN_OR_RETURN(TuningPoint point, TuningPointFor(imported_.module, dims));
      bindings_.push_back(std::move(point));
    }
    if (bindings_.empty()) {
      GRAFT_ASSIGN_OR_RETURN(TuningPoint point, DefaultTuningPoint(imported_.module));
      bindings_.push_back(std::move(point));
    }
    return OkStatus();
  }

  // Where those points put the segment's inputs: each port's dimensions evaluated.
  Result<std::vector<std::vector<Dims>>> PointsOf(const SegmentPorts& ports) {
    GRAFT_RETURN_IF_ERROR(BindPoints());
    std::vector<std::vector<Dims>> points;
    for (const TuningPoint& binding : bindings_) {
      std::vector<Dims> point;
      for (const partition::Port& port : ports.inputs) {
        Dims dims;
        for (const ir::Dim& d :
             imported_.module.value(imported_.tensors[port.node][port.output]).shape) {
          GRAFT_ASSIGN_OR_RETURN(const int64_t n, d.Evaluate(binding.symbols));
          dims.push_back(n);
        }
        point.push_back(std::move(dims));
      }
      points.push_back(std::move(point));
    }
    return points;
  }

  Status Build(EngineNode& engine) {
    const SegmentPorts& ports = engine.ports;
    if (!options_.build_engines) return OkStatus();
    if (ports.inputs.empty())
      return UnsupportedError("Segment has no inputs (possible constfold failure)");
    GRAFT_ASSIGN_OR_RETURN(const tf::GraphDef segment, partition::SegmentGraph(graph_, ports));
    EngineSource source;
    source.graph = &segment;
    source.outputs = partition::OutputTensors(graph_, ports);
    for (size_t i = 0; i < ports.inputs.size(); ++i) {
      source.input_names.push_back(InputBindingName(static_cast<int>(i)));
      source.inputs.push_back(
          {source.input_names.back(), ports.inputs[i].dtype, ports.inputs[i].shape});
    }
    for (size_t i = 0; i < ports.outputs.size(); ++i) {
      source.output_names.push_back(OutputBindingName(static_cast<int>(i)));
    }
    GRAFT_ASSIGN_OR_RETURN(source.points, PointsOf(ports));
    BuildOptions build = options_.build;
    if (!build.dump_directory.empty()) build.dump_directory += "/" + ports.engine;
    GRAFT_ASSIGN_OR_RETURN(BuiltEngine built, BuildEngine(source, build, &report_->seconds));
    built.plan.provenance.model_hash = options_.model_hash;
    built.plan.provenance.options = options_.options_text;
    {
      StageTimer timer(&report_->seconds.write);
      GRAFT_ASSIGN_OR_RETURN(engine.attributes.serialized_segment, Serialize(segment, built.plan));
    }
    report_->engines.push_back(
        {ports.engine, static_cast<int>(ports.nodes.size()), static_cast<int>(ports.inputs.size()),
         static_cast<int>(ports.outputs.size()), engine.attributes.serialized_segment.size(),
         std::move(built.tune)});
    return OkStatus();
  }

  // The plan's bytes. Constants that the segment holds unchanged are stored by name.
  Result<std::string> Serialize(const tf::GraphDef& segment, const Plan& plan) const {
    WritePlanOptions write;
    if (!options_.embed_weights) {
      std::map<std::string_view, const tf::NodeDef*> constants;
      for (const tf::NodeDef& node : segment.nodes) {
        if (node.op == "Const") constants[node.name] = &node;
      }
      // Small constants cost nothing, and TensorFlow's own optimisers fold many of them away.
      constexpr size_t kLeastExternalBytes = 4096;
      write.external_name = [constants = std::move(constants),
                             &plan](ir::ValueId id) -> std::string {
        const ir::Value& value = plan.module.value(id);
        if (value.constant->bytes() < kLeastExternalBytes) return "";
        const auto found = constants.find(value.name);
        if (found == constants.end()) return "";
        Result<tf::TensorValue> stored = found->second->Attr<tf::TensorValue>("value");
        if (!stored.ok()) return "";
        Result<Tensor> tensor = stored->Decode();
        if (!tensor.ok() || tensor->dtype() != value.dtype ||
            tensor->bytes() != value.constant->bytes())
          return "";
        const bool same =
            std::equal(tensor->raw(), tensor->raw() + tensor->bytes(), value.constant->raw());
        return same ? value.name : "";
      };
    }
    return WritePlan(plan, write);
  }

  void KeepNative(const SegmentPorts& ports, const std::string& reason) {
    report_->warnings.push_back(fmt::format(
        "Cannot replace segment {} consisting of {} nodes: {} (keeping original segment).",
        ports.engine, ports.nodes.size(), reason));
    for (int v : ports.nodes) candidates_.reasons[v] = reason;
  }

  void Count(const std::vector<EngineNode>& engines) {
    std::vector<bool> converted(graph_.nodes.size(), false);
    for (const EngineNode& e : engines) {
      for (int v : e.ports.nodes) converted[v] = true;
    }
    std::set<std::string, std::less<>> fetched;
    for (const std::string& output : outputs_) {
      if (Result<tf::TensorRef> ref = tf::ParseTensorName(output); ref.ok())
        fetched.emplace(ref->node);
    }
    for (size_t v = 0; v < graph_.nodes.size(); ++v) {
      const tf::NodeDef& node = graph_.nodes[v];
      if (candidates_.nodes[v].copied) continue;
      const bool counts = node.op != "Const" && node.op != "Placeholder" &&
                          node.op != "PlaceholderWithDefault" && node.op != "NoOp" &&
                          !(node.op == "Identity" && fetched.contains(node.name));
      report_->total_ops += counts;
      if (converted[v]) {
        report_->converted_ops += counts;
        continue;
      }
      // Nodes of segments that were too small have no reason of their own and are not counted by
      // TF-TRT.
      const bool dropped = candidates_.reasons[v].empty();
      const std::string reason =
          dropped ? fmt::format(
                        "its segment has fewer than minimum_segment_size ({}) nodes, or {} larger "
                        "ones were kept",
                        options_.cluster.minimum_segment_size, options_.cluster.maximum_segments)
                  : candidates_.reasons[v];
      if (!dropped) report_->left_out.push_back({node.op, node.name, reason});
      if (counts) report_->unconverted.push_back({node.op, node.name, reason});
    }
  }

  const tf::GraphDef& graph_;
  const std::vector<importer::GraphInput>& inputs_;
  const std::vector<std::string>& outputs_;
  const ConvertOptions& options_;
  ConvertReport* report_ = nullptr;
  importer::ImportedGraph imported_;
  Candidates candidates_;
  std::vector<Segment> segments_;
  std::vector<TuningPoint> bindings_;  // of imported_'s symbols, once a segment is built
};

}  // namespace

Result<ConvertedGraph> ConvertGraph(const tf::GraphDef& graph,
                                    const std::vector<importer::GraphInput>& inputs,
                                    const std::vector<std::string>& outputs,
                                    const ConvertOptions& options) {
  return Converter(graph, inputs, outputs, options).Run();
}

}  // namespace graft::convert
