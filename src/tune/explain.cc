#include "tune/explain.h"

#include "backend_api/thread_mode.h"
#include "tune/measure.h"

namespace graft {

Result<std::vector<CandidateReport>> ExplainNode(const ir::Module& module, ir::NodeId id,
                                                 Backend& backend,
                                                 std::span<const TuningPoint> points,
                                                 const TuneOptions& options) {
  const ir::Node& node = module.node(id);
  std::vector<BoundNode> bound;
  for (const TuningPoint& point : points) {
    GRAFT_ASSIGN_OR_RETURN(BoundNode at_point, BindNode(module, node, point.symbols));
    // As for tuning: kernels trust sizes.
    if (Status fits = VerifyBound(at_point); !fits.ok())
      return UnsupportedError("{}: {}", node.name, fits.message());
    if (MeasuredBytes(at_point) > options.max_bytes) {
      return UnsupportedError("{}: it would take {} bytes to measure", node.name,
                              MeasuredBytes(at_point));
    }
    bound.push_back(std::move(at_point));
  }
  std::vector<CandidateReport> reports;
  std::vector<const Tactic*> tactics;  // those that run
  std::vector<size_t> places;          // of these in the reports
  for (const Candidate& c : backend.Candidates(module, node)) {
    CandidateReport& report = reports.emplace_back();
    report.tactic = c.tactic->name();
    if (c.refusal) {
      report.refusal = c.refusal->reason;
      continue;
    }
    const TacticTraits traits = c.tactic->Traits(module, node);
    for (const BoundNode& at_point : bound) {
      if (!TakesStrides(traits, at_point)) report.refusal = kRowsNotDense;
    }
    if (!report.refusal.empty()) continue;
    places.push_back(reports.size() - 1);
    tactics.push_back(c.tactic);
  }
  if (tactics.empty()) return reports;
  ThreadModeExecutor executor(backend.device(),
                              MakeTbbExecutor(backend.uses_executor() ? options.threads : 1));
  const MeasureOptions measure = MeasureOptionsOf(module, backend.device(), options);
  for (BoundNode& at_point : bound) {
    ForgetStrideOfSingleRow(&at_point);
    GRAFT_ASSIGN_OR_RETURN(
        const std::vector<Measurement> measured,
        MeasureTactics(module, node, at_point, tactics, backend, executor, measure));
    for (size_t t = 0; t < tactics.size(); ++t)
      reports[places[t]].times.push_back({measured[t].microseconds, measured[t].rejected});
  }
  return reports;
}

}  // namespace graft
