#include "convert/convert_bytes.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/log.h"
#include "convert/build_by_time.h"
#include "convert/convert_model.h"
#include "convert/environment.h"
#include "convert/external_weights.h"
#include "convert/precision_choice.h"
#include "convert/segment_graph.h"
#include "plan/plan_file.h"
#include "runtime/backend_table.h"
#include "tf/endpoint.h"
#include "tf/inline.h"
#include "tf/lift.h"
#include "tf/opdefs.h"
#include "tf/prune.h"
#include "tf/tidy.h"

namespace graft::convert {
namespace {

using Json = nlohmann::json;

// TF-TRT's default, which its users know; `graft convert` has none.
constexpr int kMaximumSegments = 20;

// Reads an options object; what nobody asked for is an error, so that a misspelt option does not
// pass in silence.
class Options {
 public:
  static Result<Options> Parse(const std::string& text) {
    Options options;
    options.json_ = Json::parse(text.empty() ? "{}" : text, nullptr, /*allow_exceptions=*/false);
    if (!options.json_.is_object()) return InvalidArgumentError("the options are no JSON object");
    return options;
  }
  bool Has(const char* key) const { return json_.contains(key); }
  void Read(const char* key, bool* value) { ReadIf(key, &Json::is_boolean, value); }
  void Read(const char* key, int* value) { ReadIf(key, &Json::is_number_integer, value); }
  void Read(const char* key, int64_t* value) { ReadIf(key, &Json::is_number_integer, value); }
  void Read(const char* key, double* value) { ReadIf(key, &Json::is_number, value); }
  void Read(const char* key, std::vector<int64_t>* values) {
    const Json* list = Take(key);
    if (list == nullptr) return;
    if (!list->is_array() || !std::ranges::all_of(*list, &Json::is_number_integer)) return Bad(key);
    *values = list->get<std::vector<int64_t>>();
  }
  void Read(const char* key, std::string* value) { ReadIf(key, &Json::is_string, value); }
  void Read(const char* key, std::vector<std::string>* values) {
    const Json* list = Take(key);
    if (list == nullptr) return;
    if (!list->is_array()) return Bad(key);
    for (const Json& item : *list) {
      if (!item.is_string()) return Bad(key);
      values->push_back(item.get<std::string>());
    }
  }
  void Read(const char* key, std::set<std::string>* values) {
    std::vector<std::string> list;
    Read(key, &list);
    values->insert(list.begin(), list.end());
  }
  void ReadInputs(const char* key, std::vector<importer::GraphInput>* inputs) {
    const Json* list = Take(key);
    if (list == nullptr) return;
    if (!list->is_array()) return Bad(key);
    for (const Json& item : *list) {
      if (!item.is_object() || !item.contains("tensor") || !item["tensor"].is_string() ||
          !item.contains("dtype") || !item["dtype"].is_number_integer()) {
        return Bad(key);
      }
      const Result<DType> dtype = tf::ParseDTypeNumber(item["dtype"].get<int64_t>());
      if (!dtype.ok()) return Bad(key);
      importer::GraphInput input{item["tensor"].get<std::string>(), *dtype, tf::Shape::Unknown()};
      if (item.contains("dims") && item["dims"].is_array()) {
        input.shape.unknown_rank = false;
        for (const Json& d : item["dims"]) {
          if (!d.is_number_integer()) return Bad(key);
          input.shape.dims.push_back(d.get<int64_t>());
        }
      }
      inputs->push_back(std::move(input));
    }
  }
  void Read(const char* key, std::vector<std::map<std::string, Dims>>* points) {
    const Json* list = Take(key);
    if (list == nullptr) return;
    if (!list->is_array()) return Bad(key);
    for (const Json& point : *list) {
      if (!point.is_object()) return Bad(key);
      std::map<std::string, Dims>& inputs = points->emplace_back();
      for (const auto& [name, dims] : point.items()) {
        if (!dims.is_array() || !std::ranges::all_of(dims, &Json::is_number_integer))
          return Bad(key);
        inputs[name] = dims.get<Dims>();
      }
    }
  }
  // null where nothing is known, -1 for a dimension that is not.
  void Read(const char* key, std::vector<tf::Shape>* shapes) {
    const Json* list = Take(key);
    if (list == nullptr) return;
    if (!list->is_array()) return Bad(key);
    for (const Json& dims : *list) {
      tf::Shape& shape = shapes->emplace_back(tf::Shape::Unknown());
      if (dims.is_null()) continue;
      if (!dims.is_array() || !std::ranges::all_of(dims, &Json::is_number_integer)) return Bad(key);
      shape = {.dims = dims.get<Dims>()};
    }
  }
  void Read(const char* key, std::map<std::string, std::string>* values) {
    const Json* map = Take(key);
    if (map == nullptr) return;
    if (!map->is_object()) return Bad(key);
    for (const auto& [name, value] : map->items()) {
      if (!value.is_string()) return Bad(key);
      (*values)[name] = value.get<std::string>();
    }
  }
  Status Done() const {
    if (!status_.ok()) return status_;
    for (const auto& [key, value] : json_.items()) {
      if (!taken_.contains(key)) return InvalidArgumentError("option '{}' is not known", key);
    }
    return OkStatus();
  }

 private:
  const Json* Take(const char* key) {
    taken_.insert(key);
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }
  template <class T>
  void ReadIf(const char* key, bool (Json::*is)() const noexcept, T* value) {
    const Json* item = Take(key);
    if (item == nullptr) return;
    if (!(item->*is)()) return Bad(key);
    *value = item->get<T>();
  }
  void Bad(const char* key) {
    if (status_.ok())
      status_ = InvalidArgumentError("option '{}' has a value of the wrong type", key);
  }

  Json json_;
  std::set<std::string> taken_;
  Status status_;
};

std::string WithReports(const ModelReport& report, bool detailed) {
  Json json = Json::parse(ToJson(report));
  json["old_report"] = partition::OldReport(report.convert.left_out);
  json["new_report"] = partition::NewReport(report.convert.left_out, detailed);
  std::vector<std::string> warnings = report.warnings;
  warnings.insert(warnings.end(), report.convert.warnings.begin(), report.convert.warnings.end());
  json["warnings"] = std::move(warnings);
  return json.dump();
}

// The nodes that nothing reads, but checks that are stripped.
Result<std::vector<std::string>> UnreadNodes(const tf::GraphDef& graph, bool keep_asserts) {
  std::set<std::string, std::less<>> read;
  for (const tf::NodeDef& node : graph.nodes) {
    for (const std::string& input : node.inputs) {
      GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(input));
      read.emplace(ref.node);
    }
  }
  std::vector<std::string> unread;
  for (const tf::NodeDef& node : graph.nodes) {
    if ((keep_asserts || node.op != "Assert") && !read.contains(node.name))
      unread.push_back(node.name);
  }
  return unread;
}

struct Request {
  std::vector<importer::GraphInput> inputs;
  std::vector<std::string> outputs;
  std::vector<std::map<std::string, Dims>> shapes;
  tf::ModelSpec model;                  // of ConvertModelFile
  std::vector<tf::Shape> input_shapes;  // of a segment's arguments
  ConvertOptions convert;
  std::string cache_path = TimingCache::DefaultPath();
};

// Further ones, of a calibration.
struct CalibrationRequest {
  int keep_batches = 0;
  AccuracyGoal goal;
};

Result<Request> ReadRequest(const std::string& options_json,
                            CalibrationRequest* calibration = nullptr) {
  GRAFT_ASSIGN_OR_RETURN(Options options, Options::Parse(options_json));
  Request r;
  ConvertOptions& c = r.convert;
  partition::EngineAttributes& a = c.attributes;
  c.cluster.maximum_segments = kMaximumSegments;
  GRAFT_RETURN_IF_ERROR(ApplyEnvironment(&c));
  options.ReadInputs("inputs", &r.inputs);
  options.Read("outputs", &r.outputs);
  options.Read("shapes", &r.shapes);
  options.Read("input-shapes", &r.input_shapes);
  if (options.Has("tags")) r.model.tags.clear();
  options.Read("tags", &r.model.tags);
  options.Read("signature", &r.model.signature);
  options.Read("only-signature", &r.model.only_signature);
  options.Read("deny", &c.candidates.denied_nodes);
  options.Read("deny-ops", &c.candidates.denied_ops);
  options.Read("backend", &c.build.backend);
  options.Read("threads", &c.build.threads);
  options.Read("opt-level", &c.build.opt_level);
  options.Read("minimum-segment-size", &c.cluster.minimum_segment_size);
  options.Read("maximum-engines", &c.cluster.maximum_segments);
  options.Read("keep-asserts", &c.tidy.keep_asserts);
  options.Read("graph-number", &c.graph_number);
  options.Read("embed-weights", &c.embed_weights);
  options.Read("weights-in-graph", &c.weights_in_graph);
  options.Read("timing-cache", &r.cache_path);
  options.Read("precision-mode", &a.precision_mode);
  options.Read("max-workspace-size-bytes", &a.workspace_size_bytes);
  c.build.max_workspace_bytes = static_cast<size_t>(std::max<int64_t>(a.workspace_size_bytes, 0));
  options.Read("maximum-cached-engines", &a.max_cached_engines_count);
  options.Read("max-batch-size", &a.max_batch_size);
  options.Read("profile-strategy", &a.profile_strategy);
  options.Read("use-calibration", &a.use_calibration);
  options.Read("use-implicit-batch", &a.use_implicit_batch);
  options.Read("static-engine", &a.static_engine);
  options.Read("build-engines", &c.build_engines);
  options.Read("allow-build-at-runtime", &a.allow_build_at_runtime);
  options.Read("native-segments", &a.native_segment);
  const bool is_calibrated = options.Has("calibration-tables");
  std::map<std::string, std::string> tables;
  options.Read("calibration-tables", &tables);
  if (calibration != nullptr) {
    AccuracyGoal& goal = calibration->goal;
    options.Read("keep-batches", &calibration->keep_batches);
    options.Read("least-sqnr", &goal.least_sqnr);
    options.Read("labels", &goal.labels);
    options.Read("max-drop", &goal.most_drop);
    options.Read("scores", &goal.scores);
  }
  GRAFT_RETURN_IF_ERROR(options.Done());
  GRAFT_ASSIGN_OR_RETURN(c.build.precision, ParsePrecision(a.precision_mode));
  a.precision_mode = Name(c.build.precision);
  GRAFT_ASSIGN_OR_RETURN(const Backend* const backend,
                         FindBackend(c.build.backend, c.build.device));
  GRAFT_RETURN_IF_ERROR(CheckPrecision(c.build.precision, *backend));
  if (c.build.precision == Precision::kInt8) {
    if (is_calibrated) {
      c.calibration.emplace();
      for (const auto& [engine, text] : tables) {
        GRAFT_ASSIGN_OR_RETURN((*c.calibration)[engine], quant::ParseCalibrationTable(text));
      }
    }
    // Waiting for it, they are not built.
    c.build_engines = is_calibrated || !a.use_calibration;
  } else if (is_calibrated) {
    return InvalidArgumentError("option 'calibration-tables' is for INT8");
  }
  if (!a.static_engine) c.build_engines = false;
  return r;
}

// The tuning points, from the dimensions of inputs by their tensors' names.
Result<std::vector<std::vector<Dims>>> PointsOf(
    const std::vector<std::map<std::string, Dims>>& shapes,
    const std::vector<importer::GraphInput>& inputs) {
  std::vector<std::vector<Dims>> points;
  for (const std::map<std::string, Dims>& given : shapes) {
    std::vector<Dims>& point = points.emplace_back();
    for (const importer::GraphInput& input : inputs) point.push_back(input.shape.dims);
    for (const auto& [name, dims] : given) {
      const auto input =
          std::ranges::find(inputs, tf::CanonicalTensor(name), &importer::GraphInput::tensor);
      if (input == inputs.end()) return InvalidArgumentError("shapes: no input is '{}'", name);
      point[static_cast<size_t>(input - inputs.begin())] = dims;
    }
  }
  return points;
}

// What freezing and inlining leave in a graph is tidied as in a model that is read from files, and
// what `roots` do not need is pruned.
Result<tf::TidyReport> TidyAndPrune(const std::vector<std::string>& roots,
                                    const tf::TidyOptions& options, tf::GraphDef* graph) {
  const tf::LiftedNodes lifted = tf::LiftBodies(roots, graph);
  tf::TidyReport report = tf::Tidy(options, lifted, graph);
  GRAFT_RETURN_IF_ERROR(tf::LowerBodies(lifted, graph));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> needed, tf::Needed(*graph, roots));
  tf::Prune(needed, graph);
  tf::DropDanglingColocation(graph);
  return report;
}

}  // namespace

Result<ConvertedBytes> ConvertGraphDefBytes(const FileBytes& graph_def,
                                            const std::string& options_json) {
  GRAFT_ASSIGN_OR_RETURN(Request request, ReadRequest(options_json));
  GRAFT_ASSIGN_OR_RETURN(tf::GraphDef graph, tf::ParseGraphDef(graph_def));
  tf::AddDefaultAttrs(&graph);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<tf::KeptCall> kept, tf::InlineCalls(&graph));
  for (importer::GraphInput& input : request.inputs)
    input.tensor = tf::CanonicalTensor(input.tensor);
  for (std::string& output : request.outputs) output = tf::CanonicalTensor(output);
  std::vector<std::string> roots;
  if (request.inputs.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<tf::Endpoint> inputs, tf::DefaultInputs(graph));
    for (const tf::Endpoint& e : inputs) request.inputs.push_back({e.tensor, e.dtype, e.shape});
    // Those that nobody reads are no inputs, but a caller may feed them.
    for (const tf::NodeDef& node : graph.nodes) {
      if (node.op == "Placeholder") roots.push_back(node.name);
    }
  }
  if (request.outputs.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<tf::Endpoint> outputs, tf::DefaultOutputs(graph));
    for (const tf::Endpoint& e : outputs) request.outputs.push_back(e.tensor);
    GRAFT_ASSIGN_OR_RETURN(std::vector<std::string> unread,
                           UnreadNodes(graph, request.convert.tidy.keep_asserts));
    roots.insert(roots.end(), unread.begin(), unread.end());
  }
  GRAFT_ASSIGN_OR_RETURN(const tf::NodeIndex index, tf::NodeIndex::Of(graph.nodes));
  for (const std::string& name : request.convert.candidates.denied_nodes) {
    if (index.Find(name) >= 0) roots.push_back(name);
  }
  std::vector<std::string> tensors = request.outputs;
  for (const importer::GraphInput& input : request.inputs) tensors.push_back(input.tensor);
  for (const std::string& tensor : tensors) {
    GRAFT_ASSIGN_OR_RETURN(const tf::TensorRef ref, tf::ParseTensorName(tensor));
    roots.emplace_back(ref.node);
  }
  GRAFT_ASSIGN_OR_RETURN(tf::TidyReport tidying, TidyAndPrune(roots, request.convert.tidy, &graph));
  GRAFT_ASSIGN_OR_RETURN(request.convert.points, PointsOf(request.shapes, request.inputs));
  std::unique_ptr<TimingCache> cache = TimingCache::Open(request.cache_path);
  request.convert.build.cache = cache.get();
  request.convert.model_hash = ToHex(HashBytes(graph_def.view()));
  GRAFT_ASSIGN_OR_RETURN(ConvertedGraph converted,
                         ConvertGraph(graph, request.inputs, request.outputs, request.convert));
  ModelReport report;
  report.convert = std::move(converted.report);
  report.convert.removed_checks = std::move(tidying.removed);
  for (const tf::KeptCall& call : kept) {
    report.convert.warnings.push_back(
        fmt::format("{}: the call of {} stays: {}", call.node, call.function, call.reason));
  }
  if (Status status = cache->Flush(); !status.ok())
    report.convert.warnings.push_back(status.message());
  ConvertedBytes bytes;
  GRAFT_ASSIGN_OR_RETURN(bytes.graph_def, tf::SerializeGraphDef(converted.graph));
  bytes.report = WithReports(report, request.convert.detailed_report);
  return bytes;
}

Result<std::string> ConvertModelFile(const std::string& path, const std::string& output,
                                     const std::string& options_json) {
  GRAFT_ASSIGN_OR_RETURN(Request request, ReadRequest(options_json));
  ModelOptions options;
  options.model = std::move(request.model);
  options.model.path = path;
  for (const importer::GraphInput& input : request.inputs)
    options.model.inputs.push_back(input.tensor);
  options.model.outputs = std::move(request.outputs);
  options.convert = std::move(request.convert);
  options.output = output;
  options.shapes = std::move(request.shapes);
  std::unique_ptr<TimingCache> cache = TimingCache::Open(request.cache_path);
  options.convert.build.cache = cache.get();
  GRAFT_ASSIGN_OR_RETURN(const ModelReport report, ConvertModel(options));
  return WithReports(report, options.convert.detailed_report);
}

namespace {

struct SegmentSource {
  std::string name;  // of the function
  tf::GraphDef graph;
  EngineSource source;  // of it
};

// Gives the arguments of the first call the sizes that all calls have.
Status KeepKnownSizes(const std::vector<tf::Shape>& known,
                      std::vector<importer::GraphInput>* arguments) {
  if (!known.empty() && known.size() != arguments->size())
    return InvalidArgumentError("{} input-shapes for {} arguments", known.size(),
                                arguments->size());
  for (size_t i = 0; i < arguments->size(); ++i) {
    Dims& dims = (*arguments)[i].shape.dims;
    if (known.empty() || known[i].unknown_rank) {
      dims.assign(dims.size(), -1);
      continue;
    }
    const bool fits = std::ranges::equal(
        known[i].dims, dims, [](int64_t all, int64_t first) { return all < 0 || all == first; });
    if (!fits) {
      return InvalidArgumentError("argument {} is {}, but input-shapes say {}", i,
                                  ToString((*arguments)[i].shape), ToString(known[i]));
    }
    dims = known[i].dims;
  }
  return OkStatus();
}

Result<std::unique_ptr<SegmentSource>> MakeSegmentSource(
    const FileBytes& function_def, std::vector<importer::GraphInput> arguments,
    const std::vector<tf::Shape>& input_shapes) {
  GRAFT_ASSIGN_OR_RETURN(tf::FunctionDef function, tf::ParseFunctionDef(function_def));
  auto made = std::make_unique<SegmentSource>();
  made->name = function.signature.name;
  EngineSource& source = made->source;
  std::vector<Dims>& point = source.points.emplace_back();
  for (const importer::GraphInput& argument : arguments) point.push_back(argument.shape.dims);
  GRAFT_RETURN_IF_ERROR(KeepKnownSizes(input_shapes, &arguments));
  GRAFT_ASSIGN_OR_RETURN(SegmentGraph segment,
                         SegmentGraphOf(std::move(function), std::move(arguments)));
  made->graph = std::move(segment.graph);
  source.graph = &made->graph;
  source.inputs = std::move(segment.inputs);
  source.outputs = std::move(segment.outputs);
  for (const importer::GraphInput& input : source.inputs)
    source.input_names.push_back(input.tensor);
  for (size_t i = 0; i < source.outputs.size(); ++i)
    source.output_names.push_back(OutputBindingName(static_cast<int>(i)));
  return made;
}

// Names as they are in the graph that the segment was cut out of, of those where its function is
// called, and the other way round.
quant::CalibrationTable OutsideOfTheCall(quant::CalibrationTable table) {
  for (auto& [name, scale] : table.scales) name = convert::OutsideOfTheCall(std::move(name));
  return table;
}
quant::CalibrationTable InTheCall(quant::CalibrationTable table) {
  for (auto& [name, scale] : table.scales) {
    if (!name.starts_with("TensorRT")) name = fmt::format("{}/{}", kSegmentCall, name);
  }
  return table;
}

std::atomic<bool> segments_stopped{false};

}  // namespace

void StopBuildingSegments() { segments_stopped.store(true, std::memory_order_relaxed); }

Result<std::string> BuildSegment(const FileBytes& function_def,
                                 const std::vector<importer::GraphInput>& arguments,
                                 const std::string& options_json) {
  GRAFT_ASSIGN_OR_RETURN(Request request, ReadRequest(options_json));
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentSource> segment,
                         MakeSegmentSource(function_def, arguments, request.input_shapes));
  std::unique_ptr<TimingCache> cache = TimingCache::Open(request.cache_path);
  request.convert.build.cache = cache.get();
  request.convert.build.stopped = &segments_stopped;
  if (auto& tables = request.convert.calibration; tables && !tables->empty())
    request.convert.build.int8.table = InTheCall(std::move(tables->begin()->second));
  StageTimes times;
  GRAFT_ASSIGN_OR_RETURN(BuiltEngine built,
                         BuildByTime(segment->source, request.convert.build, &times));
  built.plan.provenance.model_hash = ToHex(HashBytes(function_def.view()));
  if (const Status status = cache->Flush(); !status.ok())
    built.warnings.push_back(status.message());
  for (const std::string& warning : built.warnings)
    Log(LogLevel::kWarning, "trt_engine_op", "{}: {}", segment->name, warning);
  if (request.convert.build.precision == Precision::kInt8 && built.integer_products.empty()) {
    Log(LogLevel::kWarning, "trt_engine_op", "{}: nothing is computed on 8-bit integers: {}",
        segment->name,
        request.convert.build.int8.table ? "no product has all its ranges in the calibration table"
                                         : "no product has quantisation nodes at its operands");
  }
  WritePlanOptions write;
  std::function<std::string(ir::ValueId)> constant;
  if (!request.convert.embed_weights) {
    constant = ConstantsOf(segment->graph, built.plan);
    write.external_name = [&](ir::ValueId id) { return OutsideOfTheCall(constant(id)); };
  }
  return WritePlan(built.plan, write);
}

// What Choose builds engines of, and some of the batches.
struct SegmentCalibrator::Kept {
  // Every `stride`-th; as many again and every other one goes.
  void Add(std::span<const Tensor> arguments) {
    if (seen++ % stride != 0) return;
    batches.emplace_back(arguments.begin(), arguments.end());
    if (most < 0 || static_cast<int>(batches.size()) <= most) return;
    stride *= 2;
    for (size_t i = 1; 2 * i < batches.size(); ++i) batches[i] = std::move(batches[2 * i]);
    batches.resize((batches.size() + 1) / 2);
  }

  std::unique_ptr<SegmentSource> segment;
  int most = 0;  // negative: any number
  int64_t seen = 0;
  int64_t stride = 1;
  std::vector<std::vector<Tensor>> batches;
};

SegmentCalibrator::~SegmentCalibrator() = default;

Result<std::unique_ptr<SegmentCalibrator>> SegmentCalibrator::Create(
    const FileBytes& function_def, const std::vector<importer::GraphInput>& arguments,
    const std::string& options_json) {
  CalibrationRequest calibration;
  GRAFT_ASSIGN_OR_RETURN(Request request, ReadRequest(options_json, &calibration));
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<SegmentSource> segment,
                         MakeSegmentSource(function_def, arguments, request.input_shapes));
  std::unique_ptr<TimingCache> cache = TimingCache::Open(request.cache_path);
  request.convert.build.cache = cache.get();
  auto made = std::make_unique<SegmentCalibrator>();
  GRAFT_ASSIGN_OR_RETURN(made->calibrator_,
                         GraphCalibrator::Create(segment->source, request.convert.build));
  if (calibration.keep_batches != 0) {
    made->kept_ = std::make_unique<Kept>();
    made->kept_->segment = std::move(segment);
    made->kept_->most = calibration.keep_batches;
  }
  return made;
}

Status SegmentCalibrator::Add(std::span<const Tensor> arguments) {
  GRAFT_RETURN_IF_ERROR(calibrator_->Add(arguments));
  if (kept_ != nullptr) kept_->Add(arguments);
  return OkStatus();
}

Result<quant::CalibrationTable> SegmentCalibrator::Table(std::string_view calibrator) const {
  const std::optional<quant::Calibrator> wanted =
      calibrator.empty() ? quant::Calibrator::kEntropy : quant::ParseCalibrator(calibrator);
  if (!wanted) return InvalidArgumentError("no calibrator '{}'", calibrator);
  GRAFT_ASSIGN_OR_RETURN(CalibrateReport report, calibrator_->Finish(*wanted));
  return std::move(report.table);
}

Result<std::string> SegmentCalibrator::Finish(std::string_view calibrator) const {
  GRAFT_ASSIGN_OR_RETURN(quant::CalibrationTable table, Table(calibrator));
  return quant::ToText(OutsideOfTheCall(std::move(table)));
}

Result<SegmentCalibrator::Chosen> SegmentCalibrator::Choose(std::string_view calibrator,
                                                            const std::string& options_json) const {
  if (kept_ == nullptr)
    return InvalidArgumentError("a choice of precisions needs the option keep-batches");
  CalibrationRequest calibration;
  GRAFT_ASSIGN_OR_RETURN(Request request, ReadRequest(options_json, &calibration));
  GRAFT_ASSIGN_OR_RETURN(quant::CalibrationTable table, Table(calibrator));
  BuildOptions& build = request.convert.build;
  if (build.int8.strict)
    return InvalidArgumentError("GRAFT_STRICT_INT8 forbids what a choice of precisions is for");
  std::unique_ptr<TimingCache> cache = TimingCache::Open(request.cache_path);
  build.cache = cache.get();
  build.int8.table = table;
  GRAFT_ASSIGN_OR_RETURN(
      PrecisionReport report,
      ChoosePrecisions(kept_->segment->source, build, kept_->batches, calibration.goal));
  // Times that cannot be kept are measured again.
  if (const Status status = cache->Flush(); !status.ok())
    Log(LogLevel::kWarning, "calibrate", "{}", status.message());
  AddChoice(report, &table);
  for (LayerPrecision& layer : report.layers) layer.node = OutsideOfTheCall(std::move(layer.node));
  Chosen chosen;
  GRAFT_ASSIGN_OR_RETURN(chosen.table, quant::ToText(OutsideOfTheCall(std::move(table))));
  chosen.report = ToJson(report);
  return chosen;
}

}  // namespace graft::convert
