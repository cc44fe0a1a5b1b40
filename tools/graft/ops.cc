// graft ops: which TensorFlow ops are converted, in which dtypes, and what is refused.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "command.h"
#include "partition/op_support.h"
#include "runtime/backend_table.h"

namespace graft {
namespace {

using importer::RefusalRow;
using partition::OpSupport;

struct OpsArguments {
  std::string backend = "cpu";
  std::string device;
  bool json = false;
  bool markdown = false;
};

// A reason's format with an ellipsis for what is filled in.
std::string Readable(std::string_view format) {
  std::string text;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format.substr(i, 2) == "{}") {
      text += "…";
      ++i;
    } else {
      text += format[i];
    }
  }
  return text;
}

std::string DTypes(const OpSupport& support) {
  if (support.any_dtype) return "any";
  std::vector<std::string_view> names;
  for (const DType dtype : support.dtypes) names.push_back(Name(dtype));
  return fmt::format("{}", fmt::join(names, " "));
}

nlohmann::ordered_json ToJson(const RefusalRow& row) {
  return {{"text", row.text}, {"why", row.why}};
}

void PrintJson(const std::vector<OpSupport>& table) {
  nlohmann::ordered_json json = {{"schema", 1},
                                 {"refused", nlohmann::ordered_json::array()},
                                 {"ops", nlohmann::ordered_json::array()}};
  for (const RefusalRow& row : importer::RefusalRows()) {
    if (row.ops == "*") json["refused"].push_back(ToJson(row));
  }
  for (const OpSupport& support : table) {
    nlohmann::ordered_json op = {{"op", support.op},
                                 {"any_dtype", support.any_dtype},
                                 {"dtypes", nlohmann::ordered_json::array()},
                                 {"refused", nlohmann::ordered_json::array()}};
    for (const DType dtype : support.dtypes) op["dtypes"].push_back(TensorFlowName(dtype));
    for (const RefusalRow* row : support.refusals) op["refused"].push_back(ToJson(*row));
    json["ops"].push_back(std::move(op));
  }
  std::printf("%s\n", json.dump(2).c_str());
}

void PrintMarkdown(const std::vector<OpSupport>& table) {
  std::printf(
      "# Converted ops\n\n"
      "Written by `graft ops --markdown > docs/ops.md`; a test holds it to the program.\n\n"
      "A node of an op below is converted in the dtypes listed, in every form that TensorFlow "
      "defines, but for what its row says is refused.\nThe dtypes are found by trying, so a row "
      "may "
      "list some in which TensorFlow has no such op. Every other op stays in TensorFlow. "
      "The reason\nfor each node of a model is in the [report](report.md) of its conversion.\n\n"
      "For any op:\n\n| refused | because |\n|---|---|\n");
  for (const RefusalRow& row : importer::RefusalRows()) {
    if (row.ops == "*")
      std::printf("| %s | %s |\n", Readable(row.text).c_str(), std::string(row.why).c_str());
  }
  std::printf("\n## The %zu ops\n\n| op | dtypes | refused |\n|---|---|---|\n", table.size());
  for (const OpSupport& support : table) {
    std::vector<std::string> refusals;
    for (const RefusalRow* row : support.refusals)
      refusals.push_back(fmt::format("{} ({})", Readable(row->text), row->why));
    std::printf("| `%s` | %s | %s |\n", std::string(support.op).c_str(), DTypes(support).c_str(),
                fmt::format("{}", fmt::join(refusals, "; ")).c_str());
  }
}

void PrintText(const std::vector<OpSupport>& table) {
  for (const OpSupport& support : table) {
    std::printf("%-24s %s\n", std::string(support.op).c_str(), DTypes(support).c_str());
    for (const RefusalRow* row : support.refusals)
      std::printf("%24s refused: %s (%s)\n", "", Readable(row->text).c_str(),
                  std::string(row->why).c_str());
  }
  std::printf("%zu ops. For any op:\n", table.size());
  for (const RefusalRow& row : importer::RefusalRows()) {
    if (row.ops == "*")
      std::printf("  refused: %s (%s)\n", Readable(row.text).c_str(), std::string(row.why).c_str());
  }
}

Status Run(const OpsArguments& o) {
  GRAFT_ASSIGN_OR_RETURN(const DeviceName device,
                         ParseDeviceName(o.device.empty() ? o.backend : o.device));
  GRAFT_ASSIGN_OR_RETURN(const Backend* const backend, FindBackend(device.backend, device.device));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<OpSupport> table, partition::SupportTable(*backend));
  if (o.json) {
    PrintJson(table);
  } else if (o.markdown) {
    PrintMarkdown(table);
  } else {
    PrintText(table);
  }
  return OkStatus();
}

}  // namespace

Command AddOps(CLI::App& program) {
  auto o = std::make_shared<OpsArguments>();
  CLI::App* app = program.add_subcommand("ops", "Show which TensorFlow ops are converted");
  app->add_option("--backend", o->backend, "cpu, cuda or reference");
  AddDevice(app, &o->device);
  CLI::Option* json = app->add_flag("--json", o->json, "Print JSON");
  app->add_flag("--markdown", o->markdown, "Print docs/ops.md")->excludes(json);
  app->footer("Example:\n  graft ops --json");
  return {app, [o] { return Report(Run(*o)); }};
}

}  // namespace graft
