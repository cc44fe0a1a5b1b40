// The engine of INT8 whose ranges a calibration table gives: a precision mode permits integers, it
// does not force them.
#pragma once

#include "convert/build_engine.h"

namespace graft::convert {

// BuildEngine, but where there is a table and INT8 is not strict, products that the table's choice
// leaves to floats (precision_choice.h) are in floats, or, where it has none, those that are slower
// on integers, casts between them counted (precision_by_time.h); their reasons in
// BuiltEngine::int8 say so. The ranges of quantisation nodes alone are an order: these
// engines are built as they are, and so is what has no choice at level 0, where nothing may be
// timed.
Result<BuiltEngine> BuildByTime(const EngineSource& source, const BuildOptions& options,
                                StageTimes* times);

// What reports say of a product that is in floats for its times in microseconds.
std::string SlowReason(double integers, double floats);

}  // namespace graft::convert
