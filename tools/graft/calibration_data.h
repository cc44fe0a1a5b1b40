// Batches of a model's inputs out of files, for calibration.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "convert/calibrate.h"
#include "convert/computable.h"
#include "tf/load_model.h"

namespace graft {

struct CalibrationDataSpec {
  std::string path;   // a .npz file of samples along the first axis, by the names of the inputs;
                      // a .tfrecord file of tf.train.Example, one sample each; or
                      // a folder of CASE_in_INPUT.npy, one batch each
  int64_t batch = 1;  // samples of a file that make a batch
  std::string calibrator = "entropy";
  // Where what was gathered is kept now and then, and from where to go on; empty: nowhere.
  std::string state;
  bool keep_all = false;  // CalibratedModel::kept has all batches
};

struct CalibratedModel {
  convert::CalibrateReport report;
  // What was run: the model as one engine, or, where some of it stays in TensorFlow, what can be
  // computed without that. It refers to the model or to `part`.
  convert::EngineSource source;
  std::unique_ptr<convert::ComputablePart> part;
  std::vector<std::string> warnings;  // of what is not calibrated
  std::vector<std::vector<Tensor>>
      kept;  // eight of the batches, from all over, to compare precisions with
};

// Ranges of the model's values from the data (convert/calibrate.h). Shows its progress in a
// terminal. `options` says how the engine that runs the batches is built.
Result<CalibratedModel> CalibrateModel(const tf::LoadedModel& model,
                                       const CalibrationDataSpec& data,
                                       const convert::BuildOptions& options);

}  // namespace graft
