#include "convert/precision_search.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/dtype_visit.h"
#include "convert/build_by_time.h"
#include "convert/engine_timer.h"
#include "convert/precision_by_time.h"
#include "convert/precision_choice.h"
#include "runtime/backend_table.h"
#include "runtime/context.h"

namespace graft::convert {
namespace {

using Outputs = std::vector<std::vector<Tensor>>;  // by batch

// Signal and noise of one output, summed up.
struct Noise {
  double signal = 0;
  double noise = 0;
  // Of no signal nothing can be said.
  double Decibels() const {
    if (noise > 0) return 10 * std::log10(signal / noise);
    return signal > 0 ? std::numeric_limits<double>::infinity()
                      : std::numeric_limits<double>::quiet_NaN();
  }
};

double LeastSqnr(const Outputs& expected, const Outputs& got) {
  std::vector<Noise> outputs(expected[0].size());
  for (size_t b = 0; b < expected.size(); ++b) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Tensor& x = expected[b][i];
      const Tensor& y = got[b][i];
      // Another number of results, as a detector may have, is as noisy as can be.
      if (x.dims() != y.dims()) {
        outputs[i].noise = std::numeric_limits<double>::infinity();
        continue;
      }
      TryVisitDType(kFloatTypes, x.dtype(), [&]<class T>(T) {
        for (int64_t k = 0; k < x.elements(); ++k) {
          const auto a = static_cast<double>(x.data<T>()[k]);
          const auto b = static_cast<double>(y.data<T>()[k]);
          if (!std::isfinite(a) || !std::isfinite(b)) {
            // No noise that can be added up: the same, or as noisy as can be.
            if (a != b && !(std::isnan(a) && std::isnan(b)))
              outputs[i].noise = std::numeric_limits<double>::infinity();
            continue;
          }
          const double d = b - a;
          outputs[i].signal += a * a;
          outputs[i].noise += d * d;
        }
      });
    }
  }
  double least = std::numeric_limits<double>::infinity();
  for (const Noise& noise : outputs) least = std::min(least, noise.Decibels());
  return least;
}

// In percent.
Result<double> Top1Of(const Outputs& outputs, const AccuracyGoal& goal) {
  const std::vector<int64_t>& labels = goal.labels;
  int64_t samples = 0;
  int64_t right = 0;
  for (const std::vector<Tensor>& batch : outputs) {
    if (goal.scores < 0 || goal.scores >= static_cast<int>(batch.size()))
      return InvalidArgumentError("labels are for output {} of {}", goal.scores, batch.size());
    const Tensor& scores = batch[static_cast<size_t>(goal.scores)];
    if (scores.dtype() != DType::kFloat32 || scores.rank() != 2 || scores.dims()[1] == 0)
      return InvalidArgumentError("labels are for an output f32[samples,classes]; output {} is {}",
                                  goal.scores, Describe(scores.dtype(), scores.dims()));
    const int64_t classes = scores.dims()[1];
    const float* row = scores.data<float>().data();
    for (int64_t i = 0; i < scores.dims()[0]; ++i, ++samples, row += classes) {
      if (samples >= static_cast<int64_t>(labels.size())) continue;
      const int64_t largest = std::max_element(row, row + classes) - row;
      right += largest == labels[static_cast<size_t>(samples)];
    }
  }
  if (samples == 0 || samples != static_cast<int64_t>(labels.size()))
    return InvalidArgumentError("{} labels for {} samples", labels.size(), samples);
  return 100 * static_cast<double>(right) / static_cast<double>(samples);
}

constexpr char kAsked[] = "for comparison";

std::string ReasonOf(const LayerPrecision& layer) {
  return layer.in_floats == FloatReason::kTime
             ? SlowReason(layer.microseconds, layer.float_microseconds)
             : fmt::format("{}: {:.1f} dB", kTooCoarse, layer.sqnr);
}

class Search {
 public:
  Search(const EngineSource& source, BuildOptions options,
         const std::vector<std::vector<Tensor>>& batches, const AccuracyGoal& goal)
      : source_(source),
        options_(std::move(options)),
        permits_halves_(std::exchange(options_.halves, false)),
        batches_(batches),
        goal_(goal) {}

  Result<PrecisionReport> Run() {
    PrecisionReport report;
    const Int8Options& int8 = options_.int8;
    GRAFT_ASSIGN_OR_RETURN(expected_, OutputsIn(Precision::kFp32));
    if (goal_.labels.empty()) {
      report.wanted_sqnr = goal_.least_sqnr;
    } else {
      Top1& top_1 = report.top_1.emplace();
      top_1.most_drop = goal_.most_drop;
      GRAFT_ASSIGN_OR_RETURN(top_1.floats, Top1Of(expected_, goal_));
    }
    GRAFT_ASSIGN_OR_RETURN(options_.halves, HalvesWillDo(&report));
    std::vector<std::string> products;
    GRAFT_ASSIGN_OR_RETURN(const Outputs all, OutputsOf(int8, &products));
    GRAFT_ASSIGN_OR_RETURN(bool is_met, Judge(all, &report));
    report.integers_sqnr = report.sqnr;
    if (report.top_1) report.top_1->integers = report.top_1->chosen;
    GRAFT_ASSIGN_OR_RETURN(const PrecisionByTime by_time,
                           PrecisionByTime::Measure(source_, options_, products));
    for (std::string& product : products) {
      LayerPrecision& layer = report.layers.emplace_back();
      layer.node = std::move(product);
      const auto times = by_time.times().find(layer.node);
      if (times == by_time.times().end()) continue;
      layer.microseconds = times->second.integers;
      layer.float_microseconds = times->second.floats;
    }
    if (LeaveToFloats(by_time, report.layers)) {
      GRAFT_ASSIGN_OR_RETURN(const Outputs outputs, OutputsOf(Floats(report.layers)));
      GRAFT_ASSIGN_OR_RETURN(is_met, Judge(outputs, &report));
    }
    if (!is_met) GRAFT_RETURN_IF_ERROR(Measure(int8, report.layers));
    for (LayerPrecision& layer : report.layers) {
      if (is_met) break;
      if (!layer.integers()) continue;
      layer.in_floats = FloatReason::kAccuracy;
      // Its neighbours may want to follow it.
      LeaveToFloats(by_time, report.layers);
      GRAFT_ASSIGN_OR_RETURN(const Outputs outputs, OutputsOf(Floats(report.layers)));
      GRAFT_ASSIGN_OR_RETURN(is_met, Judge(outputs, &report));
    }
    GRAFT_RETURN_IF_ERROR(Time(report));
    return report;
  }

 private:
  // Whether these outputs are good enough; notes how good they are.
  Result<bool> Judge(const Outputs& outputs, PrecisionReport* report) const {
    report->sqnr = LeastSqnr(expected_, outputs);
    if (!report->top_1) return report->sqnr >= goal_.least_sqnr;
    GRAFT_ASSIGN_OR_RETURN(report->top_1->chosen, Top1Of(outputs, goal_));
    return report->top_1->floats - report->top_1->chosen <= goal_.most_drop;
  }

  // Whether the device multiplies halves, and all floats may be halves: integers can make that no
  // better.
  Result<bool> HalvesWillDo(PrecisionReport* report) const {
    GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(options_.backend, options_.device));
    GRAFT_ASSIGN_OR_RETURN(const bool multiplies, MultipliesHalves(*backend));
    if (!multiplies) return false;
    GRAFT_ASSIGN_OR_RETURN(const Outputs outputs, OutputsIn(Precision::kFp16));
    return Judge(outputs, report);
  }

  // With those that were chosen to be in floats.
  Int8Options Floats(const std::vector<LayerPrecision>& layers) const {
    Int8Options int8 = options_.int8;
    for (const LayerPrecision& layer : layers) {
      if (!layer.integers()) int8.floats[layer.node] = ReasonOf(layer);
    }
    return int8;
  }

  // Those that are better in floats, given which have to be. False: there are none.
  static bool LeaveToFloats(const PrecisionByTime& by_time, std::vector<LayerPrecision>& layers) {
    std::set<std::string> floats;
    for (const LayerPrecision& layer : layers) {
      if (layer.in_floats == FloatReason::kAccuracy) floats.insert(layer.node);
    }
    floats = by_time.Floats(floats);
    bool any = false;
    for (LayerPrecision& layer : layers) {
      if (layer.in_floats == FloatReason::kAccuracy) continue;
      const bool is_slow = floats.contains(layer.node);
      layer.in_floats = is_slow ? FloatReason::kTime : FloatReason::kNone;
      any = any || is_slow;
    }
    return any;
  }

  struct Made {
    std::shared_ptr<const Engine> engine;
    std::shared_ptr<Executor> executor;
  };
  Result<Made> Make(const BuildOptions& options, std::vector<std::string>* products) const {
    StageTimes times;
    GRAFT_ASSIGN_OR_RETURN(BuiltEngine built, BuildEngine(source_, options, &times));
    if (products != nullptr) *products = built.integer_products;
    GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(options.backend, options.device));
    Made made;
    made.executor = MakeTbbExecutor(options.threads);
    GRAFT_ASSIGN_OR_RETURN(made.engine, Engine::Create(std::move(built.plan), *backend,
                                                       {.executor = made.executor.get()}));
    return made;
  }

  // Of an engine that nothing was timed for: its numbers are those of any other.
  Result<Outputs> OutputsIn(Precision precision) const {
    BuildOptions options = options_;
    options.precision = precision;
    return OutputsOf(std::move(options), nullptr);
  }
  Result<Outputs> OutputsOf(Int8Options int8, std::vector<std::string>* products = nullptr) const {
    BuildOptions options = options_;
    options.int8 = std::move(int8);
    return OutputsOf(std::move(options), products);
  }
  Result<Outputs> OutputsOf(BuildOptions options, std::vector<std::string>* products) const {
    options.opt_level = 0;
    options.progress = nullptr;
    options.dump_directory.clear();
    GRAFT_ASSIGN_OR_RETURN(Made made, Make(options, products));
    GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Context> context,
                           Context::Create(std::move(made.engine), {.executor = made.executor}));
    Outputs outputs;
    for (const std::vector<Tensor>& batch : batches_) {
      GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> results, context->Run(batch));
      outputs.push_back(std::move(results));
    }
    return outputs;
  }

  // The sensitivity of every layer, and their order by it.
  Status Measure(const Int8Options& int8, std::vector<LayerPrecision>& layers) const {
    Int8Options alone = int8;
    for (const LayerPrecision& layer : layers) alone.floats[layer.node] = kAsked;
    for (size_t i = 0; i < layers.size(); ++i) {
      if (options_.progress)
        options_.progress("sensitivity", static_cast<int>(i), static_cast<int>(layers.size()));
      alone.floats.erase(layers[i].node);
      GRAFT_ASSIGN_OR_RETURN(const Outputs outputs, OutputsOf(alone));
      layers[i].sqnr = LeastSqnr(expected_, outputs);
      alone.floats[layers[i].node] = kAsked;
    }
    std::ranges::stable_sort(layers, {}, &LayerPrecision::sqnr);
    return OkStatus();
  }

  // A whole engine that is good enough, and what is reported where it is taken.
  struct Candidate {
    std::vector<EngineTimer> timers;
    PrecisionReport report;
    double microseconds = 0;  // of one run at each tuning point, in all
  };

  // Judges an engine of these options by its outputs and adds it where it is good enough.
  Status AddIfMet(const BuildOptions& options, PrecisionReport report,
                  std::vector<Candidate>& candidates) const {
    GRAFT_ASSIGN_OR_RETURN(const Outputs outputs, OutputsOf(options, nullptr));
    GRAFT_ASSIGN_OR_RETURN(const bool is_met, Judge(outputs, &report));
    return is_met ? Add(options, std::move(report), candidates) : OkStatus();
  }
  Status Add(const BuildOptions& options, PrecisionReport report,
             std::vector<Candidate>& candidates) const {
    GRAFT_ASSIGN_OR_RETURN(std::vector<EngineTimer> timers, Timers(options));
    candidates.push_back({std::move(timers), std::move(report)});
    return OkStatus();
  }

  // An engine at each of its tuning points, on the numbers of the first batch.
  Result<std::vector<EngineTimer>> Timers(const BuildOptions& options) const {
    GRAFT_ASSIGN_OR_RETURN(const Made made, Make(options, nullptr));
    const ir::Module& module = made.engine->module();
    std::vector<EngineTimer> timers;
    for (const TuningPoint& point : made.engine->choices().points) {
      GRAFT_ASSIGN_OR_RETURN(const std::vector<BoundValue> bound,
                             BindValues(module, point.symbols, [&](ir::ValueId v) {
                               return std::ranges::find(module.inputs, v) != module.inputs.end();
                             }));
      std::vector<Tensor> inputs;
      for (size_t i = 0; i < module.inputs.size(); ++i) {
        const Tensor& sample = batches_[0][i];
        GRAFT_ASSIGN_OR_RETURN(Tensor input,
                               Tensor::Allocate(sample.dtype(), bound[module.inputs[i]].dims));
        auto* const to = static_cast<std::byte*>(input.mutable_raw());
        for (size_t at = 0; at < input.bytes() && sample.bytes() > 0; at += sample.bytes())
          std::memcpy(to + at, sample.raw(), std::min(sample.bytes(), input.bytes() - at));
        inputs.push_back(std::move(input));
      }
      GRAFT_ASSIGN_OR_RETURN(EngineTimer timer,
                             EngineTimer::Create(made.engine, made.executor, std::move(inputs)));
      GRAFT_RETURN_IF_ERROR(timer.WarmUp());
      timers.push_back(std::move(timer));
    }
    return timers;
  }

  static Status TimeInTurns(std::vector<Candidate>& candidates) {
    // Short turns, so that a disturbance hits all; fewer where even one run takes long.
    constexpr int kRounds = 12, kLeastRounds = 3;
    constexpr double kTurn = 1000;  // microseconds
    constexpr std::chrono::seconds kEnough(5);
    const auto start = std::chrono::steady_clock::now();
    for (int round = 0; round < kRounds; ++round) {
      if (round >= kLeastRounds && std::chrono::steady_clock::now() - start > kEnough) break;
      for (Candidate& candidate : candidates) {
        for (EngineTimer& timer : candidate.timers) GRAFT_RETURN_IF_ERROR(timer.Run(kTurn));
      }
    }
    for (Candidate& candidate : candidates) {
      for (const EngineTimer& timer : candidate.timers) candidate.microseconds += timer.best();
    }
    return OkStatus();
  }

  // Halves are to be rivals of floats.
  bool ComparesHalves() const {
    const Result<Backend*> backend = FindBackend(options_.backend, options_.device);
    return permits_halves_ && !options_.halves && backend.ok() &&
           CheckPrecision(Precision::kFp16, **backend).ok();
  }

  // Whole engines have the last word: of what was chosen, of the same without what time alone has
  // put into floats, of floats, and of both with halves.
  Status Time(PrecisionReport& report) const {
    BuildOptions options = options_;
    options.dump_directory.clear();
    report.halves = options.halves;
    std::vector<Candidate> candidates;
    options.int8 = Floats(report.layers);
    GRAFT_RETURN_IF_ERROR(Add(options, report, candidates));

    PrecisionReport accurate = report;
    for (LayerPrecision& layer : accurate.layers) {
      if (layer.in_floats == FloatReason::kTime) layer.in_floats = FloatReason::kNone;
    }
    BuildOptions without = options;
    without.int8 = Floats(accurate.layers);
    if (without.int8.floats != options.int8.floats)
      GRAFT_RETURN_IF_ERROR(AddIfMet(without, std::move(accurate), candidates));

    const size_t floats = candidates.size();
    BuildOptions in_floats = options;
    in_floats.precision = options_.halves ? Precision::kFp16 : Precision::kFp32;
    GRAFT_RETURN_IF_ERROR(Add(in_floats, report, candidates));

    for (const bool integers : {true, false}) {
      if (!ComparesHalves()) break;
      BuildOptions half = options;
      half.halves = integers;
      half.precision = integers ? Precision::kInt8 : Precision::kFp16;
      PrecisionReport with_halves = report;
      with_halves.integers = integers;
      with_halves.halves = true;
      GRAFT_RETURN_IF_ERROR(AddIfMet(half, std::move(with_halves), candidates));
    }

    GRAFT_RETURN_IF_ERROR(TimeInTurns(candidates));
    double least = std::numeric_limits<double>::infinity();
    double half_microseconds = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
      const double time = candidates[i].microseconds;
      if (i > floats && (half_microseconds == 0 || time < half_microseconds))
        half_microseconds = time;
      // Of what is as fast, the first. Halves are few bits already, and what is compared with them
      // is to be no slower.
      const double tie = i == floats && options_.halves ? 0 : kTuningTie;
      if (i > 0 && time * (1 + tie) >= least) continue;
      least = time;
      if (i == floats) {
        report.integers = false;  // all else says what integers would have cost
      } else {
        report = std::move(candidates[i].report);
        report.microseconds = time;
      }
    }
    report.float_microseconds = candidates[floats].microseconds;
    report.half_microseconds = half_microseconds;
    return OkStatus();
  }

  const EngineSource& source_;
  BuildOptions options_;  // with halves where floats are always so
  const bool permits_halves_;
  const std::vector<std::vector<Tensor>>& batches_;
  const AccuracyGoal& goal_;
  Outputs expected_;
};

}  // namespace

Result<PrecisionReport> ChoosePrecisions(const EngineSource& source, const BuildOptions& options,
                                         const std::vector<std::vector<Tensor>>& batches,
                                         const AccuracyGoal& goal) {
  if (options.precision != Precision::kInt8 || batches.empty())
    return InvalidArgumentError("a choice of precisions needs INT8 and data");
  return Search(source, options, batches, goal).Run();
}

void Apply(const PrecisionReport& report, BuildOptions* options) {
  options->int8.strict = true;  // what is to be left to floats is known
  options->halves = report.integers && report.halves;
  if (!report.integers) {
    options->precision = report.halves ? Precision::kFp16 : Precision::kFp32;
    return;
  }
  for (const LayerPrecision& layer : report.layers) {
    if (!layer.integers()) options->int8.floats[layer.node] = ReasonOf(layer);
  }
  if (options->int8.table) AddChoice(report, &*options->int8.table);
}

}  // namespace graft::convert
