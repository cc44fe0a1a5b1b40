#include "quant/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/node_ranges.h"
#include "quant/range_rules.h"

namespace graft::quant {

Calibration::Calibration(std::vector<Watched> values, Executor& executor)
    : values_(std::move(values)),
      histograms_(values_.size()),
      channels_(values_.size()),
      executor_(executor) {}

// What is not finite is left out, as in histograms.
void Calibration::AddChannels(const Tensor& value, std::vector<float>& largest) {
  const auto channels = static_cast<int64_t>(largest.size());
  const int64_t rows = value.elements() / channels;
  constexpr int64_t kRows = 1024;
  std::vector<std::vector<float>> by_worker(executor_.width(), largest);
  executor_.ParallelFor((rows + kRows - 1) / kRows, [&](int64_t block, int worker) {
    const int64_t end = std::min((block + 1) * kRows, rows);
    std::vector<float>& most = by_worker[worker];
    for (int64_t r = block * kRows; r < end; ++r) {
      const float* const row = value.data<float>().data() + r * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float x = std::abs(row[c]);
        if (x > most[c] && x <= std::numeric_limits<float>::max()) most[c] = x;
      }
    }
  });
  for (const std::vector<float>& most : by_worker) {
    for (int64_t c = 0; c < channels; ++c) largest[c] = std::max(largest[c], most[c]);
  }
}

Status Calibration::Add(Runner& runner, std::span<const Tensor> inputs) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> values, runner.Run(inputs));
  if (values.size() != values_.size())
    return InternalError("{} values instead of {}", values.size(), values_.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].dtype() != DType::kFloat32)
      return InternalError("{}: {} is not calibrated", values_[i].name, Name(values[i].dtype()));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (values_[i].range) histograms_[i].Add(values[i].data<float>(), executor_);
    if (!values_[i].channels || values[i].elements() == 0) continue;
    const int64_t channels = values[i].dims().back();
    if (channels_[i].empty()) channels_[i].resize(channels, 0);
    if (static_cast<int64_t>(channels_[i].size()) != channels)
      return InternalError("{}: {} channels instead of {}", values_[i].name, channels,
                           channels_[i].size());
    AddChannels(values[i], channels_[i]);
  }
  ++batches_;
  return OkStatus();
}

Result<CalibrationTable> Calibration::Finish(Calibrator calibrator) const {
  if (batches_ == 0) return InvalidArgumentError("no data to calibrate with");
  std::vector<float> scales(values_.size());
  executor_.ParallelFor(static_cast<int64_t>(values_.size()), [&](int64_t i, int) {
    if (values_[i].range)
      scales[i] = ScaleOf(static_cast<float>(Calibrate(histograms_[i], calibrator)));
  });
  CalibrationTable table;
  // TensorRT refuses a table of another of its calibrators; TF-TRT asks for the entropy one.
  if (calibrator == Calibrator::kMinMax) table.algorithm = "MinMaxCalibration";
  for (size_t i = 0; i < values_.size(); ++i) {
    if (values_[i].range) table.scales.emplace_back(values_[i].name, scales[i]);
  }
  for (size_t i = 0; i < values_.size(); ++i) {
    for (size_t c = 0; c < channels_[i].size(); ++c) {
      table.scales.emplace_back(ChannelName(values_[i].name, static_cast<int64_t>(c)),
                                ScaleOf(channels_[i][c]));
    }
  }
  return table;
}

}  // namespace graft::quant
