// graft report: a page about what was converted, how fast and how right it is.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "base/file.h"
#include "command.h"
#include "convert/convert_graph.h"
#include "convert/environment.h"
#include "json_text.h"
#include "partition/shared_constants.h"
#include "plan/container.h"
#include "report_advice.h"
#include "report_engine.h"
#include "report_graph.h"
#include "report_page.h"
#include "tf/load_model.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kBatch = 8;  // that is compared with one item

struct ReportArguments {
  std::string path;
  tf::ModelSpec model;  // its path: --against
  std::optional<std::string> tag;
  std::string reference;
  bool accuracy = false;
  bool layers = false;
  double tolerance = 1e-4;
  std::string shapes;
  std::string output;
  std::string json;
  int opt_level = 3;
  std::string cache = TimingCache::DefaultPath();
  EngineReportOptions engine;
};

// All that the page shows.
struct Report {
  std::string kind;
  GraphPicture picture;
  std::vector<partition::LeftOut> unconverted;
  std::vector<EngineReport> engines;
  std::map<std::string, std::string> failed;  // engine, why there are no figures of it
  int total_ops = 0;
  int converted_ops = 0;
  std::vector<std::string> notes;
};

void Note(const std::string& what, const Status& status, Report* report) {
  if (!status.ok()) report->notes.push_back(fmt::format("{}: {}", what, status.message()));
}

// The last part of the path, whether or not a slash ends it.
std::string NameOf(const std::string& path) {
  const fs::path whole(path);
  return (whole.has_filename() ? whole : whole.parent_path()).filename();
}

// ---- plans

// The model's graph with inputs and outputs in the engine's order.
Result<NativeGraph> NativeGraphOfPlan(const tf::LoadedModel& model, const Engine& engine) {
  NativeGraph native;
  native.graph = model.graph;
  native.inputs.resize(engine.inputs().size());
  native.outputs.resize(engine.outputs().size());
  for (const tf::Endpoint& input : model.inputs) {
    GRAFT_ASSIGN_OR_RETURN(const int at, FindInput(engine.module(), input.key));
    native.inputs[static_cast<size_t>(at)] = {input.tensor, input.dtype, input.shape};
  }
  for (const tf::Endpoint& output : model.outputs) {
    GRAFT_ASSIGN_OR_RETURN(const int at, FindOutput(engine.module(), output.key));
    native.outputs[static_cast<size_t>(at)] = output.tensor;
  }
  return native;
}

Status ReportPlan(const ReportArguments& o, Report* report) {
  report->kind = "plan";
  const std::string name = NameOf(o.path);
  GRAFT_ASSIGN_OR_RETURN(Plan plan, LoadPlan(o.path));
  report->picture = PictureOf(plan.module, name);
  report->total_ops = report->converted_ops = plan.module.node_count();
  EngineReportOptions options = o.engine;
  GRAFT_ASSIGN_OR_RETURN(options.shapes, ParseShapes(o.shapes));
  GRAFT_ASSIGN_OR_RETURN(EngineReport engine, EngineReport::Make(name, std::move(plan), options));
  if (!o.reference.empty()) GRAFT_RETURN_IF_ERROR(engine.CompareWithFolder(o.reference));
  if (!o.model.path.empty()) {
    // The plan says which outputs are meant: a graph by itself says all that nothing reads.
    tf::ModelSpec spec = o.model;
    for (const Binding& output : engine.engine().outputs()) spec.outputs.push_back(output.name);
    GRAFT_ASSIGN_OR_RETURN(const tf::LoadedModel model, tf::LoadModel(spec));
    GRAFT_ASSIGN_OR_RETURN(const NativeGraph native, NativeGraphOfPlan(model, engine.engine()));
    report->picture = PictureOfWhole(model.graph, name);
    GRAFT_RETURN_IF_ERROR(engine.CompareWith(native, o.layers));
  }
  report->engines.push_back(std::move(engine));
  return OkStatus();
}

// ---- models

struct EngineNode {
  std::string name;
  std::string plan;
  const tf::FunctionDef* segment = nullptr;
};

std::vector<const tf::NodeDef*> EngineNodesOf(const tf::GraphDef& graph) {
  std::vector<const tf::NodeDef*> engines;
  const auto add = [&](const std::vector<tf::NodeDef>& nodes) {
    for (const tf::NodeDef& node : nodes) {
      if (node.op == "TRTEngineOp") engines.push_back(&node);
    }
  };
  add(graph.nodes);
  for (const tf::FunctionDef& function : graph.functions) add(function.nodes);
  return engines;
}

Result<EngineNode> ReadEngineNode(const tf::GraphDef& graph, const tf::NodeDef& node) {
  EngineNode engine{.name = node.name};
  GRAFT_ASSIGN_OR_RETURN(engine.plan, node.Attr<std::string>("serialized_segment"));
  GRAFT_ASSIGN_OR_RETURN(const tf::FuncValue native, node.Attr<tf::FuncValue>("segment_func"));
  engine.segment = graph.FindFunction(native.name);
  return engine;
}

// The plan of an engine node; what weights it does not hold, its native segment does.
Result<Plan> PlanOf(const EngineNode& node) {
  if (node.plan.empty()) return FailedPreconditionError("it is built at its first run");
  ReadPlanOptions options;
  options.external_weight = [&](const std::string& name,
                                FunctionRef<bool(const Tensor&)> fits) -> Result<Tensor> {
    // By name first: TensorFlow merges equal constants and renames them.
    for (const bool by_name : {true, false}) {
      for (const tf::NodeDef& constant : node.segment->nodes) {
        if (constant.op != "Const" || (constant.name == name) != by_name) continue;
        GRAFT_ASSIGN_OR_RETURN(const tf::TensorValue value,
                               constant.Attr<tf::TensorValue>("value"));
        const Result<Tensor> tensor = value.Decode();
        if (tensor.ok() && fits(*tensor)) return *tensor;
      }
    }
    return NotFoundError("{}: no constant of the native segment is its weight {}", node.name, name);
  };
  if (node.segment == nullptr) options.external_weight = nullptr;
  auto bytes = std::make_shared<std::string>(node.plan);
  const auto* data = reinterpret_cast<const std::byte*>(bytes->data());
  return ReadPlan({std::shared_ptr<const std::byte>(bytes, data), bytes->size()}, options);
}

Result<EngineReport> ReportEngine(const ReportArguments& o, const EngineNode& node,
                                  Report* report) {
  GRAFT_ASSIGN_OR_RETURN(Plan plan, PlanOf(node));
  GRAFT_ASSIGN_OR_RETURN(EngineReport engine,
                         EngineReport::Make(node.name, std::move(plan), o.engine));
  if (!o.accuracy) return engine;
  if (node.segment == nullptr) {
    report->notes.push_back(node.name + ": there is no native segment to compare it with");
    return engine;
  }
  const Result<NativeGraph> native = NativeGraphOf(*node.segment, engine.engine().inputs());
  Note(node.name, native.ok() ? engine.CompareWith(*native, o.layers) : native.status(), report);
  return engine;
}

Status ReportModel(const ReportArguments& o, Report* report) {
  tf::ModelSpec spec = o.model;
  spec.path = o.path;
  GRAFT_ASSIGN_OR_RETURN(const tf::LoadedModel model, tf::LoadModel(spec));
  const bool converted = !EngineNodesOf(model.graph).empty();
  report->kind = converted ? "converted model" : "model";
  convert::ConvertOptions options;
  GRAFT_RETURN_IF_ERROR(convert::ApplyEnvironment(&options));
  options.build.threads = o.engine.threads;
  options.build.opt_level = o.opt_level;
  options.build_engines = !converted;  // else only to learn the reasons
  const std::unique_ptr<TimingCache> cache = TimingCache::Open(o.cache);
  options.build.cache = cache.get();
  std::vector<importer::GraphInput> inputs;
  std::vector<std::string> outputs;
  for (const tf::Endpoint& e : model.inputs) inputs.push_back({e.tensor, e.dtype, e.shape});
  for (const tf::Endpoint& e : model.outputs) outputs.push_back(e.tensor);
  GRAFT_ASSIGN_OR_RETURN(convert::ConvertedGraph made,
                         convert::ConvertGraph(model.graph, inputs, outputs, options));
  static_cast<void>(cache->Flush());  // another time they are measured again
  tf::GraphDef graph = std::move(made.graph);
  if (converted) graph = model.graph;
  partition::UnshareConstants(&graph);
  report->picture = PictureOf(graph);
  report->notes = made.report.warnings;
  for (partition::LeftOut& node : made.report.unconverted) {
    if (node.op != "TRTEngineOp") report->unconverted.push_back(std::move(node));
  }
  report->total_ops = made.report.total_ops;
  report->converted_ops = made.report.converted_ops;
  if (converted) {
    const auto in_engines =
        std::ranges::count_if(report->picture.nodes, [](const GraphPicture::Node& node) {
          return node.engine != GraphPicture::kNative && node.op != "Const";
        });
    report->converted_ops = static_cast<int>(in_engines);
    report->total_ops = static_cast<int>(in_engines + std::ssize(report->unconverted));
  }
  for (const tf::NodeDef* const found : EngineNodesOf(graph)) {
    GRAFT_ASSIGN_OR_RETURN(const EngineNode node, ReadEngineNode(graph, *found));
    Result<EngineReport> engine = ReportEngine(o, node, report);
    if (engine.ok()) {
      report->engines.push_back(std::move(*engine));
    } else {
      report->failed[node.name] = engine.status().message();
    }
  }
  return OkStatus();
}

// ---- the page

void AddReasons(Report* report) {
  std::map<std::string, const std::string*> reasons;
  for (const partition::LeftOut& node : report->unconverted) reasons[node.name] = &node.reason;
  for (GraphPicture::Node& node : report->picture.nodes) {
    const auto found = reasons.find(node.name);
    if (found != reasons.end() && node.engine == GraphPicture::kNative)
      node.reason = *found->second;
  }
}

Json GraphJson(const GraphPicture& picture) {
  Json json = {{"engines", picture.engines}, {"nodes", Json::array()}};
  for (const GraphPicture::Node& node : picture.nodes)
    json["nodes"].push_back({node.name, node.op, node.engine, node.inputs, node.reason});
  return json;
}

Status TryBatch(const Report& report, Findings* findings) {
  const auto slowest = std::ranges::max_element(report.engines, {}, &EngineReport::median_ms);
  if (slowest == report.engines.end()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::optional<double> one, slowest->MillisecondsAt(1));
  if (!one) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::optional<double> many, slowest->MillisecondsAt(kBatch));
  findings->batch = kBatch;
  findings->ms_of_one = *one;
  findings->ms_of_batch = *many;
  return OkStatus();
}

Result<Json> ToJson(const ReportArguments& o, Report* report) {
  AddReasons(report);
  Findings findings;
  findings.unconverted = report->unconverted;
  findings.engines = &report->engines;
  findings.tolerance = o.tolerance;
  Note("batch", TryBatch(*report, &findings), report);
  Json json = {{"schema", 1},
               {"title", NameOf(o.path)},
               {"kind", report->kind},
               {"total_ops", report->total_ops},
               {"converted_ops", report->converted_ops},
               {"threads", MakeTbbExecutor(o.engine.threads)->width()},
               {"tolerance", o.tolerance},
               {"advice", Json::array()},
               {"notes", report->notes},
               {"graph", GraphJson(report->picture)},
               {"engines", Json::array()},
               {"failed", report->failed}};
  for (const Advice& a : Advise(findings))
    json["advice"].push_back({{"found", a.found}, {"to_do", a.to_do}, {"search", a.search}});
  for (const EngineReport& engine : report->engines) json["engines"].push_back(engine.ToJson());
  return json;
}

Status Run(ReportArguments& o) {
  if (o.tag) o.model.tags = o.tag->empty() ? std::vector<std::string>() : std::vector{*o.tag};
  bool is_plan = false;
  if (!fs::is_directory(o.path)) {
    GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(o.path));
    is_plan = bytes.view().starts_with(kPlanMagic);
  }
  if (!is_plan && (!o.model.path.empty() || !o.reference.empty() || !o.shapes.empty())) {
    return InvalidArgumentError(
        "{}: --against, --reference and --shapes are for a plan; a model's engines are compared "
        "with their native segments by --accuracy",
        o.path);
  }
  if (is_plan && o.accuracy)
    return InvalidArgumentError("{}: a plan is compared with --against or --reference", o.path);
  if (o.layers && o.model.path.empty() && !o.accuracy)
    return InvalidArgumentError("--layers compares: it wants --accuracy, or a plan's --against");
  Report report;
  GRAFT_RETURN_IF_ERROR(is_plan ? ReportPlan(o, &report) : ReportModel(o, &report));
  GRAFT_ASSIGN_OR_RETURN(const Json json, ToJson(o, &report));
  const std::string text = ToText(json);
  if (!o.json.empty()) GRAFT_RETURN_IF_ERROR(WriteFileAtomically(o.json, text));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomically(o.output, ReportPage(text)));
  std::printf("%d of %d ops in %zu engine%s; report: %s\n", report.converted_ops, report.total_ops,
              report.picture.engines.size(), report.picture.engines.size() == 1 ? "" : "s",
              o.output.c_str());
  for (const Json& a : json["advice"]) std::printf("- %s\n", a["found"].get<std::string>().c_str());
  for (const std::string& note : report.notes)
    std::fprintf(stderr, "graft: warning: %s\n", note.c_str());
  for (const auto& [engine, why] : report.failed)
    std::fprintf(stderr, "graft: warning: no figures of %s: %s\n", engine.c_str(), why.c_str());
  return OkStatus();
}

}  // namespace

Command AddReport(CLI::App& program) {
  auto o = std::make_shared<ReportArguments>();
  CLI::App* app = program.add_subcommand(
      "report", "Write a page about a model, a converted model or a plan, and measure its engines");
  app->add_option("PATH", o->path, "A .pb, a SavedModel folder or a plan")->required();
  app->add_option("--output,-o", o->output, "The page to write, an HTML file")->required();
  app->add_option("--json", o->json, "Write what the page shows to this file too");
  app->add_option("--against", o->model.path,
                  "The model that the plan was made of: shown, and compared with on random inputs");
  app->add_option("--reference", o->reference,
                  "Compare a plan with stored results: a folder of CASE_in_INPUT.npy and "
                  "CASE_out_OUTPUT.npy files");
  app->add_flag("--accuracy", o->accuracy,
                "Compare a model's engines with their native segments, on the reference kernels");
  app->add_flag("--layers", o->layers, "Compare layer by layer too: where do the results part?");
  app->add_option("--tolerance", o->tolerance,
                  "Largest error, as a share of the output's largest value (1e-4)")
      ->check(CLI::NonNegativeNumber)
      ->check(Finite());
  app->add_option("--tag", o->tag,
                  "Tag of the SavedModel's graph (serve); \"\" for a graph without tags");
  app->add_option("--signature", o->model.signature, "Signature of the SavedModel");
  app->add_option("--shapes", o->shapes, "Input shapes of a plan: name:8x224x224x3,…");
  app->add_option("--threads", o->engine.threads, "Threads; 0: all processors");
  AddDeviceOfPlan(app, &o->engine.device);
  app->add_option("--duration", o->engine.seconds, "Seconds of each measurement (0.5)")
      ->check(CLI::PositiveNumber)
      ->check(Finite());
  app->add_option("--opt-level", o->opt_level,
                  "For a model, whose engines are built for the report: 0 (no timing) … 5")
      ->check(CLI::Range(0, 5));
  app->add_option("--timing-cache", o->cache,
                  "File of measured times ($GRAFT_CACHE/timings or ~/.cache/graft/timings)");
  app->footer(
      "Examples:\n"
      "  graft report saved_model -o report.html\n"
      "  graft report model.plan --against model.pb --layers -o report.html");
  return {app, [o] { return graft::Report(Run(*o)); }};
}

}  // namespace graft
