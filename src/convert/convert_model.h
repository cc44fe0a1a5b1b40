// What `graft convert` does: a model file in; a converted model, a plan, or both out.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "convert/convert_graph.h"
#include "convert/precision_search.h"
#include "runtime/pack_plan.h"
#include "tf/load_model.h"

namespace graft::convert {

struct ModelOptions {
  tf::ModelSpec model;
  ConvertOptions convert;  // points come from `shapes`
  // Dimensions of inputs by key or tensor name to tune at, one map a tuning point; "" names the
  // only input.
  std::vector<std::map<std::string, Dims>> shapes;
  std::string plan;     // file to write; empty: none
  bool packed = false;  // the plan keeps its weights packed too, as PackPlan() does
  std::string output;   // a .pb file or a SavedModel directory to write; empty: none
};

struct ModelReport {
  ConvertReport convert;
  size_t plan_bytes = 0;
  std::optional<PackReport> packed;  // of ModelOptions::packed
  TuneReport plan_tune;
  Int8Report plan_int8;
  int plan_half_weights = 0;
  std::optional<PrecisionReport> precision;  // where whoever converts has made a choice
  int64_t peak_rss_bytes = 0;
  std::vector<std::string> warnings;
};

// Without `plan` and `output` only the report is made. A plan needs the whole model: anything but
// inputs and outputs that stays native is kUnsupported, listed.
Result<ModelReport> ConvertModel(const ModelOptions& options);

// The report as JSON: the schema of docs/report.md.
std::string ToJson(const ModelReport& report);
// Its part "precision".
std::string ToJson(const PrecisionReport& report);

}  // namespace graft::convert
