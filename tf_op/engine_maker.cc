#include "engine_maker.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "log.h"
#include "segment.h"
#include "tensorrt_bytes.h"
#include "weights_file.h"

namespace graft_tf {
namespace {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// `from`: what makes an engine of bytes.
absl::StatusOr<MadeEngine> Load(const EngineSpec& spec, absl::string_view plan,
                                const tensorflow::FunctionDef* native,
                                decltype(&graft_engine_from_bytes) from) {
  if (IsTensorRtEngine(plan)) {
    return absl::UnimplementedError(absl::StrCat("its bytes are ", kTensorRtEngine));
  }
  const Stopwatch watch;
  SegmentConstants constants(native);
  graft_engine_options options = GRAFT_ENGINE_OPTIONS_INIT;
  options.check_all_weights = 1;
  options.find_weight = &SegmentConstants::Find;
  options.weight_at = &SegmentConstants::At;
  options.find_weight_state = &constants;
  options.threads = 1;  // no threads of ours inside TensorFlow
  graft_engine* raw = nullptr;
  const absl::Status status = ToAbsl(from(plan.data(), plan.size(), &options, &raw));
  if (native != nullptr) ReleaseWeights(*native);
  if (!status.ok()) return status;
  MadeEngine made;
  made.engine.reset(raw);
  if (graft_engine_input_count(raw) != spec.inputs ||
      graft_engine_output_count(raw) != spec.outputs) {
    return absl::InvalidArgumentError(
        "the engine has another number of inputs or outputs than the node");
  }
  made.load_seconds = watch.Seconds();
  return made;
}

// Out of the node's own plan.
absl::StatusOr<MadeEngine> LoadOwn(const EngineSpec& spec, const tensorflow::FunctionDef* native) {
  if (spec.plan_file.empty())
    return Load(spec, spec.serialized_segment, native, &graft_engine_from_bytes);
  const absl::StatusOr<absl::string_view> plan =
      PartOf(spec.plan_file, spec.plan_offset, spec.plan_size);
  if (!plan.ok()) return plan.status();
  absl::StatusOr<MadeEngine> made = Load(spec, *plan, native, &graft_engine_from_mapped_bytes);
  ReleaseFile(spec.plan_file);
  return made;
}

absl::StatusOr<std::string> BuildPlan(const EngineSpec& spec, const tensorflow::FunctionDef& native,
                                      const std::vector<Argument>& arguments, int threads,
                                      int level, const std::string& precision_mode) {
  std::vector<graft_tensor> tensors;
  for (const Argument& argument : arguments) {
    graft_tensor tensor = GRAFT_TENSOR_INIT;
    tensor.dtype = argument.dtype;
    tensor.rank = static_cast<int32_t>(argument.dims.size());
    tensor.dims = argument.dims.data();
    tensors.push_back(tensor);
  }
  nlohmann::json options = {{"opt-level", level},
                            {"input-shapes", InputShapesOption(spec.input_shapes)},
                            {"threads", threads},
                            {"precision-mode", precision_mode},
                            {"max-workspace-size-bytes", spec.workspace_size_bytes},
                            {"maximum-cached-engines", spec.max_cached_engines}};
  if (precision_mode == "INT8" && !spec.calibration_data.empty())
    options["calibration-tables"] = {{spec.node, spec.calibration_data}};
  const std::string options_text =
      options.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const absl::StatusOr<std::string> function = EncodeWithConstants(native);
  if (!function.ok()) return function.status();
  graft_bytes* raw = nullptr;
  const absl::Status status =
      ToAbsl(graft_build_segment(function->data(), function->size(), tensors.data(),
                                 static_cast<int32_t>(tensors.size()), options_text.c_str(), &raw));
  if (!status.ok()) return status;
  const Owned<graft_bytes> bytes(raw);
  return std::string(static_cast<const char*>(graft_bytes_data(bytes.get())),
                     graft_bytes_size(bytes.get()));
}

}  // namespace

absl::StatusOr<std::optional<MadeEngine>> LoadEngine(const EngineSpec& spec,
                                                     const tensorflow::FunctionDef* native,
                                                     const EngineResource* saved) {
  if (spec.has_plan()) {
    absl::StatusOr<MadeEngine> made = LoadOwn(spec, native);
    if (made.ok()) {
      GRAFT_TF_VLOG(1) << "Loaded the engine of " << spec.node;
      return made;
    }
    if (!spec.allow_build || native == nullptr) return made.status();
    // Weights that TensorFlow folded away, a plan of another version: the native segment still says
    // what to compute.
    LOG(WARNING) << spec.node << ": the saved engine does not load (" << made.status().message()
                 << "); building it from the native segment";
  }
  if (saved == nullptr) return std::nullopt;
  std::string plan = saved->Find(spec.engine_key);
  if (plan.empty() && native != nullptr) plan = saved->Find(SegmentKey(*native, spec.input_shapes));
  if (plan.empty()) return std::nullopt;
  absl::StatusOr<MadeEngine> made = Load(spec, plan, native, &graft_engine_from_bytes);
  if (!made.ok()) {
    LOG(WARNING) << spec.node << ": the engine in the saved model's assets does not load ("
                 << made.status().message() << ")";
    return std::nullopt;
  }
  GRAFT_TF_VLOG(1) << "Loaded the engine of " << spec.node << " from the saved model's assets";
  return made;
}

absl::StatusOr<MadeEngine> BuildEngine(const EngineSpec& spec,
                                       const tensorflow::FunctionDef& native,
                                       const std::vector<Argument>& arguments, int threads,
                                       int level) {
  const Stopwatch watch;
  absl::StatusOr<std::string> plan =
      BuildPlan(spec, native, arguments, threads, level, spec.precision_mode);
  // An INT8 engine of which neither nodes nor a table give the ranges is TF-TRT's FP16 one.
  if (absl::IsInvalidArgument(plan.status()) && spec.precision_mode == "INT8" &&
      spec.calibration_data.empty()) {
    LOG(WARNING) << spec.node << ": Set engine precision to FP16 due to missing QDQ OP ("
                 << plan.status().message() << ")";
    plan = BuildPlan(spec, native, arguments, threads, level, "FP16");
  }
  if (!plan.ok()) return plan.status();
  const double build_seconds = watch.Seconds();
  absl::StatusOr<MadeEngine> made = Load(spec, *plan, &native, &graft_engine_from_bytes);
  if (!made.ok()) return made;
  made->plan = *std::move(plan);
  made->build_seconds = build_seconds;
  GRAFT_TF_VLOG(1) << "Built the engine of " << spec.node << " in " << build_seconds
                   << " s, loaded it in " << made->load_seconds << " s";
  return made;
}

}  // namespace graft_tf
