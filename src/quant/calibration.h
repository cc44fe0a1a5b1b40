// Ranges from data: runs a model over batches and gathers the distributions of its values.
#pragma once

#include <functional>
#include <span>
#include <string>
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

class Calibration {
 public:
  // `names` are those of the runner's watched values in the table. The executor runs the counting
  // and outlives this.
  Calibration(std::vector<std::string> names, Executor& executor);

  // One batch, of any shapes. What was gathered stays when it fails.
  Status Add(Runner& runner, std::span<const Tensor> inputs);

  int64_t batches() const { return batches_; }
  const Histogram& histogram(size_t i) const { return histograms_[i]; }

  // The scales of all values; 0 for one whose elements were all zero. InvalidArgument before the
  // first batch.
  Result<CalibrationTable> Finish(Calibrator calibrator) const;

 private:
  std::vector<std::string> names_;
  std::vector<Histogram> histograms_;
  Executor& executor_;
  int64_t batches_ = 0;
};

}  // namespace graft::quant
