// Ranges from data: runs a model over batches and gathers the distributions of its values.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/tensor.h"
#include "quant/calibration_table.h"
#include "quant/calibrator.h"

namespace graft::quant {

// Runs a model, on whatever engine, and shows what its watched values were.
class Runner {
 public:
  virtual ~Runner() = default;
  // The watched values for one batch of the model's inputs, in their order.
  virtual Result<std::vector<Tensor>> Run(std::span<const Tensor> inputs) = 0;
};

// A value and what of it is wanted.
struct Watched {
  std::string name;  // in the table
  bool range = true;
  // Of each channel, along the last axis, the largest element (range_rules.h, ChannelName).
  bool channels = false;
};

class Calibration {
 public:
  // `values` are the runner's. The executor runs the counting and outlives this.
  Calibration(std::vector<Watched> values, Executor& executor);

  // One batch, of any shapes. What was gathered stays when it fails.
  Status Add(Runner& runner, std::span<const Tensor> inputs);

  // All that was gathered, to go on from; `key` is a line that says of what. DataLoss for what is
  // none of these values' states, InvalidArgument for another key; nothing has changed then.
  std::string Gathered(std::string_view key) const;
  Status Restore(std::string_view state, std::string_view key);

  int64_t batches() const { return batches_; }
  const Histogram& histogram(size_t i) const { return histograms_[i]; }

  // The scales of all ranges, then those of channels; 0 for one whose elements were all zero.
  // InvalidArgument before the first batch.
  Result<CalibrationTable> Finish(Calibrator calibrator) const;

 private:
  void AddChannels(const Tensor& value, std::vector<float>& largest);

  std::vector<Watched> values_;
  std::vector<Histogram> histograms_;         // by value; of those without a range empty
  std::vector<std::vector<float>> channels_;  // by value: of each channel the largest element
  Executor& executor_;
  int64_t batches_ = 0;
};

}  // namespace graft::quant
