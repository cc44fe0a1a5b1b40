// Makes the engine of a node: out of its plan, of the saved model's assets, or of its native
// segment. Everything that it takes, a build on another thread may outlive the kernel with.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine_resource.h"
#include "graft_status.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/types.h"

namespace graft_tf {

// What the node says about its engine.
struct EngineSpec {
  std::string node;
  std::string serialized_segment;
  // Where the plan is in a file of the model instead (weights_file.h); "": nowhere.
  std::string plan_file;
  int64_t plan_offset = 0, plan_size = 0;
  std::string precision_mode = "FP32";
  std::string calibration_data;
  std::string engine_key;  // of its engine in the model's assets
  int64_t workspace_size_bytes = 0;
  int64_t max_cached_engines = 1;
  bool allow_build = true;
  // What conversion knew; empty in graphs of older converters.
  std::vector<tensorflow::PartialTensorShape> input_shapes;
  int inputs = 0;
  int outputs = 0;

  bool has_plan() const { return !serialized_segment.empty() || !plan_file.empty(); }
};

// Dtype and dims of an argument at the call that makes the engine: it is tuned for these.
struct Argument {
  tensorflow::DataType dtype;
  std::vector<int64_t> dims;
};

struct MadeEngine {
  Owned<graft_engine> engine;
  std::string plan;  // of one that was built, to be saved
  double build_seconds = 0;
  double load_seconds = 0;
};

using NativeFunction = std::shared_ptr<const tensorflow::FunctionDef>;

// Out of the node's plan, else of `saved` (may be null). Nothing: there is nothing to load, and
// building is the only way.
absl::StatusOr<std::optional<MadeEngine>> LoadEngine(const EngineSpec& spec,
                                                     const tensorflow::FunctionDef* native,
                                                     const EngineResource* saved);

// Out of the native segment. One engine serves all shapes: only the arguments' ranks are fixed, and
// the sizes that conversion knew.
// `threads`: that it will run on; `level`: how much time may be taken to tune it (0 … 5).
absl::StatusOr<MadeEngine> BuildEngine(const EngineSpec& spec,
                                       const tensorflow::FunctionDef& native,
                                       const std::vector<Argument>& arguments, int threads,
                                       int level);

}  // namespace graft_tf
