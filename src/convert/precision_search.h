// Which products of a model are computed on 8-bit integers: a precision mode permits them, it does
// not force them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "convert/build_engine.h"

namespace graft::convert {

// Why a product that can be on integers is in floats.
enum class FloatReason : uint8_t {
  kNone,      // it is not
  kAccuracy,  // integers are too coarse for it
  kTime,      // the model is faster so
};

inline constexpr char kTooCoarse[] = "integers are too coarse for it";

struct LayerPrecision {
  std::string node;
  FloatReason in_floats = FloatReason::kNone;
  // Decibels of the outputs with this product alone on integers: its sensitivity. 0: not asked for.
  double sqnr = 0;
  // Microseconds by the tuner, without casts, over all tuning points. 0: not timed.
  double microseconds = 0;
  double float_microseconds = 0;

  bool integers() const { return in_floats == FloatReason::kNone; }
};

// What products on integers may cost.
struct AccuracyGoal {
  double least_sqnr = 28;  // decibels
  // The classes of the samples, over all batches: with these it is `most_drop` that counts, points
  // of top-1 of the output [samples, classes] of this number.
  std::vector<int64_t> labels;
  int scores = 0;
  double most_drop = 0;
};

// Top-1 in percent.
struct Top1 {
  double floats = 0;
  double integers = 0;  // with all products on integers that can be
  double chosen = 0;
  double most_drop = 0;
};

struct PrecisionReport {
  double wanted_sqnr = 0;    // where there are no labels
  double integers_sqnr = 0;  // with all products on integers that can be
  double sqnr = 0;           // as chosen
  // Of one run, over all tuning points, as chosen and without integers.
  double microseconds = 0;
  double float_microseconds = 0;
  // Integers are not slower as a whole. Else the model is computed in floats.
  bool integers = true;
  // What is not on integers may be stored as halves: the device multiplies them and the model with
  // all its floats so is accurate enough, so that nothing else is compared; or they were permitted,
  // and the least time of an accurate engine that stores so what is not on integers,
  // half_microseconds (else 0), is the least of all.
  double half_microseconds = 0;
  bool halves = false;
  // Products that can be on integers: in the order of the model where those were good enough as
  // they are, else by sensitivity, the worst first.
  std::vector<LayerPrecision> layers;
  std::optional<Top1> top_1;  // where there are labels
};

// Compares engines for the graph on `batches` of its inputs with one in floats. SQNR is the ratio
// of signal to noise of the output that has the least, over all batches. Products that cost time on
// integers, casts included, are in floats (precision_by_time.h). Others go back to floats, the most
// sensitive first, until the goal is met. Then whole engines are tuned and timed: with this,
// without what time alone has put into floats, and in floats; and with BuildOptions::halves also
// with halves, the first and the last, where they are good enough. The fastest is taken, and of
// those as fast the first. Where the device multiplies halves and these are accurate enough, they
// stand for floats in all of that. `options` are those of the engine on integers, with its
// calibration table. InvalidArgument for labels that are not those of the outputs.
Result<PrecisionReport> ChoosePrecisions(const EngineSource& source, const BuildOptions& options,
                                         const std::vector<std::vector<Tensor>>& batches,
                                         const AccuracyGoal& goal);

// What `options` have to be for the engine that was chosen. Their table gets the choice
// (precision_choice.h).
void Apply(const PrecisionReport& report, BuildOptions* options);

}  // namespace graft::convert
