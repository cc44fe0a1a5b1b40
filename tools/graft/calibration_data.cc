#include "calibration_data.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>

#include "command.h"
#include "convert/input_defaults.h"
#include "npy.h"
#include "npz.h"
#include "runtime/backend_table.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct Batch {
  std::string name;  // for messages: where it comes from
  std::vector<Tensor> inputs;
};

// The batches of a folder or file, one after the other.
class Data {
 public:
  // `defaults`: what inputs are that have no data, where they have one.
  static Result<Data> Open(const CalibrationDataSpec& spec, std::vector<tf::Endpoint> inputs,
                           std::vector<Tensor> defaults) {
    Data data(spec.path, std::move(inputs), std::move(defaults));
    std::error_code ignored;
    if (fs::is_directory(spec.path, ignored)) {
      data.folder_ = spec.path;
      GRAFT_RETURN_IF_ERROR(data.FindCases());
    } else {
      GRAFT_RETURN_IF_ERROR(data.ReadSamples(spec.path, spec.batch));
    }
    if (data.batches_ == 0) return InvalidArgumentError("{}: no data there", spec.path);
    return data;
  }

  int64_t batches() const { return batches_; }

  Result<std::optional<Batch>> Next() {
    if (at_ == batches_) return std::optional<Batch>();
    Batch batch;
    if (!folder_.empty()) {
      batch.name = fmt::format("{}/{}_in_*.npy", folder_, cases_[at_]);
    } else if (batch_ == 1) {
      batch.name = fmt::format("{}: sample {}", path_, at_);
    } else {
      batch.name = fmt::format("{}: samples from {}", path_, at_ * batch_);
    }
    for (size_t i = 0; i < inputs_.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, folder_.empty() ? CutSamples(i) : ReadCase(i));
      batch.inputs.push_back(std::move(tensor));
    }
    ++at_;
    return std::optional(std::move(batch));
  }

 private:
  Data(std::string path, std::vector<tf::Endpoint> inputs, std::vector<Tensor> defaults)
      : path_(std::move(path)), inputs_(std::move(inputs)), defaults_(std::move(defaults)) {}

  // CASE_in_INPUT.npy
  std::string PathOf(const std::string& name, const tf::Endpoint& input) const {
    return fmt::format("{}/{}_in_{}.npy", folder_, name, FileNameOf(input.key));
  }
  Status FindCases() {
    std::error_code error;
    std::set<std::string> cases;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
      const std::string name = entry.path().filename();
      const size_t at = name.find("_in_");
      if (at != std::string::npos && name.ends_with(".npy")) cases.insert(name.substr(0, at));
    }
    if (error) return NotFoundError("{}: {}", folder_, error.message());
    cases_.assign(cases.begin(), cases.end());
    batches_ = static_cast<int64_t>(cases_.size());
    return OkStatus();
  }
  Result<Tensor> ReadCase(size_t i) const {
    const std::string path = PathOf(cases_[at_], inputs_[i]);
    std::error_code ignored;
    if (defaults_[i].valid() && !fs::exists(path, ignored)) return defaults_[i];
    GRAFT_ASSIGN_OR_RETURN(Tensor tensor, ReadNpy(path));
    return Checked(std::move(tensor), i, path);
  }

  // Arrays by the inputs' names, samples along the first axis.
  Status ReadSamples(const std::string& path, int64_t batch) {
    GRAFT_ASSIGN_OR_RETURN(const auto arrays, ReadNpz(path));
    int64_t count = -1;
    bool is_fixed = false;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const tf::Endpoint& input = inputs_[i];
      const Tensor* found = arrays.size() == 1 && inputs_.size() == 1 ? &arrays[0].second : nullptr;
      for (const auto& [name, tensor] : arrays) {
        if (name == input.key || name == input.tensor) found = &tensor;
      }
      if (found == nullptr && defaults_[i].valid()) {
        samples_.emplace_back();
        continue;
      }
      if (found == nullptr) return NotFoundError("{}: no array '{}' there", path, input.key);
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Checked(*found, i, path));
      if (tensor.rank() == 0) return InvalidArgumentError("{}: {} is a scalar", path, input.key);
      if (count >= 0 && tensor.dims()[0] != count)
        return InvalidArgumentError("{}: {} and {} samples", path, count, tensor.dims()[0]);
      count = tensor.dims()[0];
      // A model that fixes its batch takes no other, and no smaller one at the end.
      const tf::Shape& shape = input.shape;
      if (!shape.unknown_rank && !shape.dims.empty() && shape.dims[0] > 0) {
        batch = shape.dims[0];
        is_fixed = true;
      }
      samples_.push_back(std::move(tensor));
    }
    batch_ = batch;
    if (count > 0) batches_ = (is_fixed ? count : count + batch - 1) / batch;
    return OkStatus();
  }
  Result<Tensor> CutSamples(size_t i) const {
    if (!samples_[i].valid()) return defaults_[i];
    const Tensor& all = samples_[i];
    const int64_t begin = at_ * batch_;
    Dims dims = all.dims();
    dims[0] = std::min(batch_, dims[0] - begin);
    const size_t sample = all.bytes() / static_cast<size_t>(all.dims()[0]);
    GRAFT_ASSIGN_OR_RETURN(Tensor part, Tensor::Allocate(all.dtype(), std::move(dims)));
    std::memcpy(part.mutable_raw(), all.raw() + static_cast<size_t>(begin) * sample, part.bytes());
    return part;
  }

  Result<Tensor> Checked(Tensor tensor, size_t i, const std::string& where) const {
    const tf::Endpoint& input = inputs_[i];
    if (tensor.dtype() == input.dtype) return tensor;
    if (tensor.dtype() == StorageOf(input.dtype)) return tensor.Retyped(input.dtype);
    return InvalidArgumentError("{}: {} is {}, not {}", where, input.key, Name(tensor.dtype()),
                                Name(input.dtype));
  }

  std::string path_;
  std::vector<tf::Endpoint> inputs_;
  std::vector<Tensor> defaults_;  // by input
  std::string folder_;
  std::vector<std::string> cases_;
  std::vector<Tensor> samples_;  // by input; invalid for one that has its default
  int64_t batch_ = 1;
  int64_t batches_ = 0;
  int64_t at_ = 0;
};

void ShowProgress(int64_t done, int64_t total) {
  if (!isatty(STDERR_FILENO)) return;
  std::fprintf(stderr, done < total ? "\r\033[Kcalibrating %lld/%lld" : "\r\033[K",
               static_cast<long long>(done), static_cast<long long>(total));
  std::fflush(stderr);
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
  GRAFT_ASSIGN_OR_RETURN(Data data, Data::Open(spec, std::move(inputs), std::move(defaults)));
  for (;;) {
    ShowProgress((*made)->batches(), data.batches());
    GRAFT_ASSIGN_OR_RETURN(std::optional<Batch> batch, data.Next());
    if (!batch) break;
    GRAFT_RETURN_IF_ERROR((*made)->Add(batch->inputs, batch->name));
    // From all of the data: the first may be unlike the others.
    const int64_t done = (*made)->batches();
    if (spec.keep_all || done * kKept / data.batches() > (done - 1) * kKept / data.batches())
      calibrated.kept.push_back(std::move(batch->inputs));
  }
  GRAFT_ASSIGN_OR_RETURN(calibrated.report, (*made)->Finish(*calibrator));
  return calibrated;
}

}  // namespace graft
