// graft convert: a TensorFlow model in, a faster one or a plan out.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/dtype_visit.h"
#include "base/file.h"
#include "calibration_data.h"
#include "command.h"
#include "convert/convert_model.h"
#include "convert/environment.h"
#include "npy.h"
#include "runtime/backend_table.h"

namespace graft {
namespace {

struct ConvertArguments {
  convert::ModelOptions model;
  std::string inputs, outputs, deny;
  std::optional<std::string> tags;
  std::vector<std::string> shapes;
  std::string json;
  std::string device;
  std::string precision = "fp32";
  std::string calibration_table;
  CalibrationDataSpec calibration;
  double least_sqnr = 28;
  std::string labels;
  double max_drop = 0;
  std::optional<convert::PrecisionReport> chosen;
  std::string cache = TimingCache::DefaultPath();
};

// Of --precision: any, by what is measured.
constexpr char kAuto[] = "auto";

void PrintReport(const convert::ModelReport& report, const ConvertArguments& o) {
  const convert::ConvertReport& r = report.convert;
  const convert::StageTimes& s = r.seconds;
  std::printf("%d of %d ops converted, in %d engine%s; %d nodes before, %d after\n",
              r.converted_ops, r.total_ops, r.engine_nodes, r.engine_nodes == 1 ? "" : "s",
              r.nodes_before, r.nodes_after);
  if (r.function_ops > 0) {
    std::printf("  of these in bodies of loops and branches: %d of %d\n", r.converted_function_ops,
                r.function_ops);
  }
  for (const auto& [op, count] : r.removed_checks)
    std::printf("  %d %s removed (--keep-asserts)\n", count, op.c_str());
  for (const convert::EngineSummary& e : r.engines) {
    std::printf("  %s: %d nodes, %d inputs, %d outputs, %.1f MB\n", e.name.c_str(), e.nodes,
                e.inputs, e.outputs, static_cast<double>(e.plan_bytes) / 1e6);
  }
  for (const convert::LateEngine& e : r.late_engines) {
    std::printf("  %s: %d nodes, built when it first runs: %s\n", e.name.c_str(), e.nodes,
                e.reason.c_str());
  }
  if (!r.unconverted.empty()) {
    std::printf("not converted, by reason:\n%s", partition::ReasonReport(r.unconverted).c_str());
  }
  const TuneReport& t = report.plan_tune;
  if (!o.model.plan.empty()) {
    std::printf("plan %s: %.1f MB; tactics: %d measured, %d remembered, %d estimated\n",
                o.model.plan.c_str(), static_cast<double>(report.plan_bytes) / 1e6, t.measured,
                t.remembered, t.estimated);
  }
  if (report.packed) PrintPacked(*report.packed);
  std::printf(
      "seconds: read %.2f, import %.2f, passes %.2f, partition %.2f, tune %.2f, write %.2f; peak "
      "memory %.0f MB\n",
      s.read, s.import, s.passes, s.partition, s.tune, s.write,
      static_cast<double>(report.peak_rss_bytes) / 1e6);
  for (const RejectedTactic& rejected : t.rejected) {
    std::fprintf(stderr, "graft: warning: tactic %s rejected for %s: %s\n", rejected.tactic.c_str(),
                 rejected.node.c_str(), rejected.reason.c_str());
  }
  for (const std::string& warning : r.warnings)
    std::fprintf(stderr, "graft: warning: %s\n", warning.c_str());
  for (const std::string& warning : report.warnings)
    std::fprintf(stderr, "graft: warning: %s\n", warning.c_str());
}

// What a lower precision made of each engine.
void PrintLayers(const std::string& engine, const convert::Int8Report& int8, int half_weights) {
  if (half_weights > 0)
    std::printf("%s: %d weights are stored as halves\n", engine.c_str(), half_weights);
  if (int8.layers.empty()) return;
  std::printf("%s: %d of %zu convolutions and products on integers\n", engine.c_str(),
              int8.integers(), int8.layers.size());
  for (const convert::Int8Layer& layer : int8.layers) {
    if (!layer.integers)
      std::printf("  in floats: %s: %s\n", layer.node.c_str(), layer.reason.c_str());
  }
}

void PrintPrecision(const convert::PrecisionReport& p) {
  const auto integers = std::ranges::count_if(p.layers, &convert::LayerPrecision::integers);
  // Results without any noise were made of data that say nothing, such as zeros.
  const std::string sqnr =
      std::isfinite(p.sqnr)
          ? fmt::format("SQNR {:.1f} dB ({:.1f} with all)", p.sqnr, p.integers_sqnr)
          : "SQNR not known: on the data compared, integers and floats give the same";
  const std::string top_1 =
      p.top_1 ? fmt::format(", top-1 {:.2f} % ({:.2f} with all, {:.2f} in floats)", p.top_1->chosen,
                            p.top_1->integers, p.top_1->floats)
              : "";
  // Halves that were no rivals of floats stand for these.
  const std::string floats = p.halves && p.half_microseconds == 0 ? "halves" : "floats";
  const bool taken = !p.integers && (!p.halves || floats == "halves");
  std::printf("int8: %td of %zu products on integers, %s; %.3f ms, in %s %.3f ms%s\n", integers,
              p.layers.size(), (sqnr + top_1).c_str(), p.microseconds / 1000, floats.c_str(),
              p.float_microseconds / 1000,
              taken ? fmt::format(": {} are faster and were taken", floats).c_str() : "");
  if (p.half_microseconds > 0) {
    std::printf("  with halves %.3f ms%s\n", p.half_microseconds / 1000,
                p.halves ? ": they are faster and were taken" : "");
  }
  for (const convert::LayerPrecision& layer : p.layers) {
    if (layer.integers()) continue;
    const std::string why =
        layer.in_floats == convert::FloatReason::kAccuracy
            ? fmt::format("{:.1f} dB alone", layer.sqnr)
            : fmt::format("{:.3f} ms, on integers {:.3f} ms, casts apart",
                          layer.float_microseconds / 1000, layer.microseconds / 1000);
    std::printf("  in %s: %s (%s)\n", floats.c_str(), layer.node.c_str(), why.c_str());
  }
}

// A line that rewrites itself, in a terminal only.
convert::Progress TerminalProgress() {
  if (!isatty(STDERR_FILENO)) return nullptr;
  return [](std::string_view stage, int done, int total) {
    std::fprintf(stderr, "\r\033[K%.*s %d/%d", static_cast<int>(stage.size()), stage.data(), done,
                 total);
    if (done + 1 >= total) std::fprintf(stderr, "\r\033[K");
    std::fflush(stderr);
  };
}

// What products on integers may cost.
Result<convert::AccuracyGoal> FindGoal(const ConvertArguments& o) {
  convert::AccuracyGoal goal;
  goal.least_sqnr = o.least_sqnr;
  goal.most_drop = o.max_drop;
  if (o.labels.empty()) return goal;
  GRAFT_ASSIGN_OR_RETURN(const Tensor labels, ReadNpy(o.labels));
  const bool read = TryVisitDType(kIntegerTypes, labels.dtype(), [&]<class T>(T) {
    for (const T label : labels.data<T>()) goal.labels.push_back(static_cast<int64_t>(label));
  });
  if (!read || labels.rank() != 1 || goal.labels.empty())
    return InvalidArgumentError("{}: {} is no list of classes", o.labels,
                                Describe(labels.dtype(), labels.dims()));
  return goal;
}

// What INT8 knows of ranges besides the model's quantisation nodes, and what it is used for.
Status FindTable(ConvertArguments& o, convert::ModelOptions& model) {
  const bool is_int8 = model.convert.build.precision == convert::Precision::kInt8;
  if (!is_int8 && (!o.calibration_table.empty() || !o.calibration.path.empty()))
    return InvalidArgumentError("ranges are for --precision int8");
  if (!is_int8) return OkStatus();
  convert::Int8Options& int8 = model.convert.build.int8;
  if (!o.calibration_table.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const FileBytes text, ReadFile(o.calibration_table));
    Result<quant::CalibrationTable> table = quant::ParseCalibrationTable(text.view());
    if (!table.ok()) return table.status().WithContext(o.calibration_table);
    int8.table = std::move(*table);
  } else if (!o.calibration.path.empty()) {
    tf::ModelSpec spec = model.model;
    spec.tidy = model.convert.tidy;
    GRAFT_ASSIGN_OR_RETURN(const tf::LoadedModel loaded, tf::LoadModel(spec));
    convert::BuildOptions build = model.convert.build;
    build.precision = convert::Precision::kFp32;
    build.opt_level = std::min(build.opt_level, 1);
    GRAFT_ASSIGN_OR_RETURN(const convert::AccuracyGoal goal, FindGoal(o));
    o.calibration.keep_all = !goal.labels.empty();
    GRAFT_ASSIGN_OR_RETURN(CalibratedModel calibrated,
                           CalibrateModel(loaded, o.calibration, build));
    // What its quantisation nodes say is said again when the model is converted.
    for (const std::string& warning : calibrated.warnings)
      std::fprintf(stderr, "graft: warning: %s\n", warning.c_str());
    int8.table = std::move(calibrated.report.table);
    if (int8.strict) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(
        o.chosen,
        convert::ChoosePrecisions(calibrated.source, model.convert.build, calibrated.kept, goal));
    Apply(*o.chosen, &model.convert.build);
  }
  return OkStatus();
}

Status Run(ConvertArguments& o) {
  convert::ModelOptions& model = o.model;
  const std::vector<std::string> ranges = {o.calibration_table, o.calibration.path};
  for (const std::string& written : {model.plan, model.output, o.json})
    GRAFT_RETURN_IF_ERROR(CheckReplacesNone(written, ranges));
  GRAFT_RETURN_IF_ERROR(CheckReplacesNone(o.json, {model.model.path}));
  GRAFT_RETURN_IF_ERROR(convert::ApplyEnvironment(&model.convert));
  model.model.inputs = SplitNames(o.inputs);
  model.model.outputs = SplitNames(o.outputs);
  if (o.tags) model.model.tags = SplitNames(*o.tags);
  for (std::string& name : SplitNames(o.deny))
    model.convert.candidates.denied_nodes.insert(std::move(name));
  for (const std::string& text : o.shapes) {
    GRAFT_ASSIGN_OR_RETURN(auto shapes, ParseShapes(text));
    model.shapes.push_back(std::move(shapes));
  }
  convert::BuildOptions& build = model.convert.build;
  if (!o.device.empty()) {
    GRAFT_ASSIGN_OR_RETURN(DeviceName name, ParseDeviceName(o.device));
    build.backend = std::move(name.backend);
    build.device = name.device;
  }
  if (o.precision == kAuto) {
    if (o.calibration.path.empty())
      return InvalidArgumentError("--precision auto compares engines on --calibration-data");
    if (build.int8.strict)
      return InvalidArgumentError("--precision auto chooses, which --strict-int8 forbids");
    build.precision = convert::Precision::kInt8;
    build.halves = true;
  } else {
    GRAFT_ASSIGN_OR_RETURN(build.precision, convert::ParsePrecision(o.precision));
  }
  std::unique_ptr<TimingCache> cache = TimingCache::Open(o.cache);
  if (cache->bad_lines() > 0) {
    std::fprintf(stderr, "graft: warning: %s: %d damaged lines ignored\n", o.cache.c_str(),
                 cache->bad_lines());
  }
  build.cache = cache.get();
  build.progress = TerminalProgress();
  GRAFT_RETURN_IF_ERROR(FindTable(o, model));
  // Which the choice may have changed.
  model.convert.attributes.precision_mode = convert::Name(build.precision);
  model.convert.options_text = fmt::format("minimum-segment-size={} opt-level={} disable-pass=[{}]",
                                           model.convert.cluster.minimum_segment_size,
                                           build.opt_level, fmt::join(build.disabled_passes, ","));
  GRAFT_ASSIGN_OR_RETURN(convert::ModelReport report, convert::ConvertModel(model));
  report.precision = std::move(o.chosen);
  PrintReport(report, o);
  for (const convert::EngineSummary& e : report.convert.engines)
    PrintLayers(e.name, e.int8, e.half_weights);
  PrintLayers("plan", report.plan_int8, report.plan_half_weights);
  if (report.precision) PrintPrecision(*report.precision);
  if (!o.json.empty()) GRAFT_RETURN_IF_ERROR(WriteFileAtomically(o.json, convert::ToJson(report)));
  return OkStatus();
}

}  // namespace

Command AddConvert(CLI::App& program) {
  auto o = std::make_shared<ConvertArguments>();
  convert::BuildOptions& build = o->model.convert.build;
  CLI::App* app = program.add_subcommand("convert", "Convert a TensorFlow model");
  app->add_option("MODEL", o->model.model.path,
                  "A frozen .pb, a SavedModel folder, or a .meta with its checkpoint")
      ->required();
  app->add_option("--inputs", o->inputs,
                  "Input tensors, with shapes if wanted: a:0,b:0[1,224,224,3]");
  app->add_option("--outputs", o->outputs, "Output tensors: c:0,d:0");
  app->add_option("--tag", o->tags,
                  "Tags of the SavedModel's graph (serve); \"\" for a graph without tags");
  app->add_option("--signature", o->model.model.signature,
                  "Signature of the SavedModel (serving_default)");
  app->add_option("--checkpoint", o->model.model.checkpoint, "Prefix of the checkpoint of a .meta");
  auto* plan = app->add_option("--plan", o->model.plan, "Write the whole model as a plan");
  app->add_flag("--packed", o->model.packed,
                "The plan keeps its weights as this machine's kernels read them too")
      ->needs(plan);
  app->add_option("--output", o->model.output,
                  "Write the converted model: a folder (SavedModel) or a .pb");
  app->add_option("--minimum-segment-size", o->model.convert.cluster.minimum_segment_size,
                  "Smallest part to replace (3)");
  app->add_option("--deny", o->deny, "Nodes that stay as they are: NAME,…");
  app->add_option("--shapes", o->shapes,
                  "Sizes to tune at: in:8x224x224x3,…; may be given several times");
  app->add_option("--opt-level", build.opt_level, "0 (no timing) … 5 (long timing); 3")
      ->check(CLI::Range(0, 5));
  app->add_option("--threads", build.threads, "Threads to tune for; 0: all processors");
  app->add_option("--backend", build.backend, "cpu, cuda or reference");
  AddDevice(app, &o->device);
  app->add_option(
         "--max-workspace-size-bytes", build.max_workspace_bytes,
         "Memory that a step may work in on a device; a tactic that needs more is not taken")
      ->check(CLI::NonNegativeNumber);
  app->add_option(
         "--precision", o->precision,
         "fp32; fp16: values and weights may be stored as halves; int8: products whose "
         "operands have ranges on 8-bit integers; auto: the fastest of all these, each product "
         "on its own, that is accurate enough on --calibration-data")
      ->transform(CLI::IsMember({"fp32", "fp16", "int8", kAuto}, CLI::ignore_case));
  auto* table = app->add_option("--calibration-table", o->calibration_table,
                                "Ranges for int8: a file of graft calibrate, or TensorRT's");
  app->add_option("--calibration-data", o->calibration.path,
                  "Find ranges for int8 with this: a .npz file of samples, a .tfrecord file of "
                  "examples, or a folder of "
                  "CASE_in_INPUT.npy batches")
      ->excludes(table);
  app->add_option("--calibrator", o->calibration.calibrator,
                  "entropy, percentile, minmax or mse (entropy)");
  app->add_option("--calibration-batch", o->calibration.batch,
                  "Samples of a file that run at once (1)")
      ->check(CLI::PositiveNumber);
  app->add_option("--least-sqnr", o->least_sqnr,
                  "Decibels of the outputs below which products go back to floats, with "
                  "--calibration-data (28)")
      ->check(Finite());
  auto* labels = app->add_option("--labels", o->labels,
                                 "The classes of the samples of --calibration-data: a .npy file")
                     ->excludes("--least-sqnr");
  app->add_option("--max-drop", o->max_drop,
                  "Points of top-1, by --labels, that integers may cost (0)")
      ->check(Finite())
      ->needs(labels);
  app->add_flag("--strict-int8", build.int8.strict,
                "All products that can be are computed on integers, whatever they cost");
  app->add_flag("--embed-weights", o->model.convert.embed_weights,
                "Engines hold all weights themselves");
  app->add_flag("--weights-in-graph", o->model.convert.weights_in_graph,
                "A SavedModel's native segments hold their weights in the graph, not in a file");
  app->add_flag("--keep-asserts", o->model.convert.tidy.keep_asserts,
                "Assert and CheckNumerics stay, as ops of TensorFlow");
  app->add_option("--dump", build.dump_directory, "Folder for the module after each pass");
  app->add_option("--disable-pass", build.disabled_passes, "Leave out a pass (may be repeated)");
  app->add_option("--stop-after", build.stop_after, "Run no pass after this one");
  app->add_option("--timing-cache", o->cache,
                  "File of measured times ($GRAFT_CACHE/timings or ~/.cache/graft/timings)");
  app->add_option("--json", o->json, "Write the report to this file");
  app->footer(
      "Examples:\n"
      "  graft convert model.pb --plan model.plan\n"
      "  graft convert saved_model --output converted --json report.json\n"
      "  graft convert model.pb --plan model.plan --precision int8 --calibration-data images.npz\n"
      "  graft convert model.ckpt.meta --outputs logits:0 --plan model.plan\n"
      "  graft convert saved_model --plan model.plan --shapes images:8x224x224x3 --threads 2");
  return {app, [o] { return Report(Run(*o)); }};
}

}  // namespace graft
