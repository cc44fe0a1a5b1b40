#include "tune/tuner.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <set>
#include <thread>

#include "backend_api/thread_mode.h"
#include "tune/excerpt.h"

namespace graft {
namespace {

// At levels 1 and 2, candidates that the cost model puts beyond this factor are not timed.
constexpr double kModelFactor = 2.0;

std::unique_ptr<Executor> MakeExecutor(const Backend& backend, int threads) {
  return MakeTbbExecutor(backend.uses_executor() ? threads : 1);
}

// Measures first and decides then, by what the cache holds: so a build that finds everything there
// decides as the one that measured it.
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
        measure_(MeasureOptionsOf(module, backend.device(), options)) {}

  // A node at a tuning point.
  struct Contest {
    BoundNode node;
    std::string problem;
    // By tactic, whether its time is wanted. None: the cost model decides.
    std::vector<bool> timed;
  };
  struct Step {
    const ir::Node* node;
    std::vector<const Tactic*> tactics;  // that can run the node, in the backend's order
    std::vector<TacticTraits> traits;
    std::vector<Contest> points;
  };

  Result<Step> Describe(const ir::Node& node, std::span<const TuningPoint> points) const {
    Step step;
    step.node = &node;
    for (const TuningPoint& point : points) {
      GRAFT_ASSIGN_OR_RETURN(BoundNode at_point, BindNode(module_, node, point.symbols));
      step.points.push_back({std::move(at_point), "", {}});
    }
    std::string reasons;
    for (const Candidate& c : backend_.Candidates(module_, node)) {
      if (c.refusal) {
        reasons = c.refusal->reason;
        continue;
      }
      TacticTraits traits = c.tactic->Traits(module_, node);
      if (std::ranges::all_of(step.points,
                              [&](const Contest& at) { return TakesStrides(traits, at.node); })) {
        step.tactics.push_back(c.tactic);
        step.traits.push_back(std::move(traits));
      } else {
        reasons = fmt::format("{}: {}", c.tactic->name(), kRowsNotDense);
      }
    }
    if (step.tactics.empty()) {
      return UnsupportedError("{}: {}", node.name,
                              reasons.empty() ? fmt::format("backend {} has no tactic for {}",
                                                            backend_.name(), ir::Name(node.kind()))
                                              : reasons);
    }
    for (Contest& contest : step.points) {
      ForgetStrideOfSingleRow(&contest.node);
      contest.problem = ProblemString(contest.node);
      contest.timed = WantedTimes(step, contest.node);
    }
    return step;
  }

  // Has all that tactics will be asked to prepare prepared once, on many threads: what a device's
  // tactics generate, their backend keeps while the process lives. Failures show when it is asked
  // for.
  void PrepareAhead(std::span<const Step> steps) const {
    if (backend_.uses_executor()) return;
    struct Task {
      const Tactic* tactic;
      const ir::Node* node;
      const BoundNode* bound;
    };
    std::vector<Task> tasks;
    std::set<std::string> keys;
    for (const Step& step : steps) {
      for (const Contest& contest : step.points) {
        for (size_t t = 0; t < step.tactics.size(); ++t) {
          if (!step.traits[t].prepares) continue;
          if (step.tactics.size() > 1 && !contest.timed[t]) continue;
          std::string key = Key(*step.tactics[t], contest.problem);
          if (cache_.FindPrepared(key) || !keys.insert(std::move(key)).second) continue;
          tasks.push_back({step.tactics[t], step.node, &contest.node});
        }
      }
    }
    // Mostly these threads wait: for what another one is making.
    constexpr size_t kMostThreads = 64;
    std::atomic<size_t> next = 0;
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < std::min(kMostThreads, tasks.size()); ++i) {
      threads.emplace_back([&] {
        InlineExecutor executor;
        for (size_t task = next++; task < tasks.size(); task = next++) {
          const auto& [tactic, node, bound] = tasks[task];
          std::unique_ptr<PackedWeights> packed;
          if (!tactic->packing().empty()) {
            auto result = tactic->Pack(module_, *node, executor);
            if (!result.ok()) continue;
            packed = std::move(result).value();
          }
          static_cast<void>(tactic->Prepare(*bound, packed.get()));
        }
      });
    }
  }

  // Times what the cache lacks.
  Status Measure(Step& step) {
    for (Contest& contest : step.points) {
      if (step.tactics.size() == 1 && !options_.time_all) continue;
      ++report_.problems;
      bool missing = false;
      std::vector<const Tactic*> timed;
      for (size_t t = 0; t < step.tactics.size(); ++t) {
        const std::string key = Key(*step.tactics[t], contest.problem);
        const bool first = counted_.insert(key).second;
        if (Knows(key, step.traits[t])) {
          report_.remembered += first;
        } else if (contest.timed[t]) {
          missing = true;
        } else {
          report_.estimated += first;
        }
        if (contest.timed[t]) timed.push_back(step.tactics[t]);
      }
      // All of them again, so that they are compared under the same conditions.
      if (!missing) continue;
      const Status status = Measure(*step.node, contest, timed);
      if (status.code() != StatusCode::kResourceExhausted) GRAFT_RETURN_IF_ERROR(status);
      if (!status.ok()) contest.timed.assign(contest.timed.size(), false);
    }
    return OkStatus();
  }

  // What was measured of the chosen tactics, summed over the tuning points; NaN for what was not.
  double Measured(const Step& step, const StepChoice& choice) const {
    double sum = 0;
    for (size_t p = 0; p < step.points.size(); ++p) {
      const Tactic* const tactic = backend_.FindTactic(choice.tactics[choice.best[p]].name);
      const std::optional<Timing> timing =
          tactic ? cache_.Find(Key(*tactic, step.points[p].problem)) : std::nullopt;
      if (!timing || timing->rejected()) return std::numeric_limits<double>::quiet_NaN();
      sum += timing->microseconds;
    }
    return sum;
  }

  Result<StepChoice> Choose(const Step& step) {
    std::vector<std::vector<double>> times;  // [point][tactic], microseconds
    std::vector<int> winners;                // by point
    std::vector<std::string> prepared;       // by point, of its winner
    for (const Contest& contest : step.points) {
      std::vector<double>& row = times.emplace_back(Times(step, contest));
      Status refused;
      for (;;) {
        const int winner = FastestOf(row, step.traits);
        if (!std::isfinite(row[winner])) {
          return refused.ok()
                     ? UnsupportedError("{}: no tactic gives right results", step.node->name)
                     : refused;
        }
        Result<std::string> bytes = Prepared(step, contest, winner);
        if (bytes.ok()) {
          if (Status fits = FitsWorkspace(step, contest, winner, *bytes); !fits.ok()) {
            refused = std::move(fits);
            row[winner] = kNever;
            continue;
          }
          winners.push_back(winner);
          prepared.push_back(*std::move(bytes));
          break;
        }
        if (bytes.status().code() != StatusCode::kUnsupported) return bytes.status();
        refused = bytes.status();
        row[winner] = kNever;
        cache_.Insert(Key(*step.tactics[winner], contest.problem), {-1});
      }
    }
    return Order(step, times, winners, prepared);
  }

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  // Of those that are as fast as the fastest, the earliest of those that cost the first run least.
  static int FastestOf(const std::vector<double>& times, const std::vector<TacticTraits>& traits) {
    const double best = *std::min_element(times.begin(), times.end());
    size_t winner = times.size();
    for (size_t t = 0; t < times.size(); ++t) {
      if (times[t] <= best * (1 + kTuningTie) &&
          (winner == times.size() || traits[t].prepare_cost_ms < traits[winner].prepare_cost_ms)) {
        winner = t;
      }
    }
    return static_cast<int>(winner);
  }

  // The winners, and the fastest at the first point of those that take any shape.
  StepChoice Order(const Step& step, const std::vector<std::vector<double>>& times,
                   const std::vector<int>& winners, const std::vector<std::string>& prepared) {
    std::vector<int> kept;
    auto keep = [&](int t) {
      const auto at = std::find(kept.begin(), kept.end(), t);
      if (at == kept.end()) kept.push_back(t);
    };
    for (int t : winners) keep(t);
    int general = -1;
    for (int t = 0; t < static_cast<int>(step.tactics.size()); ++t) {
      if (!step.traits[t].any_shape || !std::isfinite(times[0][t])) continue;
      if (general < 0 || times[0][t] < times[0][general]) general = t;
    }
    if (general >= 0) keep(general);
    StepChoice choice;
    for (const int t : kept) {
      TacticChoice& tactic = choice.tactics.emplace_back();
      tactic.name = step.tactics[t]->name();
      tactic.version = step.tactics[t]->version();
      for (size_t p = 0; p < winners.size(); ++p) {
        if (winners[p] != t || prepared[p].empty()) continue;
        tactic.prepared.resize(winners.size(), "");
        tactic.prepared[p] = prepared[p];
      }
    }
    for (int t : winners) {
      choice.best.push_back(
          static_cast<int>(std::find(kept.begin(), kept.end(), t) - kept.begin()));
    }
    return choice;
  }

  std::string Key(const Tactic& tactic, const std::string& problem) const {
    return fmt::format("{}@{}{}{} [{}] {}", tactic.name(), tactic.version(), threads_,
                       measure_.cold_constants ? " cold" : "", fingerprint_, problem);
  }

  // Whether the cache has all that a measurement gives.
  bool Knows(const std::string& key, const TacticTraits& traits) const {
    if (no_memory_.contains(key)) return true;
    const std::optional<Timing> timing = cache_.Find(key);
    return timing && (timing->rejected() || !traits.prepares || cache_.FindPrepared(key));
  }

  std::vector<bool> WantedTimes(const Step& step, const BoundNode& node) const {
    const size_t count = step.tactics.size();
    // Sizes that data will say are guesses here, and kernels trust sizes.
    if ((count == 1 && !options_.time_all) || options_.opt_level == 0 || !VerifyBound(node).ok() ||
        MeasuredBytes(node) > options_.max_bytes) {
      return std::vector<bool>(count, false);
    }
    if (options_.opt_level > 2) return std::vector<bool>(count, true);
    const std::vector<double> costs = Costs(step, node);
    const double least = *std::min_element(costs.begin(), costs.end());
    std::vector<bool> timed(count);
    size_t baseline = count;
    for (size_t t = 0; t < count; ++t) {
      timed[t] = costs[t] <= least * kModelFactor;
      if (step.traits[t].any_shape) baseline = t;
    }
    // By this one's results the others are judged, and some tactic must take any shape.
    if (baseline < count) timed[baseline] = true;
    return timed;
  }

  // Microseconds by the cost model.
  static std::vector<double> Costs(const Step& step, const BoundNode& node) {
    std::vector<double> costs;
    for (const Tactic* tactic : step.tactics) costs.push_back(tactic->Cost(node) * 1000);
    return costs;
  }

  Status Measure(const ir::Node& node, const Contest& contest,
                 const std::vector<const Tactic*>& tactics) {
    // What is prepared is prepared for the whole, and a device's memory is fast enough for it.
    const bool may_excerpt = std::ranges::none_of(
        tactics, [&](const Tactic* t) { return t->Traits(module_, node).prepares; });
    const std::optional<Excerpt> excerpt = may_excerpt && backend_.device().host_accessible()
                                               ? ExcerptOf(module_, node, contest.node)
                                               : std::nullopt;
    GRAFT_ASSIGN_OR_RETURN(
        std::vector<Measurement> measured,
        excerpt
            ? MeasureTactics(excerpt->module, excerpt->source(), excerpt->node, tactics, backend_,
                             executor_, measure_)
            : MeasureTactics(module_, node, contest.node, tactics, backend_, executor_, measure_));
    for (size_t t = 0; t < tactics.size(); ++t) {
      Measurement& m = measured[t];
      if (excerpt) m.microseconds *= excerpt->factor;
      const bool good = m.rejected.empty();
      if (!good && !m.refused)
        report_.rejected.push_back({node.name, std::string(tactics[t]->name()), m.rejected});
      ++report_.measured;
      const std::string key = Key(*tactics[t], contest.problem);
      if (m.no_memory) {  // which says nothing of the next build
        no_memory_.insert(key);
        continue;
      }
      cache_.Insert(key, {good ? m.microseconds : -1});
      if (tactics[t]->Traits(module_, node).prepares && good) {
        ++report_.prepared;
        cache_.InsertPrepared(key, std::move(m.prepared));
      }
    }
    return OkStatus();
  }

  // One time for each tactic, kNever for those that cannot or must not run here. Measurements are
  // compared with measurements alone, and estimates with estimates.
  std::vector<double> Times(const Step& step, const Contest& contest) const {
    const size_t count = step.tactics.size();
    std::vector<std::optional<Timing>> known(count);
    bool all_known = count > 1;
    for (size_t t = 0; t < count; ++t) {
      known[t] = cache_.Find(Key(*step.tactics[t], contest.problem));
      all_known = all_known && known[t];
    }
    const bool measured = all_known || std::find(contest.timed.begin(), contest.timed.end(),
                                                 true) != contest.timed.end();
    std::vector<double> times =
        measured ? std::vector<double>(count, kNever) : Costs(step, contest.node);
    for (size_t t = 0; t < count; ++t) {
      if (!known[t]) continue;
      if (known[t]->rejected())
        times[t] = kNever;
      else if (measured)
        times[t] = known[t]->microseconds;
    }
    return times;
  }

  // What the tactic prepares for the point, remembered or made now.
  Result<std::string> Prepared(const Step& step, const Contest& contest, int tactic) {
    if (!step.traits[tactic].prepares) return std::string();
    const std::string key = Key(*step.tactics[tactic], contest.problem);
    if (std::optional<std::string> known = cache_.FindPrepared(key)) return *std::move(known);
    std::unique_ptr<PackedWeights> packed;
    if (!step.tactics[tactic]->packing().empty()) {
      GRAFT_ASSIGN_OR_RETURN(packed, step.tactics[tactic]->Pack(module_, *step.node, executor_));
    }
    GRAFT_ASSIGN_OR_RETURN(
        std::string prepared,
        PrepareTactic(*step.tactics[tactic], step.traits[tactic], contest.node, packed.get()));
    ++report_.prepared;
    cache_.InsertPrepared(key, prepared);
    return prepared;
  }

  // kUnsupported when the tactic needs a larger workspace at the point than there may be.
  Status FitsWorkspace(const Step& step, const Contest& contest, int t, std::string_view prepared) {
    if (options_.max_workspace_bytes == 0 || backend_.device().host_accessible()) return OkStatus();
    const Tactic& tactic = *step.tactics[t];
    std::unique_ptr<PackedWeights> packed;
    if (!tactic.packing().empty()) {
      GRAFT_ASSIGN_OR_RETURN(packed, tactic.Pack(module_, *step.node, executor_));
    }
    const auto bound = tactic.Bind(contest.node, packed.get(), prepared);
    if (!bound.ok()) return OkStatus();  // then nothing is known
    const size_t bytes = (*bound)->workspace_bytes(executor_.width());
    if (bytes <= options_.max_workspace_bytes) return OkStatus();
    return UnsupportedError("{}: {} needs a workspace of {} bytes, {} are allowed", step.node->name,
                            tactic.name(), bytes, options_.max_workspace_bytes);
  }

  const ir::Module& module_;
  Backend& backend_;
  const TuneOptions& options_;
  TimingCache& cache_;
  TuneReport& report_;
  ThreadModeExecutor executor_;
  std::string fingerprint_;
  std::string threads_;  // in keys; "" where the backend does not run on threads
  const MeasureOptions measure_;
  std::set<std::string> counted_;    // keys, in the report
  std::set<std::string> no_memory_;  // keys of tactics for which there was none
};

}  // namespace

MeasureOptions MeasureOptionsOf(const ir::Module& module, const Device& device,
                                const TuneOptions& options) {
  MeasureOptions measure;
  measure.cold_constants = options.cold_constants || AreConstantsCold(module, device);
  measure.milliseconds = options.opt_level <= 2 ? 2 : 2.0 * options.opt_level;
  return measure;
}

bool AreConstantsCold(const ir::Module& module, const Device& device) {
  size_t bytes = 0;
  for (ir::ValueId v = 0; v < module.value_count(); ++v) {
    if (module.value(v).constant) bytes += module.value(v).constant->bytes();
  }
  return device.cache_bytes() > 0 && bytes > device.cache_bytes();
}

Result<Choices> Tune(const ir::Module& module, Backend& backend, std::vector<TuningPoint> points,
                     const TuneOptions& options, TimingCache& cache, TuneReport* report) {
  GRAFT_CHECK(!points.empty());
  TuneReport local;
  Tuner tuner(module, backend, options, cache, report ? *report : local);
  Choices choices;
  choices.points = std::move(points);
  std::vector<Tuner::Step> steps;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    GRAFT_ASSIGN_OR_RETURN(Tuner::Step step, tuner.Describe(module.node(id), choices.points));
    steps.push_back(std::move(step));
  }
  tuner.PrepareAhead(steps);
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (options.progress) options.progress(id, module.node_count());
    if (options.stopped != nullptr && options.stopped->load(std::memory_order_relaxed))
      return FailedPreconditionError("tuning was stopped");
    GRAFT_RETURN_IF_ERROR(tuner.Measure(steps[id]));
  }
  std::vector<double> microseconds;
  for (const Tuner::Step& step : steps) {
    GRAFT_ASSIGN_OR_RETURN(StepChoice choice, tuner.Choose(step));
    microseconds.push_back(tuner.Measured(step, choice));
    choices.steps.push_back(std::move(choice));
  }
  if (report) report->step_microseconds = std::move(microseconds);
  return choices;
}

}  // namespace graft
