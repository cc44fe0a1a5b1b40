#include "tune/regions.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/choice.h"
#include "tune/measure.h"

namespace graft {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
// Raised when what is timed of a body changes.
constexpr int kVersion = 1;

// What is known of an operand's elements: kernels of integers ask whether they may be negative.
struct Bounds {
  float low = 0;
  float high = 0;
};

// The body over inputs of the operands' types and over their constants. A result that may stay a
// window is not sliced: its readers find it in the wider value.
Result<ir::Module> CutOut(const BoundNode& choice, const std::vector<Bounds>& bounds,
                          const ir::Body& body, const std::vector<bool>& windows) {
  ir::Module cut;
  std::vector<ir::ValueId> operands;
  for (size_t i = 0; i < choice.inputs.size(); ++i) {
    const BoundValue& operand = choice.inputs[i];
    std::string name = fmt::format("operand {}", i);
    operands.push_back(operand.constant ? cut.AddConstant(std::move(name), *operand.constant)
                                        : cut.AddInput(std::move(name), operand.dtype,
                                                       ir::MakeShape(operand.dims)));
    cut.value(operands.back()).low = bounds[i].low;
    cut.value(operands.back()).high = bounds[i].high;
  }
  GRAFT_ASSIGN_OR_RETURN(std::vector<ir::ValueId> results,
                         ir::AppendBody(cut, body, std::move(operands)));
  for (size_t i = 0; i < results.size(); ++i) {
    const ir::NodeId producer = cut.value(results[i]).producer;
    if (windows[i] && producer >= 0 && cut.node(producer).get<ir::SliceAttributes>())
      results[i] = cut.node(producer).inputs[0];
    if (std::ranges::find(cut.outputs, results[i]) != cut.outputs.end()) continue;
    cut.outputs.push_back(results[i]);
    cut.output_names.push_back(fmt::format("result {}", i));
  }
  GRAFT_RETURN_IF_ERROR(cut.Compact());
  return cut;
}

// Microseconds by the cost model. What lies in another value's place takes no time.
double CostOf(const TunedBody& body, const Backend& backend) {
  double sum = 0;
  for (ir::NodeId id = 0; id < body.module.node_count(); ++id) {
    const ir::Node& node = body.module.node(id);
    const StepChoice& step = body.choices.steps[id];
    const std::optional<ir::View>& view = body.module.value(node.outputs[0]).view;
    const bool is_view = view && node.get<ir::SliceAttributes>();
    const Result<BoundNode> bound = BindNode(body.module, node, {});
    const Tactic* const tactic = backend.FindTactic(step.tactics[step.best[0]].name);
    if (!is_view && bound.ok() && tactic) sum += tactic->Cost(*bound) * 1000;
  }
  return sum;
}

class Contest {
 public:
  Contest(BoundNode choice, std::vector<Bounds> bounds, const std::vector<bool>& windows,
          Backend& backend, const TuneOptions& options, const RegionHooks& hooks,
          TimingCache& cache, TuneReport& report)
      : choice_(std::move(choice)),
        bounds_(std::move(bounds)),
        bodies_(std::get<ir::ChoiceAttributes>(choice_.attributes).bodies),
        windows_(windows),
        backend_(backend),
        options_(options),
        hooks_(hooks),
        cache_(cache),
        report_(report) {}

  // Microseconds by body; kNever for what the backend cannot run.
  Result<std::vector<double>> Times(bool* measured) {
    for (const ir::Body& body : bodies_) {
      Result<TunedBody> tuned = Prepare(body);
      if (!tuned.ok() && tuned.status().code() != StatusCode::kUnsupported) return tuned.status();
      keys_.push_back(tuned.ok() ? Key(body, *tuned) : "");
      tuned_.push_back(std::move(tuned));
    }
    const bool may_measure = options_.opt_level > 0 && MeasuredBytes(choice_) <= options_.max_bytes;
    if (may_measure && !AllKnown()) GRAFT_RETURN_IF_ERROR(Measure());
    *measured = AllKnown();
    std::vector<double> times(bodies_.size(), kNever);
    for (size_t b = 0; b < bodies_.size(); ++b) {
      if (tuned_[b].ok())
        times[b] = *measured ? cache_.Find(keys_[b])->microseconds : CostOf(*tuned_[b], backend_);
    }
    return times;
  }

 private:
  Result<TunedBody> Prepare(const ir::Body& body) {
    TunedBody tuned;
    GRAFT_ASSIGN_OR_RETURN(tuned.module, CutOut(choice_, bounds_, body, windows_));
    GRAFT_RETURN_IF_ERROR(hooks_.optimize(tuned.module));
    TuneOptions options = options_;
    options.progress = nullptr;
    GRAFT_ASSIGN_OR_RETURN(
        tuned.choices, Tune(tuned.module, backend_, {TuningPoint()}, options, cache_, &report_));
    return tuned;
  }

  std::string Key(const ir::Body& body, const TunedBody& tuned) const {
    BoundNode problem = choice_;
    auto& attributes = std::get<ir::ChoiceAttributes>(problem.attributes);
    attributes.bodies = {body};
    for (ir::BodyNode& node : attributes.bodies[0].nodes) node.name.clear(), node.origin.clear();
    std::vector<std::string> tactics;
    for (const StepChoice& step : tuned.choices.steps) {
      const TacticChoice& best = step.tactics[step.best[0]];
      tactics.push_back(fmt::format("{}@{}", best.name, best.version));
    }
    return fmt::format("region@{}{} [{}] {} windows=[{}] steps=[{}]", kVersion,
                       backend_.uses_executor() ? fmt::format(" t{}", options_.threads) : "",
                       backend_.Fingerprint(), ProblemString(problem), fmt::join(windows_, ","),
                       fmt::join(tactics, ","));
  }

  bool AllKnown() const {
    for (size_t b = 0; b < bodies_.size(); ++b) {
      if (tuned_[b].ok() && !cache_.Find(keys_[b])) return false;
    }
    return true;
  }

  Status Measure() {
    std::vector<TunedBody> runnable;
    std::vector<std::string> keys;
    for (size_t b = 0; b < bodies_.size(); ++b) {
      if (!tuned_[b].ok()) continue;
      runnable.push_back(*tuned_[b]);
      keys.push_back(keys_[b]);
    }
    const double milliseconds = options_.opt_level <= 2 ? 4 : 4.0 * options_.opt_level;
    GRAFT_ASSIGN_OR_RETURN(const std::vector<double> times,
                           hooks_.time(std::move(runnable), milliseconds));
    for (size_t i = 0; i < keys.size(); ++i) cache_.Insert(keys[i], {times[i]});
    report_.measured += static_cast<int>(keys.size());
    return OkStatus();
  }

  const BoundNode choice_;
  const std::vector<Bounds> bounds_;  // by operand
  const std::vector<ir::Body>& bodies_;
  const std::vector<bool>& windows_;
  Backend& backend_;
  const TuneOptions& options_;
  const RegionHooks& hooks_;
  TimingCache& cache_;
  TuneReport& report_;
  std::vector<Result<TunedBody>> tuned_;  // by body
  std::vector<std::string> keys_;         // by body
};

}  // namespace

Result<int> ChooseBody(const ir::Module& module, const ir::Node& choice,
                       const std::vector<bool>& windows, Backend& backend,
                       const std::vector<TuningPoint>& points, const TuneOptions& options,
                       const RegionHooks& hooks, TimingCache& cache, TuneReport* report) {
  const auto& attributes = *choice.get<ir::ChoiceAttributes>();
  RegionReport region;
  region.region = attributes.region;
  region.node = choice.name;
  std::vector<double> scores(attributes.bodies.size(), 0);
  std::vector<Bounds> bounds;
  for (const ir::ValueId v : choice.inputs)
    bounds.push_back({module.value(v).low, module.value(v).high});
  TuneOptions tune = options;
  tune.cold_constants = options.cold_constants || AreConstantsCold(module, backend.device());
  for (const TuningPoint& point : points) {
    GRAFT_ASSIGN_OR_RETURN(BoundNode bound, BindNode(module, choice, point.symbols));
    bool measured = false;
    GRAFT_ASSIGN_OR_RETURN(
        const std::vector<double> times,
        Contest(std::move(bound), bounds, windows, backend, tune, hooks, cache, *report)
            .Times(&measured));
    const double best = std::max(*std::ranges::min_element(times), 1e-3);
    for (size_t b = 0; b < times.size(); ++b) scores[b] += times[b] / best;
    if (!region.bodies.empty()) continue;
    region.measured = measured;
    for (size_t b = 0; b < times.size(); ++b)
      region.bodies.push_back({attributes.bodies[b].name, times[b]});
  }
  const double least = *std::ranges::min_element(scores);
  if (!std::isfinite(least)) {
    return UnsupportedError("{}: backend {} runs no body of this choice", choice.name,
                            backend.name());
  }
  const auto winner =
      std::ranges::find_if(scores, [&](double score) { return score <= least * (1 + kTuningTie); });
  region.chosen = static_cast<int>(winner - scores.begin());
  report->regions.push_back(std::move(region));
  return report->regions.back().chosen;
}

}  // namespace graft
