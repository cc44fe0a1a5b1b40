// Batches of a model's inputs out of files, for calibration.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "convert/calibrate.h"
#include "tf/load_model.h"

namespace graft {

struct CalibrationDataSpec {
  std::string path;   // a .npz file of samples along the first axis, by the names of the inputs; or
                      // a folder of CASE_in_INPUT.npy, one batch each
  int64_t batch = 1;  // samples of a .npz file that make a batch
  std::string calibrator = "entropy";
};

// The model as one engine. It refers to `model`.
convert::EngineSource SourceOf(const tf::LoadedModel& model);

// Ranges of the model's values from the data (convert/calibrate.h). Shows its progress in a
// terminal. `options` says how the engine that runs the batches is built. `kept`, where given, gets
// the first batches, to compare precisions with.
Result<convert::CalibrateReport> CalibrateModel(const tf::LoadedModel& model,
                                                const CalibrationDataSpec& data,
                                                const convert::BuildOptions& options,
                                                std::vector<std::vector<Tensor>>* kept = nullptr);

}  // namespace graft
