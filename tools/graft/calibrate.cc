// graft calibrate: a model and data in, the ranges of its tensors out.
#include "convert/calibrate.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "command.h"
#include "npy.h"
#include "npz.h"
#include "tf/load_model.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct Options {
  tf::ModelSpec model;
  std::string inputs, outputs, tags;
  std::string data;
  std::string calibrator = "entropy";
  std::string output;
  int64_t batch = 1;
  convert::CalibrateOptions calibrate;
  std::string cache = TimingCache::DefaultPath();
};

// The batches of a folder or file, one after the other.
class Data {
 public:
  static Result<Data> Open(const Options& o, const std::vector<tf::Endpoint>& inputs) {
    Data data(inputs);
    std::error_code ignored;
    if (fs::is_directory(o.data, ignored)) {
      data.folder_ = o.data;
      GRAFT_RETURN_IF_ERROR(data.FindCases());
    } else {
      GRAFT_RETURN_IF_ERROR(data.ReadSamples(o.data, o.batch));
    }
    if (data.batches_ == 0) return InvalidArgumentError("{}: no data there", o.data);
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

Status Run(Options& o) {
  const std::optional<quant::Calibrator> calibrator = quant::ParseCalibrator(o.calibrator);
  if (!calibrator)
    return InvalidArgumentError("no calibrator '{}'; there are: entropy percentile minmax mse",
                                o.calibrator);
  o.calibrate.calibrator = *calibrator;
  o.model.inputs = SplitNames(o.inputs);
  o.model.outputs = SplitNames(o.outputs);
  if (!o.tags.empty()) o.model.tags = SplitNames(o.tags);
  GRAFT_ASSIGN_OR_RETURN(const tf::LoadedModel model, tf::LoadModel(o.model));
  convert::EngineSource source = {.graph = &model.graph};
  for (const tf::Endpoint& input : model.inputs) {
    source.inputs.push_back({input.tensor, input.dtype, input.shape});
    source.input_names.push_back(input.key);
  }
  for (const tf::Endpoint& output : model.outputs) {
    source.outputs.push_back(output.tensor);
    source.output_names.push_back(output.key);
  }
  GRAFT_ASSIGN_OR_RETURN(Data data, Data::Open(o, model.inputs));
  const std::unique_ptr<TimingCache> cache = TimingCache::Open(o.cache);
  o.calibrate.build.cache = cache.get();
  int64_t done = 0;
  GRAFT_ASSIGN_OR_RETURN(const convert::CalibrateReport report,
                         convert::CalibrateGraph(source, o.calibrate, [&] {
                           ShowProgress(done++, data.batches());
                           return data.Next();
                         }));
  for (const std::string& warning : report.warnings)
    std::fprintf(stderr, "graft: warning: %s\n", warning.c_str());
  GRAFT_ASSIGN_OR_RETURN(const std::string text, quant::ToText(report.table));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomically(o.output, text));
  std::printf("%zu tensors calibrated (%s) on %lld batches, %zu have their range from the model\n",
              report.table.scales.size(), o.calibrator.c_str(),
              static_cast<long long>(report.batches), report.from_nodes.size());
  return OkStatus();
}

}  // namespace

Command AddCalibrate(CLI::App& program) {
  auto o = std::make_shared<Options>();
  convert::BuildOptions& build = o->calibrate.build;
  build.opt_level = 1;
  CLI::App* app =
      program.add_subcommand("calibrate", "Find the ranges of a model's tensors from data");
  app->add_option("MODEL", o->model.path,
                  "A frozen .pb, a SavedModel folder, or a .meta with its checkpoint")
      ->required();
  app->add_option("--data", o->data,
                  "A .npz file of samples, or a folder of CASE_in_INPUT.npy batches")
      ->required();
  app->add_option("-o,--output", o->output, "The calibration table to write")->required();
  app->add_option("--calibrator", o->calibrator, "entropy, percentile, minmax or mse");
  app->add_option("--batch", o->batch, "Samples of a .npz file that run at once (1)")
      ->check(CLI::PositiveNumber);
  app->add_option("--inputs", o->inputs,
                  "Input tensors, with shapes if wanted: a:0,b:0[1,224,224,3]");
  app->add_option("--outputs", o->outputs, "Output tensors: c:0,d:0");
  app->add_option("--tag", o->tags, "Tags of the SavedModel's graph (serve)");
  app->add_option("--signature", o->model.signature,
                  "Signature of the SavedModel (serving_default)");
  app->add_option("--checkpoint", o->model.checkpoint, "Prefix of the checkpoint of a .meta");
  app->add_option("--threads", build.threads, "Threads; 0: all processors");
  app->add_option("--backend", build.backend, "cpu or reference");
  app->footer("Example:\n  graft calibrate saved_model --data images.npz -o model.table");
  return {app, [o]() -> int {
            const Status status = Run(*o);
            return status.ok() ? kDone : Report(status);
          }};
}

}  // namespace graft
