#include "convert/convert_model.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "convert/build_by_time.h"
#include "convert/input_defaults.h"
#include "plan/plan_file.h"
#include "runtime/backend_table.h"
#include "tf/opdefs.h"
#include "tf/weights_file.h"

namespace graft::convert {
namespace {

// Not getrusage: its maximum is inherited from the process that started this one.
int64_t PeakResidentBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string field; status >> field;) {
    if (int64_t kilobytes = 0; field == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

bool Names(const tf::Endpoint& endpoint, const std::string& name) {
  return name == endpoint.key || name == endpoint.tensor || name == endpoint.tensor + ":0" ||
         name + ":0" == endpoint.tensor;
}

// One vector of input dimensions for each tuning point; what is not given is the model's own.
Result<std::vector<std::vector<Dims>>> Points(
    const std::vector<tf::Endpoint>& inputs,
    const std::vector<std::map<std::string, Dims>>& shapes) {
  std::vector<std::vector<Dims>> points;
  for (const auto& given : shapes) {
    std::vector<Dims> point;
    for (const tf::Endpoint& input : inputs) point.push_back(input.shape.dims);
    for (const auto& [name, dims] : given) {
      int at = name.empty() && inputs.size() == 1 ? 0 : -1;
      for (size_t i = 0; i < inputs.size(); ++i) {
        if (Names(inputs[i], name)) at = static_cast<int>(i);
      }
      if (at < 0) {
        std::vector<std::string> keys;
        for (const tf::Endpoint& input : inputs) keys.push_back(input.key);
        return InvalidArgumentError("--shapes: there is no input '{}'; the inputs are {}", name,
                                    fmt::join(keys, ", "));
      }
      point[at] = dims;
    }
    points.push_back(std::move(point));
  }
  return points;
}

importer::GraphInput ToGraphInput(const tf::Endpoint& endpoint) {
  return {endpoint.tensor, endpoint.dtype, endpoint.shape};
}

partition::EntryPoint EntryPointOf(const std::string& key, const tf::Signature& signature) {
  partition::EntryPoint entry;
  entry.name = key;
  for (const auto& [from, to] : {std::pair(&signature.inputs, &entry.inputs),
                                 std::pair(&signature.outputs, &entry.outputs)}) {
    for (const auto& [key, info] : *from) {
      for (const tf::Endpoint& e : tf::EndpointsOf(key, info)) to->push_back(tf::NodeOf(e.tensor));
    }
  }
  return entry;
}

// The tensors that the names mean, of ops that have any and are fed by no caller.
Result<std::vector<std::string>> ResultsOf(const tf::GraphDef& graph,
                                           const std::vector<std::string>& names) {
  GRAFT_ASSIGN_OR_RETURN(const tf::NodeIndex index, tf::NodeIndex::Of(graph.nodes));
  std::vector<std::string> tensors;
  for (const std::string& name : names) {
    GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(name));
    const int v = index.Find(ref.node);
    if (v < 0) continue;
    const tf::NodeDef& node = graph.nodes[static_cast<size_t>(v)];
    if (node.op.starts_with("Placeholder") || tf::FindOp(node.op) == nullptr) continue;
    GRAFT_ASSIGN_OR_RETURN(const std::vector<DType> types, tf::OutputTypes(node));
    if (static_cast<size_t>(ref.index) < types.size())
      tensors.push_back(tf::TensorName(node.name, ref.index));
  }
  return tensors;
}

// What is written must not take the place of what is read.
Status CheckNotOverItself(const ModelOptions& options) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  for (const std::string& written : {options.plan, options.output}) {
    for (const fs::path& read :
         {fs::path(options.model.path), fs::path(options.model.path) / "saved_model.pb"}) {
      if (!written.empty() && fs::equivalent(written, read, ignored))
        return InvalidArgumentError("{}: a model cannot be written over itself", written);
    }
  }
  return OkStatus();
}

class ModelConverter {
 public:
  explicit ModelConverter(const ModelOptions& options)
      : options_(options), convert_(options.convert) {}

  Result<ModelReport> Run() {
    GRAFT_RETURN_IF_ERROR(CheckNotOverItself(options_));
    GRAFT_ASSIGN_OR_RETURN(const Backend* const backend,
                           FindBackend(convert_.build.backend, convert_.build.device));
    GRAFT_RETURN_IF_ERROR(CheckPrecision(convert_.build.precision, *backend));
    double read_seconds = 0;
    {
      StageTimer timer(&read_seconds);
      tf::ModelSpec spec = options_.model;
      spec.tidy = convert_.tidy;
      GRAFT_ASSIGN_OR_RETURN(model_, tf::LoadModel(spec));
    }
    for (const tf::KeptVariable& variable : model_.freezing.kept)
      report_.warnings.push_back(
          fmt::format("variable {} is not frozen: {}", variable.node, variable.reason));
    for (const std::string& warning : model_.warnings) report_.warnings.push_back(warning);
    convert_.model_hash = ToHex(model_.content_hash);
    GRAFT_ASSIGN_OR_RETURN(points_, Points(model_.inputs, options_.shapes));
    const bool plan = !options_.plan.empty();
    if (plan) GRAFT_RETURN_IF_ERROR(ImportForThePlan());
    // Where no graph is written, its report is made of what was imported for the plan, which then
    // takes it. A graph that is written comes last: the plan has more reasons to fail.
    const bool plan_first = plan && !options_.output.empty();
    if (plan_first) GRAFT_RETURN_IF_ERROR(WriteThePlan());
    GRAFT_RETURN_IF_ERROR(ConvertTheGraph());
    if (plan && !plan_first) GRAFT_RETURN_IF_ERROR(WriteThePlan());
    StageTimes& seconds = report_.convert.seconds;
    seconds.read = read_seconds;
    seconds.import += plan_seconds_.import;
    seconds.passes += plan_seconds_.passes;
    seconds.tune += plan_seconds_.tune;
    seconds.write += plan_seconds_.write;
    if (Status status = convert_.build.cache->Flush(); !status.ok())
      report_.warnings.push_back(status.message());
    report_.peak_rss_bytes = PeakResidentBytes();
    return std::move(report_);
  }

 private:
  Status ImportForThePlan() {
    StageTimer timer(&plan_seconds_.import);
    source_.graph = &model_.graph;
    for (const tf::Endpoint& input : model_.inputs) {
      source_.inputs.push_back(ToGraphInput(input));
      source_.input_names.push_back(input.key);
    }
    for (const tf::Endpoint& output : model_.outputs) {
      source_.outputs.push_back(output.tensor);
      source_.output_names.push_back(output.key);
    }
    source_.points = points_;
    std::vector<std::string> tensors;
    for (const tf::Endpoint& input : model_.inputs) tensors.push_back(input.tensor);
    GRAFT_ASSIGN_OR_RETURN(defaults_, InputDefaults(model_.graph, tensors));
    GRAFT_ASSIGN_OR_RETURN(
        imported_,
        importer::ImportGraph(model_.graph, source_.inputs, source_.outputs,
                              {.take_defaults = true, .evaluate = ReferenceEvaluator()}));
    source_.imported = &*imported_;
    return OkStatus();
  }

  Status WriteThePlan() {
    std::vector<std::string> denied;
    for (const tf::NodeDef& node : model_.graph.nodes) {
      if (convert_.candidates.denied_nodes.contains(node.name)) {
        denied.push_back(fmt::format("{} ({})", node.name, node.op));
      }
    }
    if (!denied.empty()) {
      return UnsupportedError("a plan needs the whole model, but these nodes are denied: {}",
                              fmt::join(denied, ", "));
    }
    Result<BuiltEngine> built = BuildByTime(source_, convert_.build, &plan_seconds_);
    if (!built.ok()) {
      return built.status().code() == StatusCode::kUnsupported
                 ? built.status().WithContext(
                       "a plan needs the whole model (--output works with parts of it)")
                 : built.status();
    }
    report_.warnings.insert(report_.warnings.end(), built->warnings.begin(), built->warnings.end());
    if (const auto& table = convert_.build.int8.table)
      GRAFT_RETURN_IF_ERROR(CheckTableIsUsed(*table, built->int8));
    report_.plan_int8 = std::move(built->int8);
    report_.plan_half_weights = built->half_weights;
    // One that a narrowed input does not take is none.
    for (size_t i = 0; i < defaults_.size(); ++i) {
      if (defaults_[i].valid() && !FitsInput(built->plan.module, i, defaults_[i]).ok())
        defaults_[i] = Tensor();
    }
    built->plan.input_defaults = std::move(defaults_);
    built->plan.provenance.model_hash = convert_.model_hash;
    built->plan.provenance.options = convert_.options_text;
    {
      StageTimer timer(&plan_seconds_.write);
      if (options_.packed) GRAFT_RETURN_IF_ERROR(Pack(built->plan));
      GRAFT_ASSIGN_OR_RETURN(report_.plan_bytes, WritePlanFile(built->plan, options_.plan));
    }
    report_.plan_tune = std::move(built->tune);
    return OkStatus();
  }

  Status Pack(Plan& plan) {
    GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(plan.backend));
    const std::unique_ptr<Executor> executor = MakeTbbExecutor(convert_.build.threads);
    GRAFT_ASSIGN_OR_RETURN(report_.packed, PackPlan(plan, *backend, *executor));
    return OkStatus();
  }

  // All inputs and outputs of the tag's signatures, since the written model serves all of them.
  Status ConvertTheGraph() {
    std::vector<importer::GraphInput> inputs;
    std::vector<std::string> outputs;
    std::set<std::string> known_inputs, known_outputs;
    auto add_input = [&](const std::string& tensor, DType dtype, const tf::Shape& shape) {
      if (!tensor.empty() && known_inputs.insert(tensor).second)
        inputs.push_back({tensor, dtype, shape});
    };
    auto add_output = [&](const std::string& tensor) {
      if (!tensor.empty() && known_outputs.insert(tensor).second) outputs.push_back(tensor);
    };
    // The chosen signature first: the tuning points are in its order.
    for (const tf::Endpoint& input : model_.inputs)
      add_input(input.tensor, input.dtype, input.shape);
    for (const tf::Endpoint& output : model_.outputs) add_output(output.tensor);
    const bool whole = options_.output.size() && !options_.output.ends_with(".pb");
    const tf::GraphDef& graph = whole ? model_.whole.graph : model_.graph;
    if (whole) {
      for (const auto& [key, signature] : model_.whole.signatures) {
        for (const auto& [name, info] : signature.inputs) {
          for (const tf::Endpoint& e : tf::EndpointsOf(name, info))
            add_input(e.tensor, e.dtype, e.shape);
        }
        for (const auto& [name, info] : signature.outputs) {
          for (const tf::Endpoint& e : tf::EndpointsOf(name, info)) add_output(e.tensor);
        }
        convert_.entries.push_back(EntryPointOf(key, signature));
      }
      // What collections name can be asked for as before.
      GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> collected,
                             ResultsOf(graph, tf::CollectedNodes(model_.whole)));
      for (const std::string& tensor : collected) add_output(tensor);
    }
    // The plan is made of the same, unless a tensor has several names there.
    if (imported_ && options_.output.empty() && inputs.size() == model_.inputs.size() &&
        outputs.size() == model_.outputs.size())
      convert_.imported = &*imported_;
    convert_.points = points_;
    for (std::vector<Dims>& point : convert_.points) {
      for (size_t i = point.size(); i < inputs.size(); ++i) point.push_back(inputs[i].shape.dims);
    }
    // INT8 knows what it lacks once engines are built, if only to be counted.
    const bool nothing_written = options_.output.empty() && options_.plan.empty();
    const bool built_to_count = nothing_written && convert_.build.precision == Precision::kInt8;
    if (built_to_count) convert_.build.opt_level = 0;
    convert_.build_engines = convert_.build_engines && (!options_.output.empty() || built_to_count);
    GRAFT_ASSIGN_OR_RETURN(ConvertedGraph converted,
                           ConvertGraph(graph, inputs, outputs, convert_));
    report_.convert = std::move(converted.report);
    report_.convert.removed_checks = model_.tidying.removed;
    StageTimer timer(&report_.convert.seconds.write);
    if (whole) {
      tf::MetaGraph meta = model_.whole;
      meta.graph = std::move(converted.graph);
      if (!convert_.weights_in_graph) GRAFT_RETURN_IF_ERROR(tf::MoveWeightsToFile(&meta));
      GRAFT_RETURN_IF_ERROR(tf::WriteSavedModel(meta, model_.files, options_.output));
    } else if (!options_.output.empty()) {
      GRAFT_ASSIGN_OR_RETURN(const std::string bytes, tf::SerializeGraphDef(converted.graph));
      GRAFT_RETURN_IF_ERROR(WriteFileAtomically(options_.output, bytes));
    }
    return OkStatus();
  }

  const ModelOptions& options_;
  ConvertOptions convert_;
  tf::LoadedModel model_;
  std::vector<std::vector<Dims>> points_;
  EngineSource source_;                              // of the plan
  std::vector<Tensor> defaults_;                     // of its inputs
  std::optional<importer::ImportedGraph> imported_;  // for it
  StageTimes plan_seconds_;
  ModelReport report_;
};

}  // namespace

Result<ModelReport> ConvertModel(const ModelOptions& options) {
  return ModelConverter(options).Run();
}

namespace {

nlohmann::ordered_json Tactics(const TuneReport& tune) {
  nlohmann::ordered_json json = {{"tactics_measured", tune.measured},
                                 {"tactics_remembered", tune.remembered},
                                 {"tactics_estimated", tune.estimated},
                                 {"regions", nlohmann::ordered_json::array()}};
  for (const RegionReport& region : tune.regions) {
    nlohmann::ordered_json bodies = nlohmann::ordered_json::object();
    // Infinity, for a body that cannot run, becomes null.
    for (const RegionReport::BodyTime& body : region.bodies) bodies[body.name] = body.microseconds;
    json["regions"].push_back({{"pass", region.region},
                               {"node", region.node},
                               {"chosen", region.bodies[region.chosen].name},
                               {"measured", region.measured},
                               {"microseconds", std::move(bodies)}});
  }
  return json;
}

nlohmann::ordered_json Int8(const Int8Report& report) {
  nlohmann::ordered_json json = {{"products", report.layers.size()},
                                 {"on_integers", report.integers()},
                                 {"ranges_from_table", report.from_table},
                                 {"ranges_from_nodes", report.from_nodes},
                                 {"in_floats", nlohmann::ordered_json::array()}};
  for (const Int8Layer& layer : report.layers) {
    if (!layer.integers)
      json["in_floats"].push_back({{"node", layer.node}, {"reason", layer.reason}});
  }
  return json;
}

nlohmann::ordered_json Precisions(const PrecisionReport& report) {
  // Infinity, where nothing is on integers, becomes null.
  nlohmann::ordered_json json = {{"wanted_sqnr", report.wanted_sqnr},
                                 {"integers_sqnr", report.integers_sqnr},
                                 {"sqnr", report.sqnr},
                                 {"microseconds", report.microseconds},
                                 {"float_microseconds", report.float_microseconds},
                                 {"integers", report.integers},
                                 {"halves", report.halves},
                                 {"half_microseconds", report.half_microseconds},
                                 {"layers", nlohmann::ordered_json::array()}};
  if (report.top_1) {
    json["top_1"] = {{"floats", report.top_1->floats},
                     {"integers", report.top_1->integers},
                     {"chosen", report.top_1->chosen},
                     {"most_drop", report.top_1->most_drop}};
  }
  for (const LayerPrecision& layer : report.layers) {
    json["layers"].push_back({{"node", layer.node}, {"integers", layer.integers()}});
    nlohmann::ordered_json& made = json["layers"].back();
    if (!layer.integers())
      made["reason"] = layer.in_floats == FloatReason::kTime ? "time" : "accuracy";
    if (layer.sqnr != 0) made["sqnr"] = layer.sqnr;
    if (layer.microseconds > 0) {
      made["microseconds"] = layer.microseconds;
      made["float_microseconds"] = layer.float_microseconds;
    }
  }
  return json;
}

}  // namespace

std::string ToJson(const PrecisionReport& report) { return Precisions(report).dump(2) + "\n"; }

std::string ToJson(const ModelReport& report) {
  const ConvertReport& r = report.convert;
  const StageTimes& s = r.seconds;
  nlohmann::ordered_json json = {
      {"schema", 1},
      {"nodes_before", r.nodes_before},
      {"nodes_after", r.nodes_after},
      {"candidate_segments", r.candidate_segments},
      {"engines", r.engine_nodes},
      {"total_ops", r.total_ops},
      {"converted_ops", r.converted_ops},
      {"function_ops", r.function_ops},
      {"converted_function_ops", r.converted_function_ops},
      {"removed_checks", nlohmann::ordered_json::object()},
      {"unconverted", nlohmann::ordered_json::array()},
      {"seconds",
       {{"read", s.read},
        {"import", s.import},
        {"passes", s.passes},
        {"partition", s.partition},
        {"tune", s.tune},
        {"write", s.write},
        {"total", s.read + s.import + s.passes + s.partition + s.tune + s.write}}},
      {"peak_rss_bytes", report.peak_rss_bytes},
      {"plan_bytes", report.plan_bytes},
  };
  if (report.plan_bytes > 0) {
    json["plan"] = Tactics(report.plan_tune);
    if (!report.plan_int8.layers.empty()) json["plan"]["int8"] = Int8(report.plan_int8);
    if (report.packed) json["plan"]["packed_bytes"] = report.packed->bytes;
    if (report.plan_half_weights > 0) json["plan"]["half_weights"] = report.plan_half_weights;
  }
  if (report.precision) json["precision"] = Precisions(*report.precision);
  for (const auto& [op, count] : r.removed_checks) json["removed_checks"][op] = count;
  for (const partition::LeftOut& node : r.unconverted) {
    json["unconverted"].push_back({{"op", node.op}, {"name", node.name}, {"reason", node.reason}});
    if (node.in_function) json["unconverted"].back()["in_function"] = true;
  }
  for (const EngineSummary& e : r.engines) {
    json["engine_list"].push_back({{"name", e.name},
                                   {"nodes", e.nodes},
                                   {"inputs", e.inputs},
                                   {"outputs", e.outputs},
                                   {"precision_mode", e.precision_mode},
                                   {"plan_bytes", e.plan_bytes}});
    json["engine_list"].back().update(Tactics(e.tune));
    if (!e.int8.layers.empty()) json["engine_list"].back()["int8"] = Int8(e.int8);
    if (e.half_weights > 0) json["engine_list"].back()["half_weights"] = e.half_weights;
  }
  for (const LateEngine& e : r.late_engines)
    json["late_engines"].push_back({{"name", e.name}, {"nodes", e.nodes}, {"reason", e.reason}});
  return json.dump(2) + "\n";
}

}  // namespace graft::convert
