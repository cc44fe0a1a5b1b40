#include "calibration_data.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>

#include "command.h"
#include "npy.h"
#include "npz.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

// The batches of a folder or file, one after the other.
class Data {
 public:
  static Result<Data> Open(const CalibrationDataSpec& spec,
                           const std::vector<tf::Endpoint>& inputs) {
    Data data(inputs);
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

  Result<std::optional<std::vector<Tensor>>> Next() {
    if (at_ == batches_) return std::optional<std::vector<Tensor>>();
    std::vector<Tensor> batch;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, folder_.empty() ? CutSamples(i) : ReadCase(i));
      batch.push_back(std::move(tensor));
    }
    ++at_;
    return std::optional(std::move(batch));
  }

 private:
  explicit Data(const std::vector<tf::Endpoint>& inputs) : inputs_(inputs) {}

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

  const std::vector<tf::Endpoint>& inputs_;
  std::string folder_;
  std::vector<std::string> cases_;
  std::vector<Tensor> samples_;
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

}  // namespace

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

Result<convert::CalibrateReport> CalibrateModel(const tf::LoadedModel& model,
                                                const CalibrationDataSpec& spec,
                                                const convert::BuildOptions& options,
                                                std::vector<std::vector<Tensor>>* kept) {
  constexpr size_t kKept = 8;
  const std::optional<quant::Calibrator> calibrator = quant::ParseCalibrator(spec.calibrator);
  if (!calibrator)
    return InvalidArgumentError("no calibrator '{}'; there are: entropy percentile minmax mse",
                                spec.calibrator);
  GRAFT_ASSIGN_OR_RETURN(Data data, Data::Open(spec, model.inputs));
  int64_t done = 0;
  auto next = [&]() -> Result<std::optional<std::vector<Tensor>>> {
    ShowProgress(done++, data.batches());
    GRAFT_ASSIGN_OR_RETURN(std::optional<std::vector<Tensor>> batch, data.Next());
    if (batch && kept != nullptr && kept->size() < kKept) kept->push_back(*batch);
    return batch;
  };
  return convert::CalibrateGraph(SourceOf(model), {.build = options, .calibrator = *calibrator},
                                 next);
}

}  // namespace graft
