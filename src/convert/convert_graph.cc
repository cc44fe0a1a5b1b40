#include "convert/convert_graph.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "backends/reference/evaluator.h"
#include "base/hash.h"
#include "base/log.h"
#include "plan/plan_file.h"
#include "runtime/backend_table.h"
#include "tf/lift.h"

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
    if (ir::ResultDimOf(node.attributes)) continue;  // its dimensions stay a symbol
    Result<std::vector<Tensor>> results = reference::Evaluate(module, node, operands);
    if (!results.ok()) continue;  // what the reference kernels do not take stays a computation
    for (size_t i = 0; i < results->size(); ++i) {
      module.value(node.outputs[i]).constant = std::move((*results)[i]);
    }
  }
}

Status DumpSegment(const std::string& engine, const tf::GraphDef& segment) {
  GRAFT_ASSIGN_OR_RETURN(const std::string bytes, tf::SerializeGraphDef(segment));
  return WriteFileAtomically(engine + ".pb", bytes);
}

// Nodes of the graph that stand for bodies of While, If and Case (tf/lift.h).
struct Bodies {
  std::set<std::string, std::less<>> scaffold;              // their arguments and results
  std::set<std::string, std::less<>> roots;                 // their results
  std::vector<std::pair<std::string, std::string>> owners;  // node, root of one of its bodies

  // Whether the node is one of a body: ROOT/…, or the root.
  bool Contain(std::string_view name) const {
    for (size_t slash = name.find('/'); slash != name.npos; slash = name.find('/', slash + 1)) {
      if (roots.contains(name.substr(0, slash))) return true;
    }
    return roots.contains(name);
  }
};

Result<std::string> NodeOf(const std::string& tensor) {
  GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(tensor));
  return std::string(ref.node);
}

class Converter {
 public:
  Converter(const tf::GraphDef& graph, const std::vector<importer::GraphInput>& inputs,
            const std::vector<std::string>& outputs, ConvertOptions options, Bodies bodies)
      : graph_(graph),
        inputs_(inputs),
        outputs_(outputs),
        options_(std::move(options)),
        bodies_(std::move(bodies)) {}

  Result<ConvertedGraph> Run() {
    ConvertedGraph converted;
    report_ = &converted.report;
    GRAFT_ASSIGN_OR_RETURN(Backend* const backend,
                           FindBackend(options_.build.backend, options_.build.device));
    {
      StageTimer timer(&report_->seconds.import);
      GRAFT_ASSIGN_OR_RETURN(imported_, options_.imported != nullptr
                                            ? Result(*options_.imported)
                                            : importer::ImportGraph(graph_, inputs_, outputs_));
      MarkConstants(imported_.module);
    }
    std::vector<SegmentPorts> ports;
    {
      StageTimer timer(&report_->seconds.partition);
      GRAFT_ASSIGN_OR_RETURN(wired_, partition::WiredGraph::Of(graph_));
      GRAFT_RETURN_IF_ERROR(FindGroups());
      for (const importer::GraphInput& input : inputs_) {
        GRAFT_ASSIGN_OR_RETURN(std::string node, NodeOf(input.tensor));
        options_.candidates.denied_nodes.insert(std::move(node));
      }
      for (const tf::NodeDef& node : graph_.nodes) {
        if (options_.tidy.keep_asserts && node.op == "CheckNumerics")
          options_.candidates.native_nodes[node.name] = "it is a check, and checks are kept";
      }
      GRAFT_ASSIGN_OR_RETURN(candidates_, partition::FindCandidates(*wired_, imported_, *backend,
                                                                    options_.candidates));
      clusters_ = partition::Cluster(candidates_.nodes, candidates_.order, options_.cluster);
      ExplainDropped();
      report_->candidate_segments = static_cast<int>(clusters_.segments.size());
      GRAFT_ASSIGN_OR_RETURN(ports, FindSegmentPorts());
    }

    std::vector<EngineNode> engines;
    for (size_t i = 0; i < ports.size(); ++i) {
      EngineNode engine{std::move(ports[i]), options_.attributes};
      LogWiring(engine.ports);
      const Status status = Build(engine);
      if (status.code() == StatusCode::kUnsupported) {
        KeepNative(i, engine.ports, status.message());
        continue;
      }
      GRAFT_RETURN_IF_ERROR(status);
      engines.push_back(std::move(engine));
    }
    {
      StageTimer timer(&report_->seconds.partition);
      GRAFT_ASSIGN_OR_RETURN(converted.graph, partition::Encapsulate(*wired_, engines, outputs_));
    }
    Count(engines, converted.graph);
    report_->engine_nodes = static_cast<int>(engines.size());
    report_->nodes_before = static_cast<int>(graph_.nodes.size());
    report_->nodes_after = static_cast<int>(converted.graph.nodes.size());
    WarnOf(ExportReport(options_.exports, report_->left_out));
    WarnOf(ExportPicture(options_.exports, converted.graph));
    return converted;
  }

 private:
  Status FindGroups() {
    std::vector<partition::EntryPoint> entries = options_.entries;
    if (entries.empty()) {
      partition::EntryPoint& all = entries.emplace_back();
      for (const importer::GraphInput& input : inputs_) {
        GRAFT_ASSIGN_OR_RETURN(all.inputs.emplace_back(), NodeOf(input.tensor));
      }
      for (const std::string& output : outputs_) {
        GRAFT_ASSIGN_OR_RETURN(all.outputs.emplace_back(), NodeOf(output));
      }
    }
    std::vector<std::pair<int, int>> also;
    for (const auto& [node, root] : bodies_.owners)
      also.emplace_back(wired_->index().Find(node), wired_->index().Find(root));
    GRAFT_ASSIGN_OR_RETURN(options_.candidates.groups,
                           partition::GroupByEntryPoint(*wired_, entries, also));
    return OkStatus();
  }

  // A number for the graph, of what decides its engines and their native segments.
  int ContentNumber() const {
    constexpr uint64_t kNumbers = 1'000'000'000;
    std::string content = fmt::format("{} {} {}\n", options_.model_hash, options_.options_text,
                                      options_.attributes.precision_mode);
    for (const Segment& segment : clusters_.segments) {
      for (int v : segment.nodes) content += graph_.nodes[v].name + "\n";
      content += "\n";
    }
    return static_cast<int>(HashBytes(content).low % kNumbers);
  }

  // "TRTEngineOp_<graph>_", with the first number that no node has yet: a graph that was converted
  // before keeps its engines.
  std::string EnginePrefix() const {
    for (int number = options_.graph_number < 0 ? ContentNumber() : options_.graph_number;;
         ++number) {
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
    for (const Segment& s : clusters_.segments) {
      names.push_back(fmt::format("{}{:03}", prefix, members.size()));
      members.push_back(s.nodes);
    }
    copied.reserve(candidates_.nodes.size());
    for (const partition::ClusterNode& node : candidates_.nodes) copied.push_back(node.copied);
    return partition::FindPorts(*wired_, members, copied, outputs_, names,
                                partition::InfoOf(graph_, imported_));
  }

  // The whole graph's symbols at the user's points. Each walks the whole graph, so all segments
  // share them. None where the user gave none and no default fits the whole graph: a segment may
  // still have one.
  Status BindPoints() {
    if (std::exchange(bound_, true)) return OkStatus();
    for (const std::vector<Dims>& dims : options_.points) {
      GRAFT_ASSIGN_OR_RETURN(TuningPoint point, TuningPointFor(imported_.module, dims));
      bindings_.push_back(std::move(point));
    }
    if (bindings_.empty()) {
      Result<TuningPoint> point = DefaultTuningPoint(imported_.module);
      if (point.ok()) bindings_.push_back(*std::move(point));
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
    GRAFT_ASSIGN_OR_RETURN(const tf::GraphDef segment, partition::SegmentGraph(*wired_, ports));
    if (VerboseLevel("convert_graph") >= 8) WarnOf(DumpSegment(ports.engine, segment));
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
    WarnOf(ExportEngine(options_.exports, ports.engine, built.plan));
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
    if (!options_.embed_weights && options_.attributes.native_segment) {
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

  // Files for people to look at are not worth failing for.
  void WarnOf(const Status& status) {
    if (!status.ok()) report_->warnings.push_back(status.message());
  }

  void KeepNative(size_t i, const SegmentPorts& ports, const std::string& reason) {
    report_->warnings.push_back(
        fmt::format("Cannot replace segment {} consisting of {} nodes by {} reason: {} (keeping "
                    "original segment).",
                    i, ports.nodes.size(), ports.engine, reason));
    for (int v : ports.nodes) candidates_.reasons[v] = reason;
  }

  // Why nodes of segments that do not become engines stay native.
  void ExplainDropped() {
    dropped_.resize(graph_.nodes.size());
    idle_.resize(graph_.nodes.size(), false);
    for (const Segment& segment : clusters_.too_small) {
      for (int v : segment.nodes) idle_[v] = segment.size == 0;
    }
    auto explain = [&](const std::vector<Segment>& segments, const std::string& reason) {
      for (const Segment& segment : segments) {
        for (int v : segment.nodes) dropped_[v] = reason;
      }
    };
    explain(clusters_.too_small,
            fmt::format("its segment has fewer than minimum_segment_size ({}) nodes",
                        options_.cluster.minimum_segment_size));
    const int maximum = options_.cluster.maximum_segments;
    explain(clusters_.too_many,
            fmt::format("its segment is smaller than the {} that are converted at most", maximum));
    if (clusters_.too_many.empty()) return;
    report_->warnings.push_back(
        fmt::format("{} of {} segments stay in TensorFlow: only the {} largest are converted "
                    "(TF_TRT_MAX_ALLOWED_ENGINES; 0: all)",
                    clusters_.too_many.size(), clusters_.too_many.size() + maximum, maximum));
  }

  void LogWiring(const SegmentPorts& ports) const {
    if (VerboseLevel("convert_graph") < 1) return;
    auto log = [&](std::string_view side, const std::vector<partition::Port>& list) {
      for (size_t i = 0; i < list.size(); ++i) {
        const partition::Port& port = list[i];
        Log(LogLevel::kInfo, "convert_graph", "{}: {} {} is {} {}{}", ports.engine, side, i,
            tf::TensorName(graph_.nodes[port.node].name, port.output), TensorFlowName(port.dtype),
            tf::ToString(port.shape));
      }
    };
    Log(LogLevel::kInfo, "convert_graph", "{}: {} nodes, {} constants", ports.engine,
        ports.nodes.size(), ports.constants.size());
    log("input", ports.inputs);
    log("output", ports.outputs);
    for (int v : ports.control_inputs)
      Log(LogLevel::kInfo, "convert_graph", "{}: waits for {}", ports.engine, graph_.nodes[v].name);
  }

  // Why a node is outside of engines.
  std::string ReasonOf(size_t v) const {
    if (!candidates_.reasons[v].empty()) return candidates_.reasons[v];
    if (candidates_.nodes[v].copied)
      return "constants alone decide it, and nodes outside of engines read it";
    return dropped_[v];
  }

  void Count(const std::vector<EngineNode>& engines, const tf::GraphDef& result) {
    std::unordered_map<std::string_view, std::string_view> left;  // name → op
    for (const tf::NodeDef& node : result.nodes) {
      if (node.op != "TRTEngineOp" && node.op != "Const") left.emplace(node.name, node.op);
    }
    std::vector<bool> converted(graph_.nodes.size(), false);
    for (const EngineNode& e : engines) {
      for (int v : e.ports.nodes) converted[v] = true;
      // What constants decide may be needed outside as well.
      for (int v : e.ports.constants) converted[v] = !left.contains(graph_.nodes[v].name);
    }
    std::set<std::string, std::less<>> fetched;
    for (const std::string& output : outputs_) {
      if (Result<std::string> node = NodeOf(output); node.ok()) fetched.insert(*std::move(node));
    }
    bool learns = false;
    for (size_t v = 0; v < graph_.nodes.size(); ++v) {
      const tf::NodeDef& node = graph_.nodes[v];
      // One of them says it for all: the model was built for training.
      const std::string& kept = candidates_.reasons[v];
      if (!learns && kept.find("set_learning_phase(0)") != std::string::npos) {
        report_->warnings.push_back(fmt::format("{} ({}): {}", node.name, node.op, kept));
        learns = true;
      }
      // What no entry point needs saves and restores variables. Who named none wants all.
      const bool needed = options_.entries.empty() || options_.candidates.groups[v] != 0;
      if (node.op == "Const" || bodies_.scaffold.contains(node.name) || !needed) continue;
      const bool counts = !idle_[v] && node.op != "Placeholder" &&
                          node.op != "PlaceholderWithDefault" && node.op != "NoOp" &&
                          !(node.op == "Identity" && fetched.contains(node.name));
      const bool in_function = bodies_.Contain(node.name);
      report_->total_ops += counts;
      report_->function_ops += counts && in_function;
      std::string reason = ReasonOf(v);
      if (converted[v]) {
        report_->converted_ops += counts;
        report_->converted_function_ops += counts && in_function;
      } else if (counts) {
        report_->unconverted.push_back({node.op, node.name, reason, in_function});
      }
      const auto found = left.find(node.name);
      if (in_function || found == left.end()) continue;
      // The name of a fetched member is an Identity's now.
      if (converted[v]) reason = std::string(partition::kExcluded);
      report_->left_out.push_back({std::string(found->second), node.name, std::move(reason)});
    }
  }

  const tf::GraphDef& graph_;
  const std::vector<importer::GraphInput>& inputs_;
  const std::vector<std::string>& outputs_;
  ConvertOptions options_;
  const Bodies bodies_;
  ConvertReport* report_ = nullptr;
  importer::ImportedGraph imported_;
  std::optional<partition::WiredGraph> wired_;
  Candidates candidates_;
  partition::Clusters clusters_;
  std::vector<std::string> dropped_;   // for nodes of dropped segments, why
  std::vector<bool> idle_;             // nodes of segments that compute nothing: Identities alone
  bool bound_ = false;                 // bindings_ is what it will be
  std::vector<TuningPoint> bindings_;  // of imported_'s symbols
};

// What decides whether a loop goes on computes a few scalars, each time round: an engine would cost
// more than it saves.
void KeepConditions(const tf::LiftedNodes& lifted, const tf::GraphDef& graph,
                    partition::CandidateOptions* candidates) {
  std::unordered_set<std::string_view> conditions;
  for (const tf::LiftedNode& node : lifted) {
    for (const tf::LiftedBody& body : node.bodies) {
      if (body.attr == "cond") conditions.insert(body.root);
    }
  }
  for (const tf::NodeDef& node : graph.nodes) {
    const std::string_view name = node.name;
    for (size_t slash = name.find('/'); slash != name.npos; slash = name.find('/', slash + 1)) {
      if (conditions.contains(name.substr(0, slash)))
        candidates->native_nodes[node.name] = "it belongs to the condition of a loop";
    }
  }
}

// The bodies of While, If and Case are converted as parts of the graph.
Result<ConvertedGraph> ConvertWithBodies(const tf::GraphDef& graph,
                                         std::vector<importer::GraphInput> inputs,
                                         const std::vector<std::string>& outputs,
                                         ConvertOptions options) {
  std::vector<std::string> kept;
  for (const importer::GraphInput& input : inputs) {
    GRAFT_ASSIGN_OR_RETURN(kept.emplace_back(), NodeOf(input.tensor));
  }
  for (const std::string& output : outputs) {
    GRAFT_ASSIGN_OR_RETURN(kept.emplace_back(), NodeOf(output));
  }
  tf::GraphDef lifted_graph = graph;
  const tf::LiftedNodes lifted = tf::LiftBodies(kept, &lifted_graph);
  GRAFT_ASSIGN_OR_RETURN(const tf::NodeIndex index, tf::NodeIndex::Of(lifted_graph.nodes));
  Bodies bodies;
  for (const std::string& argument : tf::Arguments(lifted)) {
    const tf::NodeDef& node = lifted_graph.nodes[static_cast<size_t>(index.Find(argument))];
    GRAFT_ASSIGN_OR_RETURN(const DType dtype, node.Attr<DType>("dtype"));
    GRAFT_ASSIGN_OR_RETURN(const tf::Shape shape, node.Attr<tf::Shape>("shape"));
    inputs.push_back({argument, dtype, shape});
    for (std::vector<Dims>& point : options.points) point.push_back(shape.dims);
    bodies.scaffold.insert(argument);
  }
  for (const tf::LiftedNode& node : lifted) {
    for (const tf::LiftedBody& body : node.bodies) {
      bodies.scaffold.insert(body.root);
      bodies.roots.insert(body.root);
      bodies.owners.emplace_back(node.name, body.root);
    }
  }
  options.imported = nullptr;
  options.candidates.denied_nodes.insert(bodies.scaffold.begin(), bodies.scaffold.end());
  KeepConditions(lifted, lifted_graph, &options.candidates);
  GRAFT_ASSIGN_OR_RETURN(
      ConvertedGraph converted,
      Converter(lifted_graph, inputs, outputs, std::move(options), std::move(bodies)).Run());
  GRAFT_RETURN_IF_ERROR(tf::LowerBodies(lifted, &converted.graph));
  converted.report.nodes_before = static_cast<int>(graph.nodes.size());
  converted.report.nodes_after = static_cast<int>(converted.graph.nodes.size());
  return converted;
}

}  // namespace

Result<ConvertedGraph> ConvertGraph(const tf::GraphDef& graph,
                                    const std::vector<importer::GraphInput>& inputs,
                                    const std::vector<std::string>& outputs,
                                    const ConvertOptions& options) {
  if (!tf::HasBodies(graph)) return Converter(graph, inputs, outputs, options, {}).Run();
  return ConvertWithBodies(graph, inputs, outputs, options);
}

}  // namespace graft::convert
