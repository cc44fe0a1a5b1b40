#include "bench_streams.h"

#include <thread>

#include "timing.h"

namespace graft {
namespace {

// Contexts that run in threads of their own, each over and over on the same inputs.
class Streams {
 public:
  static Result<Streams> Create(const std::shared_ptr<const Engine>& engine,
                                const std::vector<Tensor>& inputs, int streams, int threads) {
    Streams made;
    made.inputs_ = &inputs;
    for (int s = 0; s < streams; ++s) {
      ContextOptions options;
      // The first ones take what cannot be split evenly.
      options.executor = MakeTbbExecutor(threads / streams + (s < threads % streams ? 1 : 0));
      GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<Context> context,
                             Context::Create(engine, std::move(options)));
      GRAFT_RETURN_IF_ERROR(context->Run(inputs).status());  // binds the shape
      made.contexts_.push_back(std::move(context));
    }
    return made;
  }

  // All of them for so many seconds.
  Status Run(double seconds) {
    std::vector<Status> statuses(contexts_.size());
    std::vector<std::vector<double>> times(contexts_.size());
    const int64_t start = SteadyNow();
    {
      std::vector<std::jthread> threads;
      for (size_t s = 0; s < contexts_.size(); ++s) {
        threads.emplace_back([&, s] {
          while (statuses[s].ok() && SecondsSince(start) < seconds) {
            const int64_t run = SteadyNow();
            statuses[s] = contexts_[s]->Run(*inputs_).status();
            times[s].push_back(MillisecondsSince(run));
          }
        });
      }
    }
    seconds_ += SecondsSince(start);
    for (size_t s = 0; s < contexts_.size(); ++s) {
      GRAFT_RETURN_IF_ERROR(statuses[s]);
      milliseconds_.insert(milliseconds_.end(), times[s].begin(), times[s].end());
    }
    return OkStatus();
  }

  double runs_per_second() const { return static_cast<double>(milliseconds_.size()) / seconds_; }
  double median_ms() const { return Median(milliseconds_); }

 private:
  const std::vector<Tensor>* inputs_ = nullptr;
  std::vector<std::unique_ptr<Context>> contexts_;
  double seconds_ = 0;
  std::vector<double> milliseconds_;  // of every run
};

}  // namespace

Result<StreamsFigures> MeasureStreams(const std::shared_ptr<const Engine>& engine,
                                      const std::vector<Dims>& dims,
                                      const StreamsOptions& options) {
  const int threads = MakeTbbExecutor(options.threads)->width();
  if (options.streams > threads) {
    return InvalidArgumentError("--streams: {} streams on {} thread{}", options.streams, threads,
                                threads == 1 ? "" : "s");
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, RandomInputs(*engine, dims, 1));
  GRAFT_ASSIGN_OR_RETURN(Streams one, Streams::Create(engine, inputs, 1, threads));
  GRAFT_ASSIGN_OR_RETURN(Streams several,
                         Streams::Create(engine, inputs, options.streams, threads));
  // In turns, so that a disturbance hits both.
  constexpr int kTurns = 4;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (Streams* streams : {&one, &several})
      GRAFT_RETURN_IF_ERROR(streams->Run(options.duration / (2 * kTurns)));
  }
  const double items = dims.empty() || dims[0].empty() ? 1 : static_cast<double>(dims[0][0]);
  StreamsFigures figures;
  figures.dims = dims;
  figures.one_items_per_second = one.runs_per_second() * items;
  figures.items_per_second = several.runs_per_second() * items;
  figures.median_ms = several.median_ms();
  return figures;
}

std::string StreamsText(const std::vector<StreamsFigures>& figures, const StreamsOptions& options) {
  std::string text =
      fmt::format("{:>6} {:>14} {:>14} {:>6} {:>12}\n", "batch", "one (items/s)",
                  fmt::format("{} streams", options.streams), "ratio", "median (ms)");
  for (const StreamsFigures& f : figures) {
    const bool scalar = f.dims.empty() || f.dims[0].empty();
    text +=
        fmt::format("{:>6} {:>14.2f} {:>14.2f} {:>6.3f} {:>12.4f}\n",
                    scalar ? "-" : std::to_string(f.dims[0][0]), f.one_items_per_second,
                    f.items_per_second, f.items_per_second / f.one_items_per_second, f.median_ms);
  }
  return text;
}

}  // namespace graft
