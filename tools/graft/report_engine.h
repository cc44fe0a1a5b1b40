// What the report tells of one engine: measured, and compared with the graph that it was made of.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "command.h"
#include "import/importer.h"
#include "layers.h"
#include "plan/plan_file.h"

namespace graft {

struct EngineReportOptions {
  int threads = 0;
  std::string device;
  double seconds = 0.5;  // to measure for, and again with every step timed
  std::map<std::string, Dims> shapes;
};

// The graph that an engine was made of: its inputs and outputs in the engine's order.
struct NativeGraph {
  tf::GraphDef graph;
  std::vector<importer::GraphInput> inputs;
  std::vector<std::string> outputs;  // tensors
  std::string prefix;                // of its names, which the engine's do not have
};

// The native segment of an engine node as a graph of its own. `inputs` as the engine has them.
Result<NativeGraph> NativeGraphOf(const tf::FunctionDef& segment,
                                  const std::vector<Binding>& inputs);

struct OutputAccuracy {
  std::string name;
  Difference difference;
};
struct LayerAccuracy {
  std::string name;  // TensorFlow's of the tensor
  double relative;   // largest error as a share of the tensor's largest value
};

class EngineReport {
 public:
  // The engine runs with random data at the plan's first tuning point.
  static Result<EngineReport> Make(std::string name, Plan plan, const EngineReportOptions& options);

  const Engine& engine() const { return *engine_; }
  const std::string& name() const { return name_; }
  const std::vector<Layer>& layers() const { return layers_; }
  double median_ms() const { return median_ms_; }
  double relative_error() const;  // the largest of any output; 0 where nothing was compared
  const std::vector<LayerAccuracy>& compared_layers() const { return compared_layers_; }

  // Milliseconds of a run with this outermost dimension of every input; nullopt where inputs fix
  // it.
  Result<std::optional<double>> MillisecondsAt(int64_t batch) const;

  // Runs the graph on the reference kernels and notes how far the engine's results are from it;
  // with `layers` also those of every step whose result is a tensor of the graph.
  Status CompareWith(const NativeGraph& native, bool layers);
  // The same with results that are stored: CASE_in_INPUT.npy and CASE_out_OUTPUT.npy.
  Status CompareWithFolder(const std::string& folder);

  nlohmann::ordered_json ToJson() const;

 private:
  Status Measure();
  Status FindMemory();
  Result<std::vector<std::pair<std::string, Tensor>>> Intermediates() const;

  std::string name_;
  Plan plan_;  // with all constants
  EngineReportOptions options_;
  std::shared_ptr<const Engine> engine_;
  std::unique_ptr<Context> context_;
  std::vector<Dims> dims_;
  std::vector<Tensor> inputs_;
  double load_ms_ = 0;
  double median_ms_ = 0;
  std::vector<Layer> layers_;
  Roofline roofline_;
  nlohmann::ordered_json timeline_;
  nlohmann::ordered_json memory_;
  std::vector<OutputAccuracy> outputs_;
  std::string reference_;  // what the outputs were compared with
  std::vector<LayerAccuracy> compared_layers_;
};

}  // namespace graft
