#include "convert/calibrate.h"

#include <algorithm>

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
    for (const quant::MissingRange& needed : quant::FindNeededRanges(module)) {
      const ir::Value& value = module.value(needed.value);
      const std::string name = quant::TableName(value);
      // Tables come before ops, so a table must not hold what the op knows better: Relu6 ends at 6.
      if (value.quantization) {
        if (value.quantization->origin == ir::RangeOrigin::kNode) from_nodes->push_back(name);
        continue;
      }
      names_.push_back(name);
      places_.push_back(Find(module, needed.value));
    }
    return OkStatus();
  }

  const std::vector<std::string>& names() const { return names_; }
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

  std::vector<std::string> names_;
  std::vector<Place> places_;
};

}  // namespace

Result<CalibrateReport> CalibrateGraph(const EngineSource& source, const CalibrateOptions& options,
                                       const NextBatch& next) {
  CalibrateReport report;
  Watch watch;
  BuildOptions build = options.build;
  build.on_constants_folded = [&](ir::Module& module) -> Status {
    GRAFT_ASSIGN_OR_RETURN(report.warnings, quant::ReadQuantizationNodes(module));
    return OkStatus();
  };
  build.on_fused = [&](ir::Module& module) { return watch.Choose(module, &report.from_nodes); };
  StageTimes times;
  GRAFT_ASSIGN_OR_RETURN(BuiltEngine built, BuildEngine(source, build, &times));
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(build.backend));
  const std::shared_ptr<Executor> executor = MakeTbbExecutor(build.threads);
  GRAFT_ASSIGN_OR_RETURN(
      std::shared_ptr<const Engine> engine,
      Engine::Create(std::move(built.plan), *backend, {.executor = executor.get()}));
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<Context> context,
                         Context::Create(std::move(engine), {.executor = executor}));
  EngineRunner runner(std::move(context), watch.places());
  quant::Calibration calibration(watch.names(), *executor);
  for (;;) {
    GRAFT_ASSIGN_OR_RETURN(const std::optional<std::vector<Tensor>> batch, next());
    if (!batch) break;
    const Status status = calibration.Add(runner, *batch);
    if (!status.ok()) return status.WithContext(fmt::format("batch {}", calibration.batches() + 1));
  }
  GRAFT_ASSIGN_OR_RETURN(report.table, calibration.Finish(options.calibrator));
  report.batches = calibration.batches();
  return report;
}

}  // namespace graft::convert
