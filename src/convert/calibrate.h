// From a TensorFlow graph and data to a calibration table.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "convert/build_engine.h"
#include "quant/calibration.h"

namespace graft::convert {

struct CalibrateOptions {
  BuildOptions build;  // of the engine in floats that runs the batches
  quant::Calibrator calibrator = quant::Calibrator::kEntropy;
};

// The inputs of the next batch, in the source's order; nothing after the last one.
using NextBatch = std::function<Result<std::optional<std::vector<Tensor>>>()>;

struct CalibrateReport {
  quant::CalibrationTable table;
  int64_t batches = 0;
  std::vector<std::string> from_nodes;  // values whose range a quantisation node gives
  std::vector<std::string> warnings;
};

// Runs the graph over all batches, of any shapes, and gives the ranges of the values that need one
// (quant/range_rules.h) and have none from quantisation nodes or ops. kUnsupported when nodes are
// refused; a batch that fails ends it.
Result<CalibrateReport> CalibrateGraph(const EngineSource& source, const CalibrateOptions& options,
                                       const NextBatch& next);

}  // namespace graft::convert
