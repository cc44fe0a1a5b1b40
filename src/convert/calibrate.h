// From a TensorFlow graph and data to a calibration table.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/build_engine.h"
#include "quant/calibration.h"

namespace graft::convert {

struct CalibrateReport {
  quant::CalibrationTable table;
  int64_t tensors = 0;  // with a range there, channels apart
  int64_t batches = 0;
  std::vector<std::string> from_nodes;  // values whose range a quantisation node gives
  std::vector<std::string> warnings;
};

// Runs a graph over batches, of any shapes, and gives the ranges of the values that need one
// (quant/range_rules.h) and have none from quantisation nodes or ops.
class GraphCalibrator {
 public:
  // kUnsupported when nodes are refused. `build` says how the engine in floats that runs the
  // batches is built. What `source` and `build` refer to is not needed later.
  static Result<std::unique_ptr<GraphCalibrator>> Create(const EngineSource& source,
                                                         const BuildOptions& build);
  ~GraphCalibrator();

  // The inputs of one batch, in the source's order. What was gathered stays when it fails, and the
  // message begins with `name`; "": the batch's number.
  Status Add(std::span<const Tensor> inputs, const std::string& name = "");
  int64_t batches() const;
  // What was gathered so far (quant::Calibration).
  std::string Gathered(std::string_view key) const;
  Status Restore(std::string_view state, std::string_view key);
  // InvalidArgument before the first batch.
  Result<CalibrateReport> Finish(quant::Calibrator calibrator) const;

 private:
  struct State;
  explicit GraphCalibrator(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace graft::convert
