// From a TensorFlow graph that converts whole to a plan: import, passes, tuning.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "convert/int8_report.h"
#include "convert/precision.h"
#include "convert/stage_times.h"
#include "import/importer.h"
#include "passes/pipeline.h"
#include "plan/plan.h"
#include "quant/calibration_table.h"
#include "tf/graph_def.h"
#include "tune/tuner.h"

namespace graft::convert {

// Called now and then: what is being done, and how far it is.
using Progress = std::function<void(std::string_view stage, int done, int total)>;

// Products whose operands have quantisation ranges are computed on 8-bit integers.
struct Int8Options {
  // Ranges by name, besides those of the model's quantisation nodes. Where there is no table, every
  // value that needs a range has to have one: else it is an InvalidArgument that lists them.
  std::optional<quant::CalibrationTable> table;
  // Gets the lines of that list instead, from a caller that builds several engines.
  std::vector<std::string>* missing = nullptr;
  // Nodes that are computed in floats all the same, by name, with the reason for reports.
  std::map<std::string, std::string> floats;
  // All others that can be are computed on integers, whatever they cost (build_by_time.h).
  bool strict = false;
};

struct BuildOptions {
  std::string backend = "cpu";     // as FindBackend takes it; for a kind of card nothing is timed
  int device = 0;                  // which one of the backend's
  int threads = 0;                 // that the engine is tuned for; 0: all processors
  int opt_level = 3;               // 0 … 5: how much time tuning may take
  size_t max_workspace_bytes = 0;  // of a step, on devices; 0: any size
  Precision precision = Precision::kFp32;
  std::vector<std::string> disabled_passes;
  std::string stop_after;        // a pass: none runs after it
  std::string dump_directory;    // the module after every step that changed it; empty: nowhere
  TimingCache* cache = nullptr;  // required
  // Called, where there are any, with the module once its first constants are folded, and once its
  // nodes are fused: what they change is compiled.
  std::function<Status(ir::Module&)> on_constants_folded;
  std::function<Status(ir::Module&)> on_fused;
  Int8Options int8;       // where that is the precision; these come first
  bool halves = false;    // what INT8 leaves in floats may be stored as halves, as with FP16
  bool time_all = false;  // every step, for BuiltEngine::tune (TuneOptions::time_all)
  Progress progress;
  const std::atomic<bool>* stopped = nullptr;  // once it is true, the build fails (TuneOptions)
};

struct BuiltEngine {
  Plan plan;
  TuneReport tune;
  std::vector<passes::PassReport> passes;
  std::vector<std::string> warnings;
  std::vector<std::string> integer_products;  // nodes that are computed on integers, for INT8
  Int8Report int8;
  int half_weights = 0;  // constants of products that are stored as halves
};

// A graph that converts whole. Its inputs and outputs become the engine's, under `input_names` and
// `output_names`; placeholders that are none of the inputs are what they default to.
struct EngineSource {
  const tf::GraphDef* graph = nullptr;
  std::vector<importer::GraphInput> inputs;
  std::vector<std::string> outputs;  // tensor names
  std::vector<std::string> input_names;
  std::vector<std::string> output_names;
  // Input dimensions to tune at, -1 unknown; none: the default.
  std::vector<std::vector<Dims>> points;
  // The graph with these inputs and outputs, where the caller has imported it already. It is taken
  // from there: passes replace constants, and the first ones should not outlive them.
  importer::ImportedGraph* imported = nullptr;
};

// What the importer computes small constants by: the reference kernels.
importer::Evaluator ReferenceEvaluator();

// kUnsupported when nodes are refused, naming them. Adds to `times`.
Result<BuiltEngine> BuildEngine(const EngineSource& source, const BuildOptions& options,
                                StageTimes* times);

}  // namespace graft::convert
