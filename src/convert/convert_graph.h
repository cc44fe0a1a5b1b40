// The main job: a frozen graph in, the same graph with its largest convertible parts replaced by
// engines out.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "convert/build_engine.h"
#include "convert/exports.h"
#include "partition/candidates.h"
#include "partition/encapsulate.h"
#include "partition/entry_points.h"
#include "partition/report.h"
#include "tf/tidy.h"

namespace graft::convert {

struct ConvertOptions {
  BuildOptions build;
  partition::CandidateOptions candidates;
  partition::ClusterOptions cluster;
  partition::EngineAttributes attributes;  // serialized_segment is filled in here
  bool build_engines = true;               // false: engines are built at their first run
  bool embed_weights = false;  // true: a plan holds all its weights; false: it names those that the
                               // native segment holds
  // Of a SavedModel that is written: its native segments' large constants stay in the graph,
  // instead of going into a file beside it (tf/weights_file.h).
  bool weights_in_graph = false;
  std::string model_hash;  // for the plans' provenance
  std::string options_text;
  bool detailed_report = false;  // TF-TRT's report tells the reasons too
  Exports exports;
  // How the graph is run; none: one way, with all inputs and outputs. Only nodes that the same
  // entry points need share an engine.
  std::vector<partition::EntryPoint> entries;
  // The first number in engine names, or the next one that is free; -1: made of what the engines
  // are made of, so that engines of different models can be in one graph, and in one process, where
  // TensorFlow knows functions by name.
  int graph_number = -1;
  tf::TidyOptions tidy;  // of the graph before it is converted, by whoever reads it
  // For INT8: what calibration found of each engine, by its name. Where it is given, an engine that
  // is not named is computed in floats but for what quantisation nodes say.
  std::optional<std::map<std::string, quant::CalibrationTable>> calibration;
  // Dimensions of the graph's inputs to tune at; one entry an input, -1 unknown.
  std::vector<std::vector<Dims>> points;
  // The graph with its inputs and outputs, where the caller has imported it already.
  const importer::ImportedGraph* imported = nullptr;
};

struct EngineSummary {
  std::string name;
  int nodes = 0;
  int inputs = 0;
  int outputs = 0;
  size_t plan_bytes = 0;
  TuneReport tune;
  Int8Report int8;
  int half_weights = 0;
  std::string precision_mode;  // the node's, with which it is built again
};

// An engine that nothing but its first run can build.
struct LateEngine {
  std::string name;
  int nodes = 0;
  std::string reason;
};

struct ConvertReport {
  int nodes_before = 0;  // of the main graph
  int nodes_after = 0;
  // What the entry points need, without Const, Placeholder, NoOp and fetched Identities; bodies of
  // While, If and Case included.
  int total_ops = 0;
  int converted_ops = 0;  // of those, inside engines
  // Those of both that are in such bodies: functions of the converted graph.
  int function_ops = 0;
  int converted_function_ops = 0;
  int candidate_segments = 0;
  int engine_nodes = 0;                  // made of those segments
  std::vector<EngineSummary> engines;    // of those nodes, where they were built
  std::vector<LateEngine> late_engines;  // of those nodes
  // What the entry points need of the converted main graph but engines and constants: the nodes
  // that a loop over it finds. TF-TRT's reports are made of these.
  std::vector<partition::LeftOut> left_out;
  // Those of total_ops that are not converted.
  std::vector<partition::LeftOut> unconverted;
  std::map<std::string, int> removed_checks;  // by op (tf/tidy.h)
  std::vector<std::string> warnings;
  StageTimes seconds;
};

struct ConvertedGraph {
  tf::GraphDef graph;
  ConvertReport report;
};

// `outputs` are the fetched tensors of all entry points. The input graph is not changed. The nodes
// of `inputs` stay outside of engines: they are fed.
Result<ConvertedGraph> ConvertGraph(const tf::GraphDef& graph,
                                    const std::vector<importer::GraphInput>& inputs,
                                    const std::vector<std::string>& outputs,
                                    const ConvertOptions& options);

}  // namespace graft::convert
