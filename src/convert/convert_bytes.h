// Conversion for callers that hold a GraphDef in memory (Python, the TensorFlow op): bytes and JSON
// in, bytes and JSON out.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "convert/calibrate.h"
#include "import/importer.h"

namespace graft::convert {

struct ConvertedBytes {
  std::string graph_def;
  // JSON: that of `graft convert --json`, and "old_report", "new_report", "warnings".
  std::string report;
};

// Converts a frozen GraphDef. The options are a JSON object; all are optional:
// - inputs: [{"tensor": "x:0", "dtype": 1, "dims": [-1, 3], "unknown_rank": false}]; none: the
//   placeholders
// - outputs: ["y:0"]; none: the tensors that nobody reads. What neither they nor denied nodes need
//   is pruned; without outputs every node that nobody reads stays, with what it needs.
// - shapes: [{"x:0": [1, 224, 224, 3]}, {"x:0": [8, 224, 224, 3]}]: dimensions of inputs to tune at
// - deny: node names; deny-ops: op types
// - backend, threads, opt-level, minimum-segment-size, maximum-engines, graph-number,
//   keep-asserts,
//   embed-weights, timing-cache
// - precision-mode, max-workspace-size-bytes, maximum-cached-engines, max-batch-size,
//   profile-strategy, use-calibration, use-implicit-batch, static-engine, allow-build-at-runtime:
//   go into the engine nodes' attributes. A max-batch-size above 1 is a tuning point too, where
//   there are no `shapes`. build-engines: false leaves them to the first run, as does
//   static-engine: false. With the mode "INT8", products whose operands have ranges are computed on
//   8-bit integers. With use-calibration and without tables engines are not built: they wait to be
//   calibrated (SegmentCalibrator)
// - native-segments: false drops the functions that the engines stand for; their plans hold all
//   weights
// - calibration-tables: {"TRTEngineOp_000_000": "TRT-8602-…"}: what calibration found, by engine
// What TF-TRT's variables say (environment.h) holds where no option says otherwise.
// kInvalidArgument names an option that is unknown or of the wrong type.
Result<ConvertedBytes> ConvertGraphDefBytes(const FileBytes& graph_def,
                                            const std::string& options_json);

// Does what `graft convert PATH --output OUTPUT` does; gives the JSON report as above. Further
// options:
// - tags: ["serve"], [] for a graph without tags; signature: "serving_default", which must be
// there; only-signature: true drops
//   the others
// - weights-in-graph: true keeps the native segments' large constants in the graph of a SavedModel
Result<std::string> ConvertModelFile(const std::string& path, const std::string& output,
                                     const std::string& options_json);

// Builds the plan of a native segment, a FunctionDef's bytes. The engine takes any dimensions of
// the arguments' ranks, but those that the option input-shapes ([[-1, 4], null]) says; `arguments`
// say those of the first call, to tune for. calibration-tables may hold the engine's, under any
// name. The plan refers to the function's constants by name,
// unless embed-weights is true.
Result<std::string> BuildSegment(const FileBytes& function_def,
                                 const std::vector<importer::GraphInput>& arguments,
                                 const std::string& options_json);

// For a process that ends: every BuildSegment, running or later, fails before it times another
// step.
void StopBuildingSegments();

// Finds the ranges that INT8 needs in a native segment, from batches of its arguments.
class SegmentCalibrator {
 public:
  ~SegmentCalibrator();
  // As BuildSegment; the options are those of the engine in floats that runs the batches, and
  // - keep-batches: how many of them Choose compares engines on; -1: all. Those that are kept are
  //   from all over, half of that number or more. 0, the default: none
  static Result<std::unique_ptr<SegmentCalibrator>> Create(
      const FileBytes& function_def, const std::vector<importer::GraphInput>& arguments,
      const std::string& options_json);
  Status Add(std::span<const Tensor> arguments);
  // The table's text. `calibrator`: "entropy", …, or "": the default.
  Result<std::string> Finish(std::string_view calibrator) const;
  struct Chosen {
    std::string table;   // with the choice in it (precision_choice.h)
    std::string report;  // JSON: "precision" of the schema of docs/report.md
  };
  // The table, and which products are on integers, so that the goal is met (precision_search.h).
  // The options are those that the engine will be built with, of the mode "INT8", and the goal's:
  // - least-sqnr: decibels of the segment's outputs
  // - labels, max-drop, scores: classes of the samples of all batches, which are to be kept; how
  //   many points of top-1 integers may cost; the number of the output that they are classes of
  Result<Chosen> Choose(std::string_view calibrator, const std::string& options_json) const;

 private:
  Result<quant::CalibrationTable> Table(std::string_view calibrator) const;

  struct Kept;  // for Choose
  std::unique_ptr<GraphCalibrator> calibrator_;
  std::unique_ptr<Kept> kept_;
};

}  // namespace graft::convert
