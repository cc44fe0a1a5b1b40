#include "convert/precision_search.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/dtype_visit.h"
#include "runtime/backend_table.h"
#include "runtime/context.h"

namespace graft::convert {
namespace {

using Outputs = std::vector<std::vector<Tensor>>;  // by batch

// Signal and noise of one output, summed up.
struct Noise {
  double signal = 0;
  double noise = 0;
  double Decibels() const {
    return noise > 0 ? 10 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
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

class Search {
 public:
  Search(const EngineSource& source, BuildOptions options,
         const std::vector<std::vector<Tensor>>& batches)
      : source_(source), options_(std::move(options)), batches_(batches) {}

  Result<PrecisionReport> Run(double wanted_sqnr) {
    PrecisionReport report;
    report.wanted_sqnr = wanted_sqnr;
    const Int8Options& int8 = options_.int8;
    GRAFT_ASSIGN_OR_RETURN(expected_, OutputsOf(std::nullopt));
    std::vector<std::string> products;
    GRAFT_ASSIGN_OR_RETURN(const Outputs all, OutputsOf(int8, &products));
    report.sqnr = report.integers_sqnr = LeastSqnr(expected_, all);
    for (std::string& product : products) report.layers.push_back({std::move(product)});
    if (report.sqnr < wanted_sqnr) GRAFT_RETURN_IF_ERROR(Measure(int8, report.layers));
    for (LayerPrecision& layer : report.layers) {
      if (report.sqnr >= wanted_sqnr) break;
      layer.integers = false;
      GRAFT_ASSIGN_OR_RETURN(const Outputs outputs, OutputsOf(Floats(report.layers)));
      report.sqnr = LeastSqnr(expected_, outputs);
    }
    GRAFT_RETURN_IF_ERROR(Time(report));
    return report;
  }

 private:
  // With those that were chosen to be in floats.
  Int8Options Floats(const std::vector<LayerPrecision>& layers) const {
    Int8Options int8 = options_.int8;
    for (const LayerPrecision& layer : layers) {
      if (!layer.integers) int8.floats.insert(layer.node);
    }
    return int8;
  }

  Result<std::unique_ptr<Context>> MakeContext(const BuildOptions& options,
                                               std::vector<std::string>* products) const {
    StageTimes times;
    GRAFT_ASSIGN_OR_RETURN(BuiltEngine built, BuildEngine(source_, options, &times));
    if (products != nullptr) *products = built.integer_products;
    GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(options.backend, options.device));
    const std::shared_ptr<Executor> executor = MakeTbbExecutor(options.threads);
    GRAFT_ASSIGN_OR_RETURN(
        std::shared_ptr<const Engine> engine,
        Engine::Create(std::move(built.plan), *backend, {.executor = executor.get()}));
    return Context::Create(std::move(engine), {.executor = executor});
  }

  // Of an engine that nothing was timed for: its numbers are those of any other.
  Result<Outputs> OutputsOf(std::optional<Int8Options> int8,
                            std::vector<std::string>* products = nullptr) const {
    BuildOptions options = options_;
    options.opt_level = 0;
    if (int8) {
      options.int8 = *std::move(int8);
    } else {
      options.precision = Precision::kFp32;
    }
    options.progress = nullptr;
    options.dump_directory.clear();
    GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Context> context, MakeContext(options, products));
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
    for (const LayerPrecision& layer : layers) alone.floats.insert(layer.node);
    for (size_t i = 0; i < layers.size(); ++i) {
      if (options_.progress)
        options_.progress("sensitivity", static_cast<int>(i), static_cast<int>(layers.size()));
      alone.floats.erase(layers[i].node);
      GRAFT_ASSIGN_OR_RETURN(const Outputs outputs, OutputsOf(alone));
      layers[i].sqnr = LeastSqnr(expected_, outputs);
      alone.floats.insert(layers[i].node);
    }
    std::ranges::stable_sort(layers, {}, &LayerPrecision::sqnr);
    return OkStatus();
  }

  Status Time(PrecisionReport& report) const {
    BuildOptions options = options_;
    options.dump_directory.clear();
    options.int8 = Floats(report.layers);
    GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Context> integers, MakeContext(options, nullptr));
    options.precision = Precision::kFp32;
    GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Context> floats, MakeContext(options, nullptr));
    // In turns, so that a disturbance hits both.
    constexpr int kRounds = 12;
    report.microseconds = report.float_microseconds = std::numeric_limits<double>::infinity();
    for (int round = 0; round < kRounds; ++round) {
      for (const auto& [context, best] : {std::pair(integers.get(), &report.microseconds),
                                          std::pair(floats.get(), &report.float_microseconds)}) {
        using Clock = std::chrono::steady_clock;
        const Clock::time_point start = Clock::now();
        GRAFT_RETURN_IF_ERROR(context->Run(batches_[0]).status());
        *best = std::min(*best,
                         std::chrono::duration<double, std::micro>(Clock::now() - start).count());
      }
    }
    report.integers = report.microseconds <= report.float_microseconds;
    return OkStatus();
  }

  const EngineSource& source_;
  const BuildOptions options_;
  const std::vector<std::vector<Tensor>>& batches_;
  Outputs expected_;
};

}  // namespace

Result<PrecisionReport> ChoosePrecisions(const EngineSource& source, const BuildOptions& options,
                                         const std::vector<std::vector<Tensor>>& batches,
                                         double wanted_sqnr) {
  if (options.precision != Precision::kInt8 || batches.empty())
    return InvalidArgumentError("a choice of precisions needs INT8 and data");
  return Search(source, options, batches).Run(wanted_sqnr);
}

void Apply(const PrecisionReport& report, BuildOptions* options) {
  if (!report.integers) {
    options->precision = Precision::kFp32;
    return;
  }
  for (const LayerPrecision& layer : report.layers) {
    if (!layer.integers) options->int8.floats.insert(layer.node);
  }
}

}  // namespace graft::convert
