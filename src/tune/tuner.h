// Chooses the tactics of every node of an engine module: times what the backend offers at the
// tuning points, or asks the cost model, and remembers the answers.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "backend_api/backend.h"
#include "backend_api/choices.h"
#include "tune/measure.h"
#include "tune/timing_cache.h"

namespace graft {

struct TuneOptions {
  int threads = 1;    // width of the executor that the engine is tuned for
  int opt_level = 3;  // 0: cost model only; 1, 2: short timings of the candidates that the model
                      // likes; 3…5: all, longer
  // What the operands and results of a node may take for it to be timed; beyond that the cost model
  // decides.
  size_t max_bytes = size_t{2} << 30;
  // What a tactic's workspace may take at a tuning point, on devices; one that needs more is no
  // candidate there. Where nothing can be bound (a kind of card), it is not known. 0: any size.
  size_t max_workspace_bytes = 0;
  // The module is a part of one whose constants no cache holds: neither does one hold the part's,
  // however few. So the part's steps are timed, and remembered, as they are in the whole.
  bool cold_constants = false;
  // Nodes that a single tactic takes are timed like all others: for TuneReport::step_microseconds.
  bool time_all = false;
  // Called before each node that has to be timed: (nodes done, nodes).
  std::function<void(int, int)> progress;
  // Once it is true, nothing more is timed: kFailedPrecondition.
  const std::atomic<bool>* stopped = nullptr;
};

// How tactics of the module's nodes are timed at these options.
MeasureOptions MeasureOptionsOf(const ir::Module& module, const Device& device,
                                const TuneOptions& options);

// Why a tactic that takes the node does not take its operands and results as they lie.
inline constexpr std::string_view kRowsNotDense = "rows that are not dense";

// Times within this share of the fastest count as equal, since timings are not better than that:
// the candidate wins whose preparation costs less, else the earlier one.
inline constexpr double kTuningTie = 0.03;

struct RejectedTactic {
  std::string node;
  std::string tactic;
  std::string reason;
};

// How a choice between several forms of some nodes was decided (regions.h).
struct RegionReport {
  struct BodyTime {
    std::string name;
    double microseconds;  // at the first tuning point; infinite: the backend cannot run it
  };
  std::string region;  // the pass that offered it
  std::string node;
  std::vector<BodyTime> bodies;
  int chosen = 0;
  bool measured = false;  // false: by the cost model
};

struct TuneReport {
  int problems = 0;                      // different (problem, point) pairs with a choice to make
  int measured = 0;                      // tactics timed now
  int remembered = 0;                    // found in the cache
  int estimated = 0;                     // by the cost model
  int prepared = 0;                      // tactics that had to prepare for a point now
  std::vector<RejectedTactic> rejected;  // their results were wrong
  std::vector<RegionReport> regions;
  // By node of the module that was tuned last, its fastest tactic's time, summed over the tuning
  // points; NaN for one that was not timed.
  std::vector<double> step_microseconds;
};

// `points` must not be empty; the first is the most important. Errors: a node that no tactic takes
// (kUnsupported, with the node's name and the reason). A tactic for which there is no memory is not
// taken in this build, and the cost model decides on nodes whose operands find none.
Result<Choices> Tune(const ir::Module& module, Backend& backend, std::vector<TuningPoint> points,
                     const TuneOptions& options, TimingCache& cache, TuneReport* report);

// Whether the device's caches are known, and known to be too small for all constants.
bool AreConstantsCold(const ir::Module& module, const Device& device);

// The binding to tune at when the user gives none: 1 for the outermost dimension of an input or of
// an opaque node's result, and for data that is nothing but an outermost dimension; inner unknown
// dimensions of rank-4 values 224, of others 128; other data 224; result dims their upper bounds.
// When the module's shapes do not work out there (a dimension below zero or unequal sizes), smaller
// powers of two are tried, then other sizes for one symbol after the other. kUnsupported when none
// works: sizes must be given then.
Result<TuningPoint> DefaultTuningPoint(const ir::Module& module);

// The binding in which the module's inputs have these dimensions (in the module's order; entries of
// unknown size -1 take the default).
Result<TuningPoint> TuningPointFor(const ir::Module& module, const std::vector<Dims>& input_dims);

}  // namespace graft
