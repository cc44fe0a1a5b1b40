// graft plan: work on plan files.
#include <cstdio>

#include "command.h"
#include "convert/retune.h"
#include "plan/plan_file.h"
#include "runtime/backend_table.h"
#include "runtime/pack_plan.h"

namespace graft {
namespace {

struct TuneCommand {
  std::string plan;
  std::string output;
  std::string device;
  std::string cache = TimingCache::DefaultPath();
  std::vector<std::string> shapes;
  convert::RetuneOptions tune;
};

Result<Plan> LoadWhole(const std::string& path) {
  ReadPlanOptions options;
  options.check_all_weights = true;
  return LoadPlan(path, options);
}

int Verify(const std::string& path) {
  const Result<Plan> plan = LoadWhole(path);
  if (plan.ok()) {
    std::printf("%s: good, %d nodes\n", path.c_str(), plan->module.node_count());
    return kDone;
  }
  const int code = Report(plan.status());
  return plan.status().code() == StatusCode::kDataLoss ? kCheckFailed : code;
}

Status Tune(TuneCommand& o) {
  GRAFT_ASSIGN_OR_RETURN(Plan plan, LoadWhole(o.plan));
  if (!o.device.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const DeviceName device, ParseDeviceName(o.device));
    if (device.backend != plan.backend) {
      return InvalidArgumentError("{}: made for {}, not for {}: convert the model for that", o.plan,
                                  plan.backend, device.backend);
    }
    o.tune.device = device.device;
  }
  for (const std::string& text : o.shapes) {
    GRAFT_ASSIGN_OR_RETURN(const auto shapes, ParseShapes(text));
    std::vector<Dims>& dims = o.tune.points.emplace_back();
    for (const ir::ValueId input : plan.module.inputs)
      dims.emplace_back(plan.module.value(input).shape.size(), -1);
    GRAFT_RETURN_IF_ERROR(SetDims(plan.module, shapes, &dims));
  }
  const std::string before = plan.provenance.fingerprint;
  const std::unique_ptr<TimingCache> cache = TimingCache::Open(o.cache);
  o.tune.cache = cache.get();
  GRAFT_ASSIGN_OR_RETURN(const TuneReport report, convert::Retune(plan, o.tune));
  GRAFT_RETURN_IF_ERROR(WritePlanFile(plan, o.output).status());
  if (const Status saved = cache->Flush(); !saved.ok())
    std::fprintf(stderr, "graft: warning: %s\n", saved.message().c_str());
  std::printf("tuned on %s\n", plan.provenance.fingerprint.c_str());
  if (before != plan.provenance.fingerprint) std::printf("before on %s\n", before.c_str());
  std::printf("plan %s; tactics: %d measured, %d remembered, %d estimated\n", o.output.c_str(),
              report.measured, report.remembered, report.estimated);
  for (const RejectedTactic& r : report.rejected) {
    std::fprintf(stderr, "graft: warning: %s: tactic %s: %s\n", r.node.c_str(), r.tactic.c_str(),
                 r.reason.c_str());
  }
  return OkStatus();
}

Status Pack(const std::string& path, const std::string& output) {
  GRAFT_ASSIGN_OR_RETURN(Plan plan, LoadWhole(path));
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(plan.backend));
  const std::unique_ptr<Executor> executor = MakeTbbExecutor(0);
  Result<PackReport> report = PackPlan(plan, *backend, *executor);
  if (!report.ok()) return report.status().WithContext(path);
  GRAFT_ASSIGN_OR_RETURN(const size_t size, WritePlanFile(plan, output));
  PrintPacked(*report);
  std::printf("plan %s: %.1f MB\n", output.c_str(), static_cast<double>(size) / 1e6);
  return OkStatus();
}

}  // namespace

Command AddPlan(CLI::App& program) {
  auto o = std::make_shared<TuneCommand>();
  CLI::App* app =
      program.add_subcommand("plan", "Check plan files, tune them again, pack their weights");
  app->require_subcommand(1);
  CLI::App* verify = app->add_subcommand("verify", "Check a plan's structure and all its weights");
  verify->add_option("PLAN", o->plan, "The plan")->required();
  verify->footer("Exits with 1 when the plan is damaged.");
  CLI::App* tune =
      app->add_subcommand("tune", "Choose a plan's tactics again, on this machine or for shapes");
  tune->add_option("PLAN", o->plan, "The plan")->required();
  tune->add_option("--output", o->output, "The plan to write")->required();
  tune->add_option("--shapes", o->shapes,
                   "Input shapes to tune at (may be repeated); else those of the plan");
  tune->add_option("--threads", o->tune.threads, "Threads to tune for; 0: all processors");
  tune->add_option("--opt-level", o->tune.opt_level, "0 (no timing) … 5 (long timing); 3")
      ->check(CLI::Range(0, 5));
  AddDevice(tune, &o->device);
  tune->add_option("--timing-cache", o->cache,
                   "File of measured times ($GRAFT_CACHE/timings or ~/.cache/graft/timings)");
  tune->footer("Example:\n  graft plan tune model.plan --output here.plan --threads 2");
  CLI::App* pack = app->add_subcommand(
      "pack", "Keep the weights in the plan as this machine's kernels read them");
  pack->add_option("PLAN", o->plan, "The plan")->required();
  pack->add_option("--output", o->output, "The plan to write")->required();
  pack->footer(
      "Such a plan loads faster, and processes that map it share its weights; it is larger.\n"
      "Example:\n  graft plan pack model.plan --output here.plan");
  return {app, [o, verify, pack] {
            if (verify->parsed()) return Verify(o->plan);
            return Report(pack->parsed() ? Pack(o->plan, o->output) : Tune(*o));
          }};
}

}  // namespace graft
