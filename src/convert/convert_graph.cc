#include "convert/convert_graph.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/log.h"
#include "convert/assume_ranks.h"
#include "convert/bodies.h"
#include "convert/build_by_time.h"
#include "convert/count_ops.h"
#include "convert/engine_names.h"
#include "convert/external_weights.h"
#include "convert/mark_constants.h"
#include "convert/segment_points.h"
#include "partition/border_cost.h"
#include "partition/shared_constants.h"
#include "plan/plan_file.h"
#include "quant/range_rules.h"
#include "runtime/backend_table.h"
#include "tf/lift.h"

namespace graft::convert {
namespace {

using partition::Candidates;
using partition::EngineNode;
using partition::Segment;
using partition::SegmentPorts;

Status DumpSegment(const std::string& engine, const tf::GraphDef& segment) {
  GRAFT_ASSIGN_OR_RETURN(const std::string bytes, tf::SerializeGraphDef(segment));
  return WriteFileAtomically(engine + ".pb", bytes);
}

void LogWiring(const tf::GraphDef& graph, const SegmentPorts& ports) {
  if (VerboseLevel("convert_graph") < 1) return;
  auto log = [&](std::string_view side, const std::vector<partition::Port>& list) {
    for (size_t i = 0; i < list.size(); ++i) {
      const partition::Port& port = list[i];
      Log(LogLevel::kInfo, "convert_graph", "{}: {} {} is {} {}{}", ports.engine, side, i,
          tf::TensorName(graph.nodes[port.node].name, port.output), TensorFlowName(port.dtype),
          tf::ToString(port.shape));
    }
  };
  Log(LogLevel::kInfo, "convert_graph", "{}: {} nodes, {} constants", ports.engine,
      ports.nodes.size(), ports.constants.size());
  log("input", ports.inputs);
  log("output", ports.outputs);
  for (int v : ports.control_inputs)
    Log(LogLevel::kInfo, "convert_graph", "{}: waits for {}", ports.engine, graph.nodes[v].name);
}

// TF-TRT computed on integers where these were, whatever the precision mode was.
bool HasQuantisationNodes(const tf::GraphDef& graph) {
  return std::ranges::any_of(graph.nodes, [](const tf::NodeDef& node) {
    return node.op == "QuantizeAndDequantizeV2" || node.op == "QuantizeAndDequantizeV3" ||
           node.op == "QuantizeAndDequantizeV4";
  });
}

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
      GRAFT_ASSIGN_OR_RETURN(imported_,
                             options_.imported != nullptr
                                 ? Result(*options_.imported)
                                 : importer::ImportGraph(graph_, inputs_, outputs_,
                                                         {.evaluate = ReferenceEvaluator()}));
      MarkConstants(imported_.module);
    }
    if (options_.build.precision == Precision::kInt8 && HasQuantisationNodes(graph_))
      Log(LogLevel::kInfo, "convert_graph", "[TF-TRT] Using explicit QDQ mode");
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
      GRAFT_ASSIGN_OR_RETURN(const std::vector<importer::ImportedGraph> assumed,
                             FindAssumed(*backend));
      GRAFT_ASSIGN_OR_RETURN(candidates_, partition::FindCandidates(*wired_, imported_, *backend,
                                                                    options_.candidates, assumed));
      FindHeavy(assumed);
      clusters_ = partition::Cluster(candidates_.nodes, candidates_.order, options_.cluster);
      dropped_ =
          ExplainDropped(clusters_, options_.cluster, graph_.nodes.size(), &report_->warnings);
      report_->candidate_segments = static_cast<int>(clusters_.segments.size());
      GRAFT_ASSIGN_OR_RETURN(ports, FindSegmentPorts());
    }

    const std::vector<bool> worth = FindWorth(ports);
    std::vector<EngineNode> engines;
    for (size_t i = 0; i < ports.size(); ++i) {
      if (!worth[i]) continue;
      EngineNode engine{std::move(ports[i]), options_.attributes};
      LogWiring(graph_, engine.ports);
      const Status status = Build(engine);
      if (status.code() == StatusCode::kUnsupported) {
        KeepNative(i, engine.ports, status.message());
        continue;
      }
      GRAFT_RETURN_IF_ERROR(status);
      engines.push_back(std::move(engine));
    }
    GRAFT_RETURN_IF_ERROR(CheckRanges());
    {
      StageTimer timer(&report_->seconds.partition);
      GRAFT_ASSIGN_OR_RETURN(converted.graph, partition::Encapsulate(*wired_, engines, outputs_));
      std::vector<std::string> natives;
      for (const EngineNode& engine : engines)
        natives.push_back(partition::NativeSegmentName(engine.ports.engine));
      partition::ShareConstants(natives, &converted.graph);
    }
    GRAFT_RETURN_IF_ERROR(Count(engines, converted.graph));
    report_->engine_nodes = static_cast<int>(engines.size());
    report_->nodes_before = static_cast<int>(graph_.nodes.size());
    report_->nodes_after = static_cast<int>(converted.graph.nodes.size());
    WarnOf(ExportReport(options_.exports, report_->left_out));
    WarnOf(ExportPicture(options_.exports, converted.graph));
    return converted;
  }

 private:
  // Imports that show what can become engines that are built when they run, on the host, from their
  // native segments.
  Result<std::vector<importer::ImportedGraph>> FindAssumed(const Backend& backend) const {
    const partition::EngineAttributes& attributes = options_.attributes;
    if (!backend.uses_executor() || !attributes.native_segment ||
        !attributes.allow_build_at_runtime)
      return std::vector<importer::ImportedGraph>();
    return AssumeRanks(graph_, inputs_, outputs_, imported_);
  }

  void FindHeavy(std::span<const importer::ImportedGraph> assumed) {
    heavy_ = partition::HeavyNodes(imported_);
    for (const importer::ImportedGraph& other : assumed) {
      const std::vector<bool> heavy = partition::HeavyNodes(other);
      for (size_t v = 0; v < heavy.size(); ++v) heavy_[v] = heavy_[v] || heavy[v];
    }
  }

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

  Result<std::vector<SegmentPorts>> FindSegmentPorts() {
    std::vector<std::vector<int>> members;
    std::vector<std::string> names;
    std::vector<bool> copied;
    const std::string prefix = EnginePrefix(graph_, options_, clusters_.segments);
    for (const Segment& s : clusters_.segments) {
      names.push_back(fmt::format("{}{:03}", prefix, members.size()));
      members.push_back(s.nodes);
    }
    copied.reserve(candidates_.nodes.size());
    for (const partition::ClusterNode& node : candidates_.nodes) copied.push_back(node.copied);
    return partition::FindPorts(*wired_, members, copied, outputs_, names,
                                partition::InfoOf(graph_, imported_));
  }

  // Which segments become engines; the others get their reason. Whoever asks for smaller segments
  // than usual gets them, and of a model's segments the largest is always one: a small model, too,
  // is converted.
  std::vector<bool> FindWorth(const std::vector<SegmentPorts>& ports) {
    std::vector<bool> worth(ports.size(), true);
    if (options_.cluster.minimum_segment_size < partition::ClusterOptions().minimum_segment_size)
      return worth;
    const auto largest =
        std::max_element(clusters_.segments.begin(), clusters_.segments.end(),
                         [](const Segment& a, const Segment& b) { return a.size < b.size; });
    for (size_t i = 0; i < ports.size(); ++i) {
      if (clusters_.segments[i].size == largest->size) continue;
      const std::optional<std::string> reason =
          partition::WhyNotWorth(ports[i], candidates_.nodes, heavy_);
      if (!reason) continue;
      worth[i] = false;
      for (int v : ports[i].nodes) candidates_.reasons[v] = *reason;
    }
    return worth;
  }

  // A line of quant::DescribeMissing about an engine: its inputs are tensors of the graph.
  std::string InTheGraph(const std::string& line, const SegmentPorts& ports) const {
    for (size_t i = 0; i < ports.inputs.size(); ++i) {
      const std::string name = InputBindingName(static_cast<int>(i));
      if (!line.starts_with(name + " ")) continue;
      const partition::Port& port = ports.inputs[i];
      return tf::TensorName(graph_.nodes[port.node].name, port.output) + line.substr(name.size());
    }
    return line;
  }

  // A table of the whole graph knows an engine's inputs by their names there.
  void NameInputs(const SegmentPorts& ports, Int8Options& int8) const {
    if (!int8.table || options_.calibration) return;
    for (size_t i = 0; i < ports.inputs.size(); ++i) {
      const partition::Port& port = ports.inputs[i];
      const std::string tensor = tf::TensorName(graph_.nodes[port.node].name, port.output);
      if (const float* scale = int8.table->Find(tensor))
        int8.table->scales.insert(int8.table->scales.begin(),
                                  {InputBindingName(static_cast<int>(i)), *scale});
    }
  }

  // Of a table of the whole graph, what an engine needs to be built again.
  quant::CalibrationTable PartOf(const quant::CalibrationTable& table,
                                 const SegmentPorts& ports) const {
    std::set<std::string_view> nodes;
    for (const int v : ports.nodes) nodes.insert(graph_.nodes[static_cast<size_t>(v)].name);
    quant::CalibrationTable part = table;
    std::erase_if(part.scales, [&](const auto& entry) {
      const std::string_view name = entry.first;
      // Neither is in names of nodes: outputs, and entries with an index.
      return !name.starts_with("TensorRT") &&
             !nodes.contains(name.substr(0, name.find_first_of(":[")));
    });
    return part;
  }

  // That INT8 has the ranges it was promised. Without a table they are all to come from the model's
  // quantisation nodes; where some signatures have these, one that has none is no quantised
  // network: it stays in floats.
  Status CheckRanges() {
    if (options_.build.precision != Precision::kInt8 || options_.calibration) return OkStatus();
    if (options_.build.int8.table) {
      Int8Report all;
      for (const EngineSummary& engine : report_->engines) all.Add(engine.int8);
      return CheckTableIsUsed(*options_.build.int8.table, all);
    }
    std::vector<std::string> missing;
    const size_t signatures = options_.entries.size();
    if (signatures < 2) {
      for (const Ranges& r : ranges_)
        missing.insert(missing.end(), r.missing.begin(), r.missing.end());
      return quant::CheckNoneMissing(missing);
    }
    std::vector<std::vector<int>> needs(signatures);  // of the nodes, by signature
    std::vector<bool> quantised(signatures, false);
    for (size_t s = 0; s < signatures; ++s) {
      GRAFT_ASSIGN_OR_RETURN(needs[s],
                             partition::GroupByEntryPoint(*wired_, {options_.entries[s]}, {}));
      for (const Ranges& r : ranges_)
        quantised[s] = quantised[s] || (needs[s][r.node] != 0 && r.from_nodes > 0);
    }
    const bool any = std::ranges::find(quantised, true) != quantised.end();
    for (size_t s = 0; s < signatures; ++s) {
      size_t count = 0;
      for (const Ranges& r : ranges_) {
        if (needs[s][r.node] == 0) continue;
        count += r.missing.size();
        if (any && !quantised[s]) continue;
        for (const std::string& line : r.missing)
          missing.push_back(fmt::format("{}, signature {}", line, options_.entries[s].name));
      }
      if (any && !quantised[s] && count > 0)
        report_->warnings.push_back(
            fmt::format("signature {} has no quantisation nodes, and {} tensors without a range: "
                        "what reads them is computed in floats",
                        options_.entries[s].name, count));
    }
    return quant::CheckNoneMissing(missing);
  }

  Status Build(EngineNode& engine) {
    const SegmentPorts& ports = engine.ports;
    // Said whether engines are built or only counted.
    if (ports.inputs.empty())
      return UnsupportedError("Segment has no inputs (possible constfold failure)");
    std::optional<quant::CalibrationTable> table;
    if (options_.calibration) {
      const auto found = options_.calibration->find(ports.engine);
      table = found == options_.calibration->end() ? quant::CalibrationTable() : found->second;
      GRAFT_ASSIGN_OR_RETURN(engine.attributes.calibration_data, quant::ToText(*table));
    }
    if (!options_.build_engines) return OkStatus();
    if (const std::string reason = WhyLate(ports); !reason.empty()) {
      engine.attributes.static_engine = false;
      report_->late_engines.push_back({ports.engine, static_cast<int>(ports.nodes.size()), reason});
      return OkStatus();
    }
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
    if (!points_) {
      GRAFT_ASSIGN_OR_RETURN(points_, SegmentPoints::Of(imported_, options_.points,
                                                        options_.attributes.max_batch_size));
    }
    GRAFT_ASSIGN_OR_RETURN(source.points, points_->At(ports.inputs));
    BuildOptions build = options_.build;
    if (!build.dump_directory.empty()) build.dump_directory += "/" + ports.engine;
    if (table) build.int8.table = std::move(table);
    NameInputs(ports, build.int8);
    const bool is_int8 = build.precision == Precision::kInt8;
    if (is_int8 && build.int8.table && !options_.calibration) {
      GRAFT_ASSIGN_OR_RETURN(engine.attributes.calibration_data,
                             quant::ToText(PartOf(*build.int8.table, ports)));
    }
    std::vector<std::string> missing;
    build.int8.missing = &missing;
    GRAFT_ASSIGN_OR_RETURN(BuiltEngine built, BuildByTime(source, build, &report_->seconds));
    for (std::string& line : missing) line = InTheGraph(line, ports);
    ranges_.push_back({ports.nodes[0], built.int8.from_nodes, std::move(missing)});
    report_->warnings.insert(report_->warnings.end(), built.warnings.begin(), built.warnings.end());
    built.plan.provenance.model_hash = options_.model_hash;
    built.plan.provenance.options = options_.options_text;
    WarnOf(ExportEngine(options_.exports, ports.engine, built.plan));
    {
      StageTimer timer(&report_->seconds.write);
      WritePlanOptions write;
      if (!options_.embed_weights && options_.attributes.native_segment)
        write.external_name = ConstantsOf(segment, built.plan);
      GRAFT_ASSIGN_OR_RETURN(engine.attributes.serialized_segment, WritePlan(built.plan, write));
    }
    report_->engines.push_back(
        {ports.engine, static_cast<int>(ports.nodes.size()), static_cast<int>(ports.inputs.size()),
         static_cast<int>(ports.outputs.size()), engine.attributes.serialized_segment.size(),
         std::move(built.tune), std::move(built.int8), built.half_weights,
         engine.attributes.precision_mode});
    return OkStatus();
  }

  // Why the engine has to be built when it runs; empty: it can be built now.
  std::string WhyLate(const SegmentPorts& ports) const {
    const auto late = std::ranges::find_if(
        ports.nodes, [&](int v) -> bool { return candidates_.at_run_time[v]; });
    if (late == ports.nodes.end()) return "";
    for (const partition::Port& port : ports.inputs) {
      if (port.shape.unknown_rank) {
        return fmt::format("the rank of its input {} is unknown",
                           tf::TensorName(graph_.nodes[port.node].name, port.output));
      }
    }
    return fmt::format("{}: {}", graph_.nodes[*late].name, imported_.nodes[*late].reason);
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

  Status Count(const std::vector<EngineNode>& engines, const tf::GraphDef& converted) {
    std::set<std::string, std::less<>> fetched;
    for (const std::string& output : outputs_) {
      GRAFT_ASSIGN_OR_RETURN(std::string node, NodeOf(output));
      fetched.insert(std::move(node));
    }
    // What no entry point needs saves and restores variables. Who named none wants all.
    const std::vector<int> all;
    const std::vector<int>& needed = options_.entries.empty() ? all : options_.candidates.groups;
    CountOps({graph_, bodies_, fetched, needed, candidates_, dropped_, engines, converted},
             report_);
    return OkStatus();
  }

  const tf::GraphDef& graph_;
  const std::vector<importer::GraphInput>& inputs_;
  const std::vector<std::string>& outputs_;
  ConvertOptions options_;
  const Bodies bodies_;
  ConvertReport* report_ = nullptr;
  // Of an engine, for INT8.
  struct Ranges {
    int node = -1;  // one of its members
    int from_nodes = 0;
    std::vector<std::string> missing;
  };
  std::vector<Ranges> ranges_;
  importer::ImportedGraph imported_;
  std::optional<partition::WiredGraph> wired_;
  Candidates candidates_;
  std::vector<bool> heavy_;  // by node
  partition::Clusters clusters_;
  DroppedNodes dropped_;
  std::optional<SegmentPoints> points_;  // made once: each point walks the whole graph
};

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
  Bodies bodies = FindBodies(lifted);
  for (const std::string& argument : tf::Arguments(lifted)) {
    const tf::NodeDef& node = lifted_graph.nodes[static_cast<size_t>(index.Find(argument))];
    GRAFT_ASSIGN_OR_RETURN(const DType dtype, node.Attr<DType>("dtype"));
    GRAFT_ASSIGN_OR_RETURN(const tf::Shape shape, node.Attr<tf::Shape>("shape"));
    inputs.push_back({argument, dtype, shape});
    for (std::vector<Dims>& point : options.points) point.push_back(shape.dims);
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
