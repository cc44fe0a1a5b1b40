#include "convert/build_engine.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "backends/reference/evaluator.h"
#include "base/log.h"
#include "convert/time_bodies.h"
#include "passes/rewrite.h"
#include "passes/views.h"
#include "quant/node_ranges.h"
#include "quant/range_rules.h"
#include "runtime/backend_table.h"

namespace graft::convert {
namespace {

Status CheckWhole(const tf::GraphDef& graph, const importer::ImportedGraph& imported) {
  constexpr int kShown = 20;
  std::string reasons;
  int refused = 0;
  for (size_t v = 0; v < graph.nodes.size(); ++v) {
    if (imported.nodes[v].decision != importer::Decision::kRefused) continue;
    if (++refused <= kShown) {
      reasons += fmt::format("\n  {} ({}): {}", graph.nodes[v].name, graph.nodes[v].op,
                             imported.nodes[v].reason);
    }
  }
  if (refused == 0) return OkStatus();
  if (refused > kShown) reasons += fmt::format("\n  … and {} more", refused - kShown);
  return UnsupportedError("{} node{} cannot be converted:{}", refused, refused == 1 ? "" : "s",
                          reasons);
}

// What only passes through, strings say, needs no node that could refuse it.
Status CheckBorders(const ir::Module& module) {
  const auto check = [&](ir::ValueId id, std::string_view side, std::string_view name) -> Status {
    const ir::Value& value = module.value(id);
    if (!IsHeld(value.dtype)) {
      return UnsupportedError("{} {} is {}, which no engine holds", side, name,
                              TensorFlowName(value.dtype));
    }
    if (!value.has_shape)
      return UnsupportedError("{} {}: Input tensor rank is unknown.", side, name);
    return OkStatus();
  };
  for (size_t i = 0; i < module.inputs.size(); ++i)
    GRAFT_RETURN_IF_ERROR(check(module.inputs[i], "input", module.input_names[i]));
  for (size_t i = 0; i < module.outputs.size(); ++i)
    GRAFT_RETURN_IF_ERROR(check(module.outputs[i], "output", module.output_names[i]));
  return OkStatus();
}

// Some tactic that takes any shape can do it with rows that are not dense.
bool AnyTactic(const Backend& backend, const ir::Module& module, const ir::Node& node,
               bool TacticTraits::*trait) {
  for (const Candidate& c : backend.Candidates(module, node)) {
    if (c.refusal) continue;
    const TacticTraits traits = c.tactic->Traits(module, node);
    if (traits.any_shape && traits.*trait) return true;
  }
  return false;
}

passes::PassContext MakePassContext(const Backend& backend) {
  passes::PassContext context;
  context.evaluate = [](const ir::Module& module, const ir::Node& node,
                        std::span<const Tensor> inputs) {
    return reference::Evaluate(module, node, inputs);
  };
  context.supports = [&backend](const ir::Module& module, const ir::Node& node) {
    return !backend.SupportsAsIs(module, node);
  };
  context.supports_strided_output = [&backend](const ir::Module& module, const ir::Node& node) {
    return AnyTactic(backend, module, node, &TacticTraits::strided_output);
  };
  context.supports_strided_input = [&backend](const ir::Module& module, const ir::Node& node) {
    return AnyTactic(backend, module, node, &TacticTraits::strided_inputs);
  };
  return context;
}

using ModuleHook = std::function<Status(ir::Module&)>;

// Calls the hooks, where there are any, on the module as it is after the stage's first run of a
// pass.
Status CallWhen(const std::string& pass, passes::Stage stage, const std::vector<ModuleHook>& hooks,
                passes::PassContext& context, ir::Module& module) {
  bool stopped = false;
  for (const ModuleHook& hook : hooks) {
    if (!hook) continue;
    if (!std::exchange(stopped, true)) {
      GRAFT_RETURN_IF_ERROR(
          passes::RunPipeline(stage, {.stop_after = pass}, context, module).status());
    }
    GRAFT_RETURN_IF_ERROR(hook(module));
  }
  return OkStatus();
}

// The ranges of the fused module's values, for INT8.
Status FindRanges(const Int8Options& int8, ir::Module& module) {
  quant::FindRanges(module, int8.table ? &*int8.table : nullptr);
  if (int8.table) return OkStatus();
  const std::vector<std::string> missing = quant::DescribeMissing(module);
  if (int8.missing == nullptr) return quant::CheckNoneMissing(missing);
  int8.missing->insert(int8.missing->end(), missing.begin(), missing.end());
  return OkStatus();
}

int CountHalfWeights(const ir::Module& module) {
  std::set<ir::ValueId> weights;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const ir::Node& node = module.node(id);
    if (passes::Epilogue(node) == nullptr) continue;
    const ir::Value& value = module.value(node.inputs[1]);
    if (value.constant && value.dtype == DType::kFloat16) weights.insert(node.inputs[1]);
  }
  return static_cast<int>(weights.size());
}

// Tuning points without repetition: bindings that agree are measured once.
Result<std::vector<TuningPoint>> FindPoints(const ir::Module& module,
                                            const std::vector<std::vector<Dims>>& given) {
  std::vector<TuningPoint> points;
  for (const std::vector<Dims>& dims : given) {
    GRAFT_ASSIGN_OR_RETURN(TuningPoint point, TuningPointFor(module, dims));
    if (std::find(points.begin(), points.end(), point) == points.end())
      points.push_back(std::move(point));
  }
  if (points.empty()) {
    GRAFT_ASSIGN_OR_RETURN(TuningPoint point, DefaultTuningPoint(module));
    points.push_back(std::move(point));
  }
  return points;
}

// By result of a choice, whether it may stay a window of a wider value. What a concatenation reads
// may not: computed alone it would be written in its place there, as a window it has to be copied.
std::vector<bool> FindWindows(const ir::Module& module, const ir::Node& choice,
                              const passes::PassContext& context) {
  const ir::Uses uses(module);
  std::vector<bool> windows;
  for (const ir::ValueId v : choice.outputs) {
    const bool concatenated = std::ranges::any_of(uses.of(v), [&](ir::NodeId reader) {
      return module.node(reader).get<ir::ConcatAttributes>() != nullptr;
    });
    windows.push_back(!uses.is_output(v) && !concatenated &&
                      passes::ReadersTakeStrided(module, context, uses, v, -1));
  }
  return windows;
}

void LogRegions(const TuneReport& report) {
  for (const RegionReport& region : report.regions) {
    std::vector<std::string> times;
    for (const RegionReport::BodyTime& body : region.bodies)
      times.push_back(fmt::format("{} {:.1f} us", body.name, body.microseconds));
    GRAFT_VLOG(1, "convert_nodes", "{}: {}: {} {} ({})", region.node, region.region,
               region.bodies[region.chosen].name, region.measured ? "measured" : "estimated",
               fmt::join(times, ", "));
  }
}

void LogLayers(const ir::Module& module, const Choices& choices) {
  if (VerboseLevel("convert_nodes") < 2) return;
  Log(LogLevel::kInfo, "convert_nodes", "Created an engine with the following layers:");
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const ir::Node& node = module.node(id);
    const ir::Value& result = module.value(node.outputs[0]);
    Log(LogLevel::kInfo, "convert_nodes", "    {} (type: {}, precision: {}, tactic: {})", node.name,
        ir::Name(node.kind()), Name(result.dtype), choices.steps[id].tactics[0].name);
  }
}

}  // namespace

importer::Evaluator ReferenceEvaluator() {
  return [](const ir::Module& module, const ir::Node& node, std::span<const Tensor> operands) {
    return reference::Evaluate(module, node, operands);
  };
}

Result<BuiltEngine> BuildEngine(const EngineSource& source, const BuildOptions& options,
                                StageTimes* times) {
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(options.backend, options.device));
  GRAFT_RETURN_IF_ERROR(CheckPrecision(options.precision, *backend));
  BuiltEngine built;
  ir::Module& module = built.plan.module;
  {
    StageTimer timer(&times->import);
    GRAFT_ASSIGN_OR_RETURN(
        importer::ImportedGraph imported,
        source.imported != nullptr
            ? Result(std::move(*source.imported))
            : importer::ImportGraph(*source.graph, source.inputs, source.outputs,
                                    {.take_defaults = true, .evaluate = ReferenceEvaluator()}));
    GRAFT_RETURN_IF_ERROR(CheckWhole(*source.graph, imported));
    module = std::move(imported.module);
    module.input_names = source.input_names;
    module.output_names = source.output_names;
    GRAFT_RETURN_IF_ERROR(CheckBorders(module));
    GRAFT_RETURN_IF_ERROR(module.Compact());
    GRAFT_RETURN_IF_ERROR(ir::Verify(module).WithContext("after import"));
  }
  std::shared_ptr<Executor> executor =
      MakeTbbExecutor(backend->uses_executor() ? options.threads : 1);
  TuneOptions tune;
  tune.threads = executor->width();
  tune.max_workspace_bytes = options.max_workspace_bytes;
  tune.time_all = options.time_all;
  tune.stopped = options.stopped;
  tune.opt_level = IsTarget(options.backend) ? 0 : options.opt_level;
  {
    StageTimer timer(&times->passes);
    passes::PassContext context = MakePassContext(*backend);
    const bool is_int8 = options.precision == Precision::kInt8;
    context.store_halves = options.precision == Precision::kFp16 || (is_int8 && options.halves);
    passes::PipelineOptions pipeline;
    pipeline.disabled = options.disabled_passes;
    pipeline.stop_after = options.stop_after;
    pipeline.dump_directory = options.dump_directory;
    std::vector<TuningPoint> points;  // passes leave symbols as they are
    RegionHooks hooks;
    hooks.optimize = [&](ir::Module& body) {
      return passes::RunPassesAfterChoices(pipeline, context, body);
    };
    hooks.time = [&](std::vector<TunedBody> bodies, double milliseconds) {
      return TimeBodies(std::move(bodies), *backend, executor, milliseconds);
    };
    context.choose = [&](const ir::Module& whole, const ir::Node& choice) -> Result<int> {
      if (points.empty()) {
        GRAFT_ASSIGN_OR_RETURN(points, FindPoints(whole, source.points));
      }
      return ChooseBody(whole, choice, FindWindows(whole, choice, context), *backend, points, tune,
                        hooks, *options.cache, &built.tune);
    };
    ModuleHook read_nodes, find_ranges;
    if (is_int8) {
      read_nodes = [&](ir::Module& folded) -> Status {
        GRAFT_ASSIGN_OR_RETURN(built.warnings, quant::ReadQuantizationNodes(folded));
        return OkStatus();
      };
      find_ranges = [&](ir::Module& fused) -> Status {
        GRAFT_RETURN_IF_ERROR(FindRanges(options.int8, fused));
        built.int8 = DescribeLayers(fused);
        return OkStatus();
      };
    }
    GRAFT_RETURN_IF_ERROR(CallWhen("fold-constants", passes::Stage::kSimplify,
                                   {read_nodes, options.on_constants_folded}, context, module));
    for (const passes::Stage stage : {passes::Stage::kSimplify, passes::Stage::kOptimize}) {
      if (options.progress) options.progress("passes", static_cast<int>(stage), 2);
      if (stage == passes::Stage::kOptimize) {
        GRAFT_RETURN_IF_ERROR(
            CallWhen("fuse-epilogue", stage, {find_ranges, options.on_fused}, context, module));
        if (is_int8) {
          context.integers = [&](const ir::Node& node) {
            if (options.int8.floats.contains(node.name)) return false;
            built.integer_products.push_back(node.name);
            return true;
          };
        }
      }
      GRAFT_ASSIGN_OR_RETURN(std::vector<passes::PassReport> reports,
                             passes::RunPipeline(stage, pipeline, context, module));
      built.passes.insert(built.passes.end(), reports.begin(), reports.end());
    }
    // What is undecided, since a pass was to be the last or is disabled, stays as it was.
    passes::PassContext first_body;
    GRAFT_RETURN_IF_ERROR(passes::ResolveChoices(module, first_body).status());
    GRAFT_RETURN_IF_ERROR(module.Compact());
    MarkIntegers(built.integer_products, options.int8.floats, &built.int8);
    if (context.store_halves) built.half_weights = CountHalfWeights(module);
  }
  StageTimer timer(&times->tune);
  GRAFT_ASSIGN_OR_RETURN(std::vector<TuningPoint> points, FindPoints(module, source.points));
  if (options.progress)
    tune.progress = [&](int done, int total) { options.progress("tune", done, total); };
  GRAFT_ASSIGN_OR_RETURN(built.plan.choices, Tune(module, *backend, std::move(points), tune,
                                                  *options.cache, &built.tune));
  LogLayers(module, built.plan.choices);
  LogRegions(built.tune);
  built.plan.backend = backend->name();
  built.plan.provenance.fingerprint = backend->Fingerprint();
  built.plan.provenance.versions = BuildVersions();
  return built;
}

}  // namespace graft::convert
