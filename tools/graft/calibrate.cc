// graft calibrate: a model and data in, the ranges of its tensors out.
#include <cstdio>

#include "base/file.h"
#include "calibration_data.h"
#include "command.h"

namespace graft {
namespace {

struct CalibrateArguments {
  tf::ModelSpec model;
  std::string inputs, outputs, tags;
  CalibrationDataSpec data;
  std::string output;
  convert::BuildOptions build;
  std::string cache = TimingCache::DefaultPath();
};

Status Run(CalibrateArguments& o) {
  GRAFT_RETURN_IF_ERROR(CheckReplacesNone(o.output, {o.model.path, o.data.path, o.data.state}));
  GRAFT_RETURN_IF_ERROR(CheckReplacesNone(o.data.state, {o.model.path, o.data.path}));
  o.model.inputs = SplitNames(o.inputs);
  o.model.outputs = SplitNames(o.outputs);
  if (!o.tags.empty()) o.model.tags = SplitNames(o.tags);
  GRAFT_ASSIGN_OR_RETURN(const tf::LoadedModel model, tf::LoadModel(o.model));
  const std::unique_ptr<TimingCache> cache = TimingCache::Open(o.cache);
  o.build.cache = cache.get();
  GRAFT_ASSIGN_OR_RETURN(const CalibratedModel calibrated, CalibrateModel(model, o.data, o.build));
  const convert::CalibrateReport& report = calibrated.report;
  for (const auto* warnings : {&calibrated.warnings, &report.warnings}) {
    for (const std::string& warning : *warnings)
      std::fprintf(stderr, "graft: warning: %s\n", warning.c_str());
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string text, quant::ToText(report.table));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomically(o.output, text));
  std::printf("%lld tensors calibrated (%s) on %lld batches, %zu have their range from the model\n",
              static_cast<long long>(report.tensors), o.data.calibrator.c_str(),
              static_cast<long long>(report.batches), report.from_nodes.size());
  return OkStatus();
}

}  // namespace

Command AddCalibrate(CLI::App& program) {
  auto o = std::make_shared<CalibrateArguments>();
  convert::BuildOptions& build = o->build;
  build.opt_level = 1;
  CLI::App* app =
      program.add_subcommand("calibrate", "Find the ranges of a model's tensors from data");
  app->add_option("MODEL", o->model.path,
                  "A frozen .pb, a SavedModel folder, or a .meta with its checkpoint")
      ->required();
  app->add_option("--data", o->data.path,
                  "A .npz file of samples, a .tfrecord file of examples, or a folder of "
                  "CASE_in_INPUT.npy batches")
      ->required();
  app->add_option("-o,--output", o->output, "The calibration table to write")->required();
  app->add_option("--calibrator", o->data.calibrator, "entropy, percentile, minmax or mse");
  app->add_option("--batch", o->data.batch, "Samples of a file that run at once (1)")
      ->check(CLI::PositiveNumber);
  app->add_option(
      "--state", o->data.state,
      "File that keeps what was gathered; a calibration that was stopped goes on from it");
  app->add_option("--inputs", o->inputs,
                  "Input tensors, with shapes if wanted: a:0,b:0[1,224,224,3]");
  app->add_option("--outputs", o->outputs, "Output tensors: c:0,d:0");
  app->add_option("--tag", o->tags, "Tags of the SavedModel's graph (serve)");
  app->add_option("--signature", o->model.signature,
                  "Signature of the SavedModel (serving_default)");
  app->add_option("--checkpoint", o->model.checkpoint, "Prefix of the checkpoint of a .meta");
  app->add_option("--threads", build.threads, "Threads; 0: all processors");
  app->add_option("--backend", build.backend, "cpu or reference");
  app->footer("Example:\n  graft calibrate saved_model --data images.npz -o model.table");
  return {app, [o]() -> int {
            const Status status = Run(*o);
            return status.ok() ? kDone : Report(status);
          }};
}

}  // namespace graft
