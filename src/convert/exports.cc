#include "convert/exports.h"

#include <filesystem>

#include "base/file.h"
#include "convert/graph_picture.h"
#include "plan/plan_file.h"

namespace graft::convert {

Status ExportReport(const Exports& exports, const std::vector<partition::LeftOut>& left_out) {
  if (exports.csv_report.empty()) return OkStatus();
  return WriteFileAtomically(exports.csv_report, partition::CsvReport(left_out));
}

Status ExportPicture(const Exports& exports, const tf::GraphDef& converted) {
  if (exports.graph_picture.empty()) return OkStatus();
  return WriteFileAtomically(exports.graph_picture, GraphPicture(converted));
}

Status ExportEngine(const Exports& exports, const std::string& name, const Plan& plan) {
  if (exports.engines_folder.empty()) return OkStatus();
  std::error_code error;
  std::filesystem::create_directories(exports.engines_folder, error);
  if (error) return IoError("{}: {}", exports.engines_folder, error.message());
  const std::string file = fmt::format("{}/{}", exports.engines_folder, name);
  GRAFT_RETURN_IF_ERROR(WritePlanFile(plan, file).status());
  std::vector<std::string> shapes;
  for (size_t i = 0; i < plan.module.inputs.size(); ++i) {
    std::vector<int64_t> dims;
    for (const ir::Dim& dim : plan.module.value(plan.module.inputs[i]).shape) {
      GRAFT_ASSIGN_OR_RETURN(dims.emplace_back(), dim.Evaluate(plan.choices.points[0].symbols));
    }
    shapes.push_back(fmt::format("{}:{}", plan.module.input_names[i], fmt::join(dims, "x")));
  }
  return WriteFileAtomically(fmt::format("{}/dims-{}", exports.engines_folder, name),
                             fmt::format("{}\n", fmt::join(shapes, ",")));
}

}  // namespace graft::convert
