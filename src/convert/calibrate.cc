#include "convert/calibrate.h"

#include <algorithm>
#include <cmath>

#include "quant/node_ranges.h"
#include "quant/range_rules.h"
#include "runtime/backend_table.h"
#include "runtime/context.h"

namespace graft::convert {
namespace {

// Where a watched value is found after a run.
struct Place {
  bool is_input = false;
  size_t index = 0;
};

class EngineRunner final : public quant::Runner {
 public:
  EngineRunner(std::unique_ptr<Context> context, std::vector<Place> places)
      : context_(std::move(context)), places_(std::move(places)) {}

  Result<std::vector<Tensor>> Run(std::span<const Tensor> inputs) override {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs, context_->Run(inputs));
    std::vector<Tensor> values;
    for (const Place& place : places_)
      values.push_back(place.is_input ? inputs[place.index] : outputs[place.index]);
    return values;
  }

 private:
  std::unique_ptr<Context> context_;
  std::vector<Place> places_;
};

// Makes the values that need a range outputs of the module, where they are not at its border.
class Watch {
 public:
  Status Choose(ir::Module& module, std::vector<std::string>* from_nodes) {
    quant::FindRanges(module, nullptr);
    // Before any of them becomes an output.
    const ir::Uses uses(module);
    for (const quant::MissingRange& needed : quant::FindNeededRanges(module)) {
      const ir::Value& value = module.value(needed.value);
      quant::Watched watched = {quant::TableName(value)};
      if (value.quantization && value.quantization->origin == ir::RangeOrigin::kNode) {
        from_nodes->push_back(std::move(watched.name));
        continue;
      }
      // Tables come before ops, so a table must not hold what the op knows better: Relu6 ends at 6.
      watched.range = !value.quantization;
      watched.channels = quant::MayDifferByChannel(module, uses, needed.value);
      if (!watched.range && !watched.channels) continue;
      values_.push_back(std::move(watched));
      places_.push_back(Find(module, needed.value));
    }
    return OkStatus();
  }

  const std::vector<quant::Watched>& values() const { return values_; }
  const std::vector<Place>& places() const { return places_; }

 private:
  static Place Find(ir::Module& module, ir::ValueId id) {
    const auto input = std::ranges::find(module.inputs, id);
    if (input != module.inputs.end())
      return {true, static_cast<size_t>(input - module.inputs.begin())};
    const auto output = std::ranges::find(module.outputs, id);
    const auto index = static_cast<size_t>(output - module.outputs.begin());
    if (output == module.outputs.end()) {
      module.outputs.push_back(id);
      module.output_names.push_back(module.value(id).name);
    }
    return {false, index};
  }

  std::vector<quant::Watched> values_;
  std::vector<Place> places_;
};

// Ranges of data that hold no numbers mean nothing.
Status CheckFinite(std::span<const Tensor> inputs, const std::vector<std::string>& names) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].dtype() != DType::kFloat32) continue;
    const std::span<const float> x = inputs[i].data<float>();
    const auto bad = std::ranges::find_if_not(x, [](float v) { return std::isfinite(v); });
    if (bad != x.end()) {
      return InvalidArgumentError("element {} of {} is {}", bad - x.begin(),
                                  i < names.size() ? names[i] : fmt::format("input {}", i), *bad);
    }
  }
  return OkStatus();
}

}  // namespace

struct GraphCalibrator::State {
  std::shared_ptr<Executor> executor;
  std::unique_ptr<EngineRunner> runner;
  std::unique_ptr<quant::Calibration> calibration;
  std::vector<std::string> input_names;
  CalibrateReport report;  // but for the table
};

GraphCalibrator::GraphCalibrator(std::unique_ptr<State> state) : state_(std::move(state)) {}
GraphCalibrator::~GraphCalibrator() = default;

Result<std::unique_ptr<GraphCalibrator>> GraphCalibrator::Create(const EngineSource& source,
                                                                 const BuildOptions& options) {
  auto state = std::make_unique<State>();
  state->input_names = source.input_names;
  CalibrateReport& report = state->report;
  Watch watch;
  BuildOptions build = options;
  build.on_constants_folded = [&](ir::Module& module) -> Status {
    GRAFT_ASSIGN_OR_RETURN(report.warnings, quant::ReadQuantizationNodes(module));
    return OkStatus();
  };
  build.on_fused = [&](ir::Module& module) { return watch.Choose(module, &report.from_nodes); };
  StageTimes times;
  GRAFT_ASSIGN_OR_RETURN(BuiltEngine built, BuildEngine(source, build, &times));
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(build.backend));
  state->executor = MakeTbbExecutor(build.threads);
  GRAFT_ASSIGN_OR_RETURN(
      std::shared_ptr<const Engine> engine,
      Engine::Create(std::move(built.plan), *backend, {.executor = state->executor.get()}));
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<Context> context,
                         Context::Create(std::move(engine), {.executor = state->executor}));
  state->runner = std::make_unique<EngineRunner>(std::move(context), watch.places());
  state->calibration = std::make_unique<quant::Calibration>(watch.values(), *state->executor);
  report.tensors = std::ranges::count_if(watch.values(), &quant::Watched::range);
  return std::unique_ptr<GraphCalibrator>(new GraphCalibrator(std::move(state)));
}

Status GraphCalibrator::Add(std::span<const Tensor> inputs, const std::string& name) {
  quant::Calibration& calibration = *state_->calibration;
  Status status = CheckFinite(inputs, state_->input_names);
  if (status.ok()) status = calibration.Add(*state_->runner, inputs);
  if (status.ok()) return status;
  return status.WithContext(name.empty() ? fmt::format("batch {}", calibration.batches() + 1)
                                         : name);
}

int64_t GraphCalibrator::batches() const { return state_->calibration->batches(); }

std::string GraphCalibrator::Gathered(std::string_view key) const {
  return state_->calibration->Gathered(key);
}

Status GraphCalibrator::Restore(std::string_view state, std::string_view key) {
  return state_->calibration->Restore(state, key);
}

Result<CalibrateReport> GraphCalibrator::Finish(quant::Calibrator calibrator) const {
  CalibrateReport report = state_->report;
  GRAFT_ASSIGN_OR_RETURN(report.table, state_->calibration->Finish(calibrator));
  report.batches = state_->calibration->batches();
  return report;
}

}  // namespace graft::convert
