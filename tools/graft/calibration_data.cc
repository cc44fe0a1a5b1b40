#include "calibration_data.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>

#include "base/dtype_visit.h"
#include "base/file.h"
#include "base/hash.h"
#include "command.h"
#include "convert/input_defaults.h"
#include "npy.h"
#include "npz.h"
#include "runtime/backend_table.h"
#include "tf/record_file.h"
#include "tf/wire.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct Batch {
  std::string name;  // for messages: where it comes from
  std::vector<Tensor> inputs;
};

// By its name: a record file has no mark of its own.
bool IsRecordFile(const std::string& path) {
  return path.ends_with(".tfrecord") || path.ends_with(".tfrecords");
}

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
    } else if (IsRecordFile(spec.path)) {
      GRAFT_RETURN_IF_ERROR(data.OpenRecords(spec.path, spec.batch));
    } else {
      GRAFT_RETURN_IF_ERROR(data.ReadSamples(spec.path, spec.batch));
    }
    if (data.batches_ == 0) return InvalidArgumentError("{}: no data there", spec.path);
    return data;
  }

  int64_t batches() const { return batches_; }
  void Skip(int64_t batches) { at_ = std::min(at_ + batches, batches_); }

  int64_t samples_of_batch() const { return batch_; }

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
    if (records_) {
      GRAFT_ASSIGN_OR_RETURN(batch.inputs, ReadExamples());
    }
    for (size_t i = 0; !records_ && i < inputs_.size(); ++i) {
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
      samples_.push_back(std::move(tensor));
    }
    CountBatches(count, batch);
    return OkStatus();
  }
  // A model that fixes its batch takes no other, and no smaller one at the end.
  void CountBatches(int64_t samples, int64_t batch) {
    bool is_fixed = false;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const tf::Shape& shape = inputs_[i].shape;
      if (shape.unknown_rank || shape.dims.empty() || shape.dims[0] <= 0) continue;
      if (!samples_.empty() && !samples_[i].valid()) continue;  // it has its default
      batch = shape.dims[0];
      is_fixed = true;
    }
    batch_ = batch;
    if (samples > 0) batches_ = (is_fixed ? samples : samples + batch - 1) / batch;
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

  // Records, one sample each. What was read need not stay in memory.
  Status OpenRecords(const std::string& path, int64_t batch) {
    GRAFT_ASSIGN_OR_RETURN(records_, tf::RecordFile::Open(path));
    CountBatches(records_->records(), batch);
    return OkStatus();
  }
  Result<std::vector<Tensor>> ReadExamples() const {
    std::vector<std::vector<Tensor>> samples(inputs_.size());
    const int64_t begin = at_ * batch_;
    const int64_t end = std::min(begin + batch_, records_->records());
    for (int64_t record = begin; record < end; ++record) {
      const auto add = [&]() -> Status {
        GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, records_->Read(record));
        GRAFT_ASSIGN_OR_RETURN(const tf::Example example, tf::ParseExample(bytes.view()));
        for (size_t i = 0; i < inputs_.size(); ++i) {
          GRAFT_ASSIGN_OR_RETURN(Tensor tensor, SampleOf(example, i));
          samples[i].push_back(std::move(tensor));
        }
        return OkStatus();
      };
      GRAFT_RETURN_IF_ERROR(add().WithContext(fmt::format("{}: record {}", path_, record)));
    }
    std::vector<Tensor> batch;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Stacked(samples[i], i));
      batch.push_back(std::move(tensor));
    }
    return batch;
  }
  // Numbers of the input's dtype: a list of floats or integers, or bytes, which are a serialized
  // tensor (tf.io.serialize_tensor). Invalid for an input that has its default.
  Result<Tensor> SampleOf(const tf::Example& example, size_t i) const {
    const tf::Endpoint& input = inputs_[i];
    const tf::Example::Feature* feature = example.Find(input.key);
    if (feature == nullptr) feature = example.Find(input.tensor);
    if (feature == nullptr && inputs_.size() == 1 && example.features.size() == 1)
      feature = &example.features[0].second;
    if (feature == nullptr && defaults_[i].valid()) return Tensor();
    if (feature == nullptr) return NotFoundError("no feature '{}' there", input.key);
    if (const auto* bytes = std::get_if<std::vector<std::string>>(feature)) {
      if (bytes->size() != 1)
        return InvalidArgumentError("{}: {} strings of bytes instead of 1", input.key,
                                    bytes->size());
      Result<tf::TensorValue> value = tf::TensorValue::Parse(tf::CopyBytes((*bytes)[0]));
      if (!value.ok()) {
        return InvalidArgumentError(
            "{}: its bytes are no serialized tensor (pictures have to be decoded first): {}",
            input.key, value.status().message());
      }
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, value->Decode());
      return Checked(std::move(tensor), i, "its tensor");
    }
    const auto* floats = std::get_if<std::vector<float>>(feature);
    const auto* integers = std::get_if<std::vector<int64_t>>(feature);
    const size_t count = floats != nullptr ? floats->size() : integers->size();
    GRAFT_ASSIGN_OR_RETURN(Dims dims, DimsOfSample(input, static_cast<int64_t>(count)));
    Tensor tensor;
    const bool made = TryVisitDType(kNumberTypes, StorageOf(input.dtype), [&]<class T>(T) {
      Result<Tensor> filled = Tensor::Allocate(StorageOf(input.dtype), std::move(dims));
      if (!filled.ok()) return;
      const auto to = filled->template mutable_data<T>();
      for (size_t k = 0; k < count; ++k)
        to[k] = floats != nullptr ? static_cast<T>((*floats)[k]) : static_cast<T>((*integers)[k]);
      tensor = *std::move(filled);
    });
    if (!made || !tensor.valid())
      return InvalidArgumentError("{}: {} numbers make no {}", input.key, count, Name(input.dtype));
    return tensor.Retyped(input.dtype);
  }
  // A sample is the input without its first dimension. One unknown dimension follows from the rest.
  static Result<Dims> DimsOfSample(const tf::Endpoint& input, int64_t count) {
    if (input.shape.unknown_rank || input.shape.dims.empty())
      return InvalidArgumentError("{}: an input without a rank takes serialized tensors only",
                                  input.key);
    Dims dims(input.shape.dims.begin() + 1, input.shape.dims.end());
    int64_t known = 1;
    int64_t* unknown = nullptr;
    for (int64_t& d : dims) {
      if (d >= 0) {
        known *= d;
      } else if (unknown == nullptr) {
        unknown = &d;
      } else {
        return InvalidArgumentError("{}: of two unknown dimensions {} numbers say nothing",
                                    input.key, count);
      }
    }
    if (unknown != nullptr && known > 0) *unknown = count / known;
    const int64_t wanted = unknown != nullptr ? known * std::max<int64_t>(*unknown, 0) : known;
    if (wanted != count || (unknown != nullptr && *unknown < 0))
      return InvalidArgumentError("{}: {} numbers, which are no {}", input.key, count,
                                  fmt::join(input.shape.dims, "x"));
    return dims;
  }
  // Samples of equal dimensions, one after the other.
  Result<Tensor> Stacked(const std::vector<Tensor>& samples, size_t i) const {
    if (!samples[0].valid()) return defaults_[i];
    Dims dims = samples[0].dims();
    dims.insert(dims.begin(), static_cast<int64_t>(samples.size()));
    GRAFT_ASSIGN_OR_RETURN(Tensor all, Tensor::Allocate(samples[0].dtype(), std::move(dims)));
    auto* to = static_cast<std::byte*>(all.mutable_raw());
    for (const Tensor& sample : samples) {
      if (!sample.valid() || sample.dims() != samples[0].dims()) {
        return InvalidArgumentError(
            "{}: samples of {} differ in their dimensions; ask for batches of 1", path_,
            inputs_[i].key);
      }
      std::memcpy(to, sample.raw(), sample.bytes());
      to += sample.bytes();
    }
    return all;
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
  std::optional<tf::RecordFile> records_;
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

constexpr int64_t kBatchesBetweenStates = 16;

// Begins where the state, if there is one, ends.
Status GoOn(const std::string& path, const std::string& key, convert::GraphCalibrator& calibrator,
            Data& data) {
  if (path.empty()) return OkStatus();
  const Result<FileBytes> state = ReadFile(path, /*map=*/false);
  if (state.status().code() == StatusCode::kNotFound) return OkStatus();
  GRAFT_RETURN_IF_ERROR(state.status());
  GRAFT_RETURN_IF_ERROR(calibrator.Restore(state->view(), key).WithContext(path));
  data.Skip(calibrator.batches());
  return OkStatus();
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
  const std::string key = fmt::format("model {} batches {} of {}", ToHex(model.content_hash),
                                      data.batches(), data.samples_of_batch());
  GRAFT_RETURN_IF_ERROR(GoOn(spec.state, key, **made, data));
  for (;;) {
    ShowProgress((*made)->batches(), data.batches());
    GRAFT_ASSIGN_OR_RETURN(std::optional<Batch> batch, data.Next());
    if (!batch) break;
    GRAFT_RETURN_IF_ERROR((*made)->Add(batch->inputs, batch->name));
    // From all of the data: the first may be unlike the others.
    const int64_t done = (*made)->batches();
    if (spec.keep_all || done * kKept / data.batches() > (done - 1) * kKept / data.batches())
      calibrated.kept.push_back(std::move(batch->inputs));
    const bool is_last = done == data.batches();
    if (!spec.state.empty() && (is_last || done % kBatchesBetweenStates == 0))
      GRAFT_RETURN_IF_ERROR(WriteFileAtomically(spec.state, (*made)->Gathered(key)));
  }
  GRAFT_ASSIGN_OR_RETURN(calibrated.report, (*made)->Finish(*calibrator));
  return calibrated;
}

}  // namespace graft
