// Files that a conversion leaves for people to look at, beside its results.
#pragma once

#include <string>
#include <vector>

#include "partition/report.h"
#include "plan/plan.h"
#include "tf/graph_def.h"

namespace graft::convert {

// Empty names: not wanted.
struct Exports {
  std::string csv_report;      // what stays native: CsvReport's lines
  std::string graph_picture;   // the converted graph for Graphviz
  std::string engines_folder;  // gets ExportEngine's files
};

Status ExportReport(const Exports& exports, const std::vector<partition::LeftOut>& left_out);
Status ExportPicture(const Exports& exports, const tf::GraphDef& converted);

// The engine's plan, which runs by itself, as NAME, and its inputs' dimensions at the first tuning
// point as dims-NAME, in the form that `graft run --shapes` takes.
Status ExportEngine(const Exports& exports, const std::string& name, const Plan& plan);

}  // namespace graft::convert
