#include "quant/calibration.h"

#include "quant/node_ranges.h"

namespace graft::quant {

Calibration::Calibration(std::vector<std::string> names, Executor& executor)
    : names_(std::move(names)), histograms_(names_.size()), executor_(executor) {}

Status Calibration::Add(Runner& runner, std::span<const Tensor> inputs) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> values, runner.Run(inputs));
  if (values.size() != names_.size())
    return InternalError("{} values instead of {}", values.size(), names_.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].dtype() != DType::kFloat32)
      return InternalError("{}: {} is not calibrated", names_[i], Name(values[i].dtype()));
  }
  for (size_t i = 0; i < values.size(); ++i) histograms_[i].Add(values[i].data<float>(), executor_);
  ++batches_;
  return OkStatus();
}

Result<CalibrationTable> Calibration::Finish(Calibrator calibrator) const {
  if (batches_ == 0) return InvalidArgumentError("no data to calibrate with");
  std::vector<float> scales(names_.size());
  executor_.ParallelFor(static_cast<int64_t>(names_.size()), [&](int64_t i, int) {
    scales[i] = ScaleOf(static_cast<float>(Calibrate(histograms_[i], calibrator)));
  });
  CalibrationTable table;
  // TensorRT refuses a table of another of its calibrators; TF-TRT asks for the entropy one.
  if (calibrator == Calibrator::kMinMax) table.algorithm = "MinMaxCalibration";
  for (size_t i = 0; i < names_.size(); ++i) table.scales.emplace_back(names_[i], scales[i]);
  return table;
}

}  // namespace graft::quant
