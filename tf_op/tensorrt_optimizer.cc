// Online conversion: TF-TRT's Grappler pass "TensorRTOptimizer". TensorFlow runs it on a graph
// before it runs the graph, when the session's RewriterConfig names it among the custom optimizers.
// The graph goes to the library and comes back with engines.
//
// Objects of the pass live as long as one optimisation and share nothing, so sessions may be
// optimised in many threads at a time.
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "graft/c_api.h"
#include "graft_status.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/grappler/grappler_item.h"
#include "tensorflow/core/grappler/optimizers/custom_graph_optimizer.h"
#include "tensorflow/core/grappler/optimizers/custom_graph_optimizer_registry.h"
#include "tensorflow/core/grappler/utils/functions.h"
#include "tensorflow/core/lib/strings/proto_serialization.h"
#include "tensorflow/core/platform/logging.h"
#include "tensorflow/core/protobuf/rewriter_config.pb.h"

namespace graft_tf {
namespace {

using Json = nlohmann::json;
using tensorflow::AttrValue;
using tensorflow::GraphDef;
using tensorflow::NodeDef;
using tensorflow::OpDef;
using tensorflow::grappler::GrapplerFunctionItem;
using tensorflow::grappler::GrapplerItem;

constexpr char kName[] = "TensorRTOptimizer";
// Only functions that are marked are converted, not the main graph.
constexpr int kMarkedFunctionsOnly = -1;
constexpr char kMark[] = "_tftrt_convert_function";
constexpr char kNativeSegment[] = "native_segment";

// The pass's parameters, and under the prefix "_tftrt_" the attributes of a marked function.
struct Parameters {
  int64_t minimum_segment_size = 3;
  int64_t max_workspace_size_bytes = int64_t{1} << 30;
  std::string precision_mode = "FP32";
  int64_t maximum_cached_engines = 1;
  bool use_calibration = true;
  bool is_dynamic_op = false;
  bool allow_build_at_runtime = true;
  int64_t max_batch_size = 1;
  bool use_implicit_batch = true;
  std::string profile_strategy;
};

absl::Status Set(const std::string& name, const AttrValue& value, int64_t* field) {
  if (value.value_case() != AttrValue::kI)
    return absl::InvalidArgumentError(absl::StrCat(name, " must be an integer"));
  *field = value.i();
  return absl::OkStatus();
}

absl::Status Set(const std::string& name, const AttrValue& value, bool* field) {
  if (value.value_case() != AttrValue::kB)
    return absl::InvalidArgumentError(absl::StrCat(name, " must be a bool"));
  *field = value.b();
  return absl::OkStatus();
}

absl::Status Set(const std::string& name, const AttrValue& value, std::string* field) {
  if (value.value_case() != AttrValue::kS)
    return absl::InvalidArgumentError(absl::StrCat(name, " must be a string"));
  *field = value.s();
  return absl::OkStatus();
}

// False: there is no parameter of that name.
bool SetParameter(const std::string& name, const AttrValue& value, Parameters* p,
                  absl::Status* status) {
  const auto set = [&](auto* field) {
    *status = Set(name, value, field);
    return true;
  };
  if (name == "minimum_segment_size") return set(&p->minimum_segment_size);
  if (name == "max_workspace_size_bytes") return set(&p->max_workspace_size_bytes);
  if (name == "precision_mode") return set(&p->precision_mode);
  if (name == "maximum_cached_engines" || name == "max_cached_engines")
    return set(&p->maximum_cached_engines);
  if (name == "use_calibration") return set(&p->use_calibration);
  if (name == "is_dynamic_op" || name == "is_dyn_op") return set(&p->is_dynamic_op);
  if (name == "allow_build_at_runtime") return set(&p->allow_build_at_runtime);
  if (name == "max_batch_size") return set(&p->max_batch_size);
  if (name == "use_implicit_batch") return set(&p->use_implicit_batch);
  if (name == "profile_strategy") return set(&p->profile_strategy);
  // There is no TensorRT whose logger could be chosen.
  return name == "trt_logger_name";
}

absl::Status Check(const Parameters& p) {
  if (p.minimum_segment_size != kMarkedFunctionsOnly && p.minimum_segment_size < 1) {
    return absl::InvalidArgumentError(
        "minimum segment size should be positive or -1 (to disable main graph conversion).");
  }
  return absl::OkStatus();
}

// ---- what the item says of the graph

bool IsArgument(const NodeDef& node) { return node.op() == "_Arg"; }

// DT_INVALID where the node does not say.
tensorflow::DataType TypeOf(const NodeDef& node, const char* attribute) {
  const auto found = node.attr().find(attribute);
  return found == node.attr().end() ? tensorflow::DT_INVALID : found->second.type();
}

Json Dims(const tensorflow::TensorShapeProto& shape) {
  if (shape.unknown_rank()) return nullptr;
  Json dims = Json::array();
  for (const auto& dim : shape.dim()) dims.push_back(dim.size());
  return dims;
}

// The shape that the node itself says; null where it says none.
Json DimsOf(const NodeDef& node, int output, int producer) {
  const auto shape = node.attr().find("shape");
  if (shape != node.attr().end() && shape->second.has_shape()) {
    // Before version 24 a scalar stood for "unknown".
    if (producer < 24 && shape->second.shape().dim().empty()) return nullptr;
    return Dims(shape->second.shape());
  }
  const auto shapes = node.attr().find("_output_shapes");
  if (shapes != node.attr().end() && shapes->second.list().shape_size() > output)
    return Dims(shapes->second.list().shape(output));
  return nullptr;
}

Json Input(const std::string& tensor, tensorflow::DataType dtype, Json dims) {
  return {{"tensor", tensor}, {"dtype", static_cast<int>(dtype)}, {"dims", std::move(dims)}};
}

// What is outside of every engine, what must be there afterwards, and what is read from outside.
class Borders {
 public:
  explicit Borders(const GrapplerItem& item) : item_(item) {
    for (const NodeDef& node : item.graph.node()) nodes_[node.name()] = &node;
    for (const auto& [tensor, value] : item.feed) AddFeed(tensor, value.dtype());
    for (const NodeDef& node : item.graph.node()) {
      if (node.op() == "Placeholder") AddInput(node, 0, TypeOf(node, "dtype"));
      if (IsArgument(node)) AddArgument(node);
      if (node.op() == "_Retval") kept_.insert(node.name());
      if (!item.optimization_options().allow_pruning_stateful_and_dataset_ops && HasEffects(node))
        kept_.insert(node.name());
    }
    std::unordered_set<std::string> fetched;
    for (const std::string& tensor : item.fetch) AddFetch(tensor, &fetched);
    for (const std::string& name : item.NodesToPreserve()) {
      const std::string node(NodeOf(name));
      if (fetched.count(node) == 0 && nodes_.count(node) != 0) kept_.insert(node);
    }
  }

  void Write(Json* options) const {
    (*options)["inputs"] = inputs_;
    (*options)["outputs"] = outputs_;
    (*options)["deny"] = kept_;
  }

 private:
  static absl::string_view NodeOf(absl::string_view tensor) {
    return tensor.substr(0, tensor.find(':'));
  }

  void AddInput(const NodeDef& node, int output, tensorflow::DataType dtype) {
    const std::string tensor = absl::StrCat(node.name(), ":", output);
    if (dtype == tensorflow::DT_INVALID) return;
    if (!known_inputs_.insert(tensor).second) return;
    inputs_.push_back(
        Input(tensor, dtype, DimsOf(node, output, item_.graph.versions().producer())));
  }

  void AddFeed(const std::string& tensor, tensorflow::DataType dtype) {
    const auto node = nodes_.find(std::string(NodeOf(tensor)));
    if (node == nodes_.end()) return;
    int output = 0;
    const size_t colon = tensor.find(':');
    if (colon != std::string::npos && !absl::SimpleAtoi(tensor.substr(colon + 1), &output)) return;
    AddInput(*node->second, output, dtype);
  }

  void AddArgument(const NodeDef& node) {
    kept_.insert(node.name());
    const tensorflow::DataType dtype = TypeOf(node, "T");
    if (dtype != tensorflow::DT_RESOURCE && dtype != tensorflow::DT_VARIANT)
      AddInput(node, 0, dtype);
  }

  // "x:0" is a tensor that is fetched: its node may be inside of an engine, whose result is given
  // under the old name. "x" is a node that is run, or one that TF-TRT's converters are told not to
  // touch.
  void AddFetch(const std::string& tensor, std::unordered_set<std::string>* fetched) {
    const std::string node(NodeOf(tensor));
    if (nodes_.count(node) == 0 || tensor.find(':') == std::string::npos) return;
    fetched->insert(node);
    outputs_.push_back(tensor);
  }

  static const OpDef* Definition(const NodeDef& node) {
    const OpDef* op = nullptr;
    return tensorflow::OpRegistry::Global()->LookUpOpDef(node.op(), &op).ok() ? op : nullptr;
  }

  // As in functions, where nothing reads such a node and it runs all the same.
  static bool HasEffects(const NodeDef& node) {
    const OpDef* op = Definition(node);
    return op == nullptr || (op->is_stateful() && !IsArgument(node));
  }

  const GrapplerItem& item_;
  std::unordered_map<std::string, const NodeDef*> nodes_;
  std::set<std::string> known_inputs_;
  Json inputs_ = Json::array();
  Json outputs_ = Json::array();
  std::set<std::string> kept_;
};

Json Options(const Parameters& p, int threads) {
  const std::string precision = absl::AsciiStrToUpper(p.precision_mode);
  Json options = {
      {"minimum-segment-size", p.minimum_segment_size},
      {"max-workspace-size-bytes", p.max_workspace_size_bytes},
      {"precision-mode", precision},
      {"maximum-cached-engines", p.maximum_cached_engines},
      {"use-calibration", precision == "INT8" && p.use_calibration},
      {"static-engine", !p.is_dynamic_op},
      {"build-engines", !p.is_dynamic_op},
      {"allow-build-at-runtime", p.allow_build_at_runtime},
      {"max-batch-size", p.max_batch_size},
      {"use-implicit-batch", p.use_implicit_batch},
      {"profile-strategy", absl::AsciiStrToLower(p.profile_strategy)},
  };
  // As many as will run the engines.
  if (threads > 0) options["threads"] = threads;
  return options;
}

// As TF-TRT did: scripts look for these lines.
void LogReport(const std::string& id, const Json& report) {
  LOG(WARNING) << report.value("new_report", "");
  LOG(INFO) << report.value("old_report", "");
  LOG(INFO) << "Number of TensorRT candidate segments: " << report.value("candidate_segments", 0);
  for (const char* list : {"engine_list", "late_engines"}) {
    for (const Json& engine : report.value(list, Json::array())) {
      const std::string name = engine.value("name", "");
      LOG(INFO) << "Replaced segment " << name.substr(name.rfind('_') + 1) << " consisting of "
                << engine.value("nodes", 0) << " nodes by " << name << ".";
      if (const std::string reason = engine.value("reason", ""); !reason.empty())
        LOG(INFO) << name << " is built when it first runs: " << reason;
    }
  }
  for (const Json& warning : report.value("warnings", Json::array()))
    LOG(WARNING) << kName << ": " << id << ": " << warning.get<std::string>();
}

std::string BytesOf(const Owned<graft_bytes>& bytes) {
  return {static_cast<const char*>(graft_bytes_data(bytes.get())), graft_bytes_size(bytes.get())};
}

// A session's graph is placed before it comes here, and TensorFlow takes the devices that it gets
// back as they are: a node without one is an error of later passes.
void PlaceNewNodes(const GraphDef& before, GraphDef* graph) {
  std::string host;
  for (const tensorflow::NodeDef& node : before.node()) {
    if (absl::StrContains(node.device(), "device:CPU:")) {
      host = node.device();
      break;
    }
  }
  for (tensorflow::NodeDef& node : *graph->mutable_node()) {
    if (node.device().empty()) node.set_device(host);
  }
}

class TensorRTOptimizer : public tensorflow::grappler::CustomGraphOptimizer {
 public:
  // TensorFlow drops an error of Init without a word, so it is kept until the pass runs.
  absl::Status Init(const tensorflow::RewriterConfig_CustomGraphOptimizer* config) override {
    if (config == nullptr) return absl::OkStatus();
    for (const auto& [name, value] : config->parameter_map()) {
      absl::Status status;
      if (!SetParameter(name, value, &parameters_, &status))
        LOG(WARNING) << kName << ": parameter '" << name << "' is not known, it has no effect";
      parameters_status_.Update(status);
    }
    parameters_status_.Update(Check(parameters_));
    return absl::OkStatus();
  }

  std::string name() const override { return kName; }
  // Calls are inlined, and bodies of loops are converted.
  bool UsesFunctionLibrary() const override { return true; }

  // An error leaves the graph as it is. It is told here, since TensorFlow does so for the first one
  // of a process only.
  absl::Status Optimize(tensorflow::grappler::Cluster*, const GrapplerItem& item,
                        GraphDef* optimized) override {
    absl::Status status = ConvertItem(item, optimized);
    if (!status.ok())
      LOG(ERROR) << kName << ": the graph stays as it is: " << item.id << ": " << status.message();
    return status;
  }

 private:
  absl::Status ConvertItem(const GrapplerItem& item, GraphDef* optimized) const {
    TF_RETURN_IF_ERROR(parameters_status_);
    absl::StatusOr<std::optional<Parameters>> parameters = ParametersFor(item);
    TF_RETURN_IF_ERROR(parameters.status());
    if (!parameters->has_value()) {
      *optimized = item.graph;
      return absl::OkStatus();
    }
    return Convert(item, **parameters, optimized);
  }

  // None: the item is left alone.
  absl::StatusOr<std::optional<Parameters>> ParametersFor(const GrapplerItem& item) const {
    // Whatever an engine falls back to is to stay TensorFlow's.
    if (absl::StrContains(item.id, kNativeSegment)) return std::nullopt;
    const auto* function = dynamic_cast<const GrapplerFunctionItem*>(&item);
    if (function == nullptr) {
      if (parameters_.minimum_segment_size == kMarkedFunctionsOnly) return std::nullopt;
      return parameters_;
    }
    // A function of the library. Calls of the others are inlined into the main graph.
    const AttrValue* mark = function->func_attr().Find(kMark);
    if (mark == nullptr || !mark->b()) return std::nullopt;
    Parameters own = parameters_;
    if (own.minimum_segment_size == kMarkedFunctionsOnly) own.minimum_segment_size = 3;
    for (const auto& [key, value] : function->func_attr()) {
      absl::string_view name = key;
      if (key == kMark || !absl::ConsumePrefix(&name, "_tftrt_")) continue;
      absl::Status status;
      if (!SetParameter(std::string(name), value, &own, &status))
        LOG(WARNING) << kName << ": " << item.id << ": attribute " << key << " is not known";
      TF_RETURN_IF_ERROR(status);
    }
    TF_RETURN_IF_ERROR(Check(own));
    if (own.minimum_segment_size == kMarkedFunctionsOnly) return std::nullopt;
    return own;
  }

  absl::Status Convert(const GrapplerItem& item, const Parameters& parameters,
                       GraphDef* optimized) const {
    Json options = Options(parameters, config_proto_.intra_op_parallelism_threads());
    Borders(item).Write(&options);
    // Deterministic, since the engines' names are made of it.
    std::string bytes;
    if (!tensorflow::SerializeToStringDeterministic(item.graph, &bytes)) {
      return absl::ResourceExhaustedError(
          "the graph is larger than 2 GiB, the limit of protocol buffers");
    }
    graft_bytes *raw_converted = nullptr, *raw_report = nullptr;
    // A name that is no text is found in no graph: replacing what is wrong in it changes nothing.
    const std::string text = options.dump(-1, ' ', false, Json::error_handler_t::replace);
    TF_RETURN_IF_ERROR(ToAbsl(graft_convert_graph_def(bytes.data(), bytes.size(), text.c_str(),
                                                      &raw_converted, &raw_report)));
    const Owned<graft_bytes> converted(raw_converted), report(raw_report);
    const Json parsed = Json::parse(BytesOf(report), nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_object()) return absl::InternalError("the report of a conversion is no JSON");
    LogReport(item.id, parsed);
    if (parsed.value("engines", 0) == 0) {
      *optimized = item.graph;
      return absl::OkStatus();
    }
    GraphDef result;
    if (!result.ParseFromArray(graft_bytes_data(converted.get()),
                               static_cast<int>(graft_bytes_size(converted.get()))))
      return absl::InternalError("a converted graph does not parse");
    KeepFunctions(item.graph, &result);
    PlaceNewNodes(item.graph, &result);
    *optimized = std::move(result);
    return absl::OkStatus();
  }

  // Those that no node names, since others may: TensorFlow drops what nobody needs.
  static void KeepFunctions(const GraphDef& graph, GraphDef* result) {
    std::set<std::string> there;
    for (const auto& function : result->library().function())
      there.insert(function.signature().name());
    for (const auto& function : graph.library().function()) {
      if (there.count(function.signature().name()) == 0)
        *result->mutable_library()->add_function() = function;
    }
  }

  Parameters parameters_;
  absl::Status parameters_status_;
};

REGISTER_GRAPH_OPTIMIZER_AS(TensorRTOptimizer, kName);

}  // namespace
}  // namespace graft_tf
