#include "convert/build_by_time.h"

#include "convert/precision_by_time.h"
#include "convert/precision_choice.h"
#include "runtime/backend_table.h"

namespace graft::convert {

std::string SlowReason(double integers, double floats) {
  return fmt::format("integers take {:.0f} us, floats {:.0f}, and casts", integers, floats);
}

Result<BuiltEngine> BuildByTime(const EngineSource& source, const BuildOptions& options,
                                StageTimes* times) {
  const Int8Options& int8 = options.int8;
  if (options.precision != Precision::kInt8 || !int8.table || int8.strict)
    return BuildEngine(source, options, times);
  BuildOptions build = options;
  if (auto floats = ChosenFloats(*int8.table)) {
    build.int8.floats.merge(*floats);
    return BuildEngine(source, build, times);
  }
  if (options.opt_level == 0 || IsTarget(options.backend))
    return BuildEngine(source, options, times);
  {
    StageTimer timer(&times->tune);
    StageTimes of_trials;
    EngineSource trial = source;
    trial.imported = nullptr;  // the engine takes it
    BuildOptions untimed = options;
    untimed.opt_level = 0;
    untimed.dump_directory.clear();
    untimed.progress = nullptr;
    GRAFT_ASSIGN_OR_RETURN(const BuiltEngine whole, BuildEngine(trial, untimed, &of_trials));
    GRAFT_ASSIGN_OR_RETURN(const PrecisionByTime by_time,
                           PrecisionByTime::Measure(trial, options, whole.integer_products));
    for (const std::string& product : by_time.Floats({})) {
      const ProductTime& time = by_time.times().at(product);
      build.int8.floats.emplace(product, SlowReason(time.integers, time.floats));
    }
  }
  return BuildEngine(source, build, times);
}

}  // namespace graft::convert
