#include "calibration_data.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "base/hash.h"
#include "batches.h"
#include "convert/input_defaults.h"
#include "runtime/backend_table.h"

namespace graft {
namespace {

void ShowProgress(int64_t done, int64_t total) {
  if (!isatty(STDERR_FILENO)) return;
  std::fprintf(stderr, done < total ? "\r\033[Kcalibrating %lld/%lld" : "\r\033[K",
               static_cast<long long>(done), static_cast<long long>(total));
  std::fflush(stderr);
}

constexpr int64_t kBatchesBetweenStates = 16;

// Takes up the state, if there is one.
Status GoOn(const std::string& path, const std::string& key, convert::GraphCalibrator& calibrator) {
  if (path.empty()) return OkStatus();
  const Result<FileBytes> state = ReadFile(path, /*map=*/false);
  if (state.status().code() == StatusCode::kNotFound) return OkStatus();
  GRAFT_RETURN_IF_ERROR(state.status());
  return calibrator.Restore(state->view(), key).WithContext(path);
}

// The model as one engine.
convert::EngineSource SourceOf(const tf::LoadedModel& model) {
  convert::EngineSource source = {.graph = &model.graph};
  for (const tf::Endpoint& input : model.inputs) {
    source.inputs.push_back({input.tensor, input.dtype, input.shape});
    source.input_names.push_back(input.key);
  }
  for (const tf::Endpoint& output : model.outputs) {
    source.outputs.push_back(output.tensor);
    source.output_names.push_back(output.key);
  }
  return source;
}

}  // namespace

Result<CalibratedModel> CalibrateModel(const tf::LoadedModel& model,
                                       const CalibrationDataSpec& spec,
                                       const convert::BuildOptions& options) {
  constexpr int64_t kKept = 8;
  const std::optional<quant::Calibrator> calibrator = quant::ParseCalibrator(spec.calibrator);
  if (!calibrator)
    return InvalidArgumentError("no calibrator '{}'; there are: entropy percentile minmax mse",
                                spec.calibrator);
  CalibratedModel calibrated;
  std::vector<tf::Endpoint> inputs = model.inputs;
  std::vector<std::string> tensors;
  for (const tf::Endpoint& input : inputs) tensors.push_back(input.tensor);
  calibrated.source = SourceOf(model);
  GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> defaults,
                         convert::InputDefaults(model.graph, tensors));
  Result<std::unique_ptr<convert::GraphCalibrator>> made =
      convert::GraphCalibrator::Create(calibrated.source, options);
  if (made.status().code() == StatusCode::kUnsupported) {
    GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(options.backend, options.device));
    GRAFT_ASSIGN_OR_RETURN(calibrated.part, convert::FindComputable(calibrated.source, *backend));
    const convert::ComputablePart& part = *calibrated.part;
    std::vector<tf::Endpoint> kept_inputs;
    std::vector<Tensor> kept_defaults;
    for (const size_t i : part.inputs) {
      kept_inputs.push_back(inputs[i]);
      kept_defaults.push_back(defaults[i]);
    }
    inputs = std::move(kept_inputs);
    defaults = std::move(kept_defaults);
    calibrated.source = part.source;
    calibrated.warnings.push_back(fmt::format(
        "{} convolutions and products come after what stays in TensorFlow and are not "
        "calibrated (the converters of graft.trt_convert do that, in TensorFlow):\n  {}",
        part.products, fmt::join(part.natives, "\n  ")));
    made = convert::GraphCalibrator::Create(calibrated.source, options);
  }
  if (!made.ok()) return made.status();
  convert::GraphCalibrator& graph_calibrator = **made;
  GRAFT_ASSIGN_OR_RETURN(
      const std::unique_ptr<Batches> batches,
      OpenBatches(spec.path, spec.batch, std::move(inputs), std::move(defaults)));
  const int64_t count = batches->count();
  const std::string key = fmt::format("model {} batches {} of {}", ToHex(model.content_hash), count,
                                      batches->samples());
  GRAFT_RETURN_IF_ERROR(GoOn(spec.state, key, graph_calibrator));
  ShowProgress(graph_calibrator.batches(), count);
  while (graph_calibrator.batches() < count) {
    const int64_t at = graph_calibrator.batches();
    GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> batch, batches->Read(at));
    GRAFT_RETURN_IF_ERROR(graph_calibrator.Add(batch, batches->NameOf(at)));
    const int64_t done = at + 1;
    ShowProgress(done, count);
    // From all of the data: the first may be unlike the others.
    if (spec.keep_all || done * kKept / count > at * kKept / count)
      calibrated.kept.push_back(std::move(batch));
    if (!spec.state.empty() && (done == count || done % kBatchesBetweenStates == 0))
      GRAFT_RETURN_IF_ERROR(WriteFileAtomically(spec.state, graph_calibrator.Gathered(key)));
  }
  GRAFT_ASSIGN_OR_RETURN(calibrated.report, graph_calibrator.Finish(*calibrator));
  return calibrated;
}

}  // namespace graft
