#include "tune/tuner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>

#include "backend_api/thread_mode.h"
#include "tune/measure.h"

namespace graft {
namespace {

// Ties within this share go to the earlier candidate: timings are not that good.
constexpr double kTie = 0.03;
// At levels 1 and 2, candidates that the cost model puts beyond this factor are not timed.
constexpr double kModelFactor = 2.0;

// Whether the device's caches are known, and known to be too small for all constants.
bool AreConstantsCold(const ir::Module& module, const Device& device) {
  size_t bytes = 0;
  for (ir::ValueId v = 0; v < module.value_count(); ++v) {
    if (module.value(v).constant) bytes += module.value(v).constant->bytes();
  }
  return device.cache_bytes() > 0 && bytes > device.cache_bytes();
}

std::unique_ptr<Executor> MakeExecutor(const Backend& backend, int threads) {
  return MakeTbbExecutor(backend.uses_executor() ? threads : 1);
}

class Tuner {
 public:
  Tuner(const ir::Module& module, Backend& backend, const TuneOptions& options, TimingCache& cache,
        TuneReport& report)
      : module_(module),
        backend_(backend),
        options_(options),
        cache_(cache),
        report_(report),
        executor_(backend.device(), MakeExecutor(backend, options.threads)),
        fingerprint_(backend.Fingerprint()),
        threads_(backend.uses_executor() ? fmt::format(" t{}", options.threads) : ""),
        cold_constants_(AreConstantsCold(module, backend.device())) {}

  Result<StepChoice> Choose(const ir::Node& node, std::span<const TuningPoint> points) {
    std::vector<BoundNode> bound;
    for (const TuningPoint& point : points) {
      GRAFT_ASSIGN_OR_RETURN(BoundNode at_point, BindNode(module_, node, point.symbols));
      bound.push_back(std::move(at_point));
    }
    std::vector<const Tactic*> tactics;
    std::string reasons;
    for (const Candidate& c : backend_.Candidates(module_, node)) {
      if (c.refusal) {
        reasons = c.refusal->reason;
        continue;
      }
      const TacticTraits traits = c.tactic->Traits(module_, node);
      if (std::ranges::all_of(bound, [&](const BoundNode& b) { return TakesStrides(traits, b); })) {
        tactics.push_back(c.tactic);
      } else {
        reasons = fmt::format("{}: rows that are not dense", c.tactic->name());
      }
    }
    if (tactics.empty()) {
      return UnsupportedError("{}: {}", node.name,
                              reasons.empty() ? fmt::format("backend {} has no tactic for {}",
                                                            backend_.name(), ir::Name(node.kind()))
                                              : reasons);
    }
    std::vector<std::vector<double>> times;  // [point][tactic], microseconds
    for (const BoundNode& at_point : bound) {
      GRAFT_ASSIGN_OR_RETURN(std::vector<double> row, Times(node, at_point, tactics));
      times.push_back(std::move(row));
    }
    return Order(node, tactics, times);
  }

 private:
  // Tactics in order of time at the first point, those that lost everywhere dropped, the any-shape
  // one kept.
  Result<StepChoice> Order(const ir::Node& node, const std::vector<const Tactic*>& tactics,
                           const std::vector<std::vector<double>>& times) {
    std::vector<int> order;
    for (size_t t = 0; t < tactics.size(); ++t) {
      if (std::isfinite(times[0][t])) order.push_back(static_cast<int>(t));
    }
    // Timings within the tie count as equal: compare against the fastest, not pairwise, which would
    // not be an order.
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return times[0][a] < times[0][b]; });
    auto winner = [&](const std::vector<double>& row) {
      const double best = *std::min_element(row.begin(), row.end());
      for (size_t t = 0; t < row.size(); ++t) {
        if (row[t] <= best * (1 + kTie)) return static_cast<int>(t);
      }
      return 0;
    };
    std::vector<int> winners;
    for (const std::vector<double>& row : times) {
      if (!std::isfinite(*std::min_element(row.begin(), row.end()))) {
        return UnsupportedError("{}: no tactic gives right results", node.name);
      }
      winners.push_back(winner(row));
    }
    std::vector<int> kept = {winners[0]};
    auto keep = [&](int t) {
      if (std::find(kept.begin(), kept.end(), t) == kept.end()) kept.push_back(t);
    };
    for (int t : winners) keep(t);
    for (int t : order) {
      if (tactics[t]->Traits(module_, node).any_shape) {
        keep(t);  // the fastest of those that take any shape
        break;
      }
    }
    StepChoice choice;
    for (int t : kept)
      choice.tactics.push_back({std::string(tactics[t]->name()), tactics[t]->version()});
    for (int t : winners) {
      choice.best.push_back(
          static_cast<int>(std::find(kept.begin(), kept.end(), t) - kept.begin()));
    }
    return choice;
  }

  std::string Key(const Tactic& tactic, const std::string& problem) const {
    return fmt::format("{}@{}{}{} [{}] {}", tactic.name(), tactic.version(), threads_,
                       cold_constants_ ? " cold" : "", fingerprint_, problem);
  }

  // One time for each tactic; infinity for those that cannot or must not run here.
  Result<std::vector<double>> Times(const ir::Node& node, const BoundNode& bound,
                                    const std::vector<const Tactic*>& tactics) {
    std::vector<double> times(tactics.size(), std::numeric_limits<double>::infinity());
    if (tactics.size() == 1) {
      times[0] = 0;
      return times;
    }
    ++report_.problems;
    const std::string problem = ProblemString(bound);
    if (auto known = decided_.find(problem); known != decided_.end()) return known->second;
    // Sizes that data will say are guesses here, and kernels trust sizes.
    const bool fits = VerifyBound(bound).ok();
    std::vector<int> missing;
    double least_cost = std::numeric_limits<double>::infinity();
    std::vector<double> costs;
    for (const Tactic* tactic : tactics) {
      costs.push_back(tactic->Cost(bound) * 1000);
      least_cost = std::min(least_cost, costs.back());
    }
    for (size_t t = 0; t < tactics.size(); ++t) {
      if (std::optional<Timing> timing = cache_.Find(Key(*tactics[t], problem))) {
        ++report_.remembered;
        if (!timing->rejected()) times[t] = timing->microseconds;
      } else if (options_.opt_level == 0 || !fits ||
                 (options_.opt_level <= 2 && costs[t] > least_cost * kModelFactor)) {
        ++report_.estimated;
        times[t] = costs[t];
        cache_.Insert(Key(*tactics[t], problem), {costs[t], false});
      } else {
        missing.push_back(static_cast<int>(t));
      }
    }
    if (!missing.empty()) {
      // All of them again, so that they are compared under the same conditions.
      MeasureOptions measure;
      measure.cold_constants = cold_constants_;
      measure.milliseconds = options_.opt_level <= 2 ? 2 : 2.0 * options_.opt_level;
      GRAFT_ASSIGN_OR_RETURN(
          std::vector<Measurement> measured,
          MeasureTactics(module_, node, bound, tactics, backend_, executor_, measure));
      for (size_t t = 0; t < tactics.size(); ++t) {
        const Measurement& m = measured[t];
        const bool good = m.rejected.empty();
        if (!good && !m.refused)
          report_.rejected.push_back({node.name, std::string(tactics[t]->name()), m.rejected});
        ++report_.measured;
        times[t] = good ? m.microseconds : std::numeric_limits<double>::infinity();
        cache_.Insert(Key(*tactics[t], problem), {good ? m.microseconds : -1, true});
      }
    }
    decided_[problem] = times;
    return times;
  }

  const ir::Module& module_;
  Backend& backend_;
  const TuneOptions& options_;
  TimingCache& cache_;
  TuneReport& report_;
  ThreadModeExecutor executor_;
  std::string fingerprint_;
  std::string threads_;  // in keys; "" where the backend does not run on threads
  bool cold_constants_;
  std::map<std::string, std::vector<double>> decided_;  // this module's problems
};

}  // namespace

Result<Choices> Tune(const ir::Module& module, Backend& backend, std::vector<TuningPoint> points,
                     const TuneOptions& options, TimingCache& cache, TuneReport* report) {
  GRAFT_CHECK(!points.empty());
  TuneReport local;
  Tuner tuner(module, backend, options, cache, report ? *report : local);
  Choices choices;
  choices.points = std::move(points);
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (options.progress) options.progress(id, module.node_count());
    GRAFT_ASSIGN_OR_RETURN(StepChoice choice, tuner.Choose(module.node(id), choices.points));
    choices.steps.push_back(std::move(choice));
  }
  return choices;
}

}  // namespace graft
