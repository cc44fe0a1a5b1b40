#include "passes/pipeline.h"

#include <algorithm>
#include <chrono>

#include "passes/dump.h"

namespace graft::passes {
namespace {

constexpr Pass kPasses[] = {
#define GRAFT_PASS(Function, name, exactness, summary) \
  {name, Function, Exactness::exactness, summary},
#include "passes/passes.inc"
#undef GRAFT_PASS
};

constexpr PassFunction kSimplify[] = {
    // First, so that every later pass sees constants where there are constants. It leaves emulated
    // quantisation of constants, which says how they are to be quantised ...
    FoldConstants,
    // ... to this one, after whoever reads it, and before scales are folded into the constants.
    LowerFakeQuantize,
    FoldConstants,
    // Before anything matches patterns: an identity between two nodes hides them from each other.
    RemoveIdentities,
    // Early: two equal readers of a convolution would keep it from fusing with either.
    MergeEqual,
    // Before anything looks at neighbours of convolutions: a channels-first graph has transposes
    // between them, and reshapes stand around convolutions over one dimension.
    MoveTransposes,
    MoveReshapes,
    // The operands that were turned for them, and the transposes and reshapes that undid each
    // other.
    FoldConstants,
    RemoveIdentities,
    // Before programs are joined: the first instructions of a program, one by one, are what it
    // takes into the weights.
    FoldScale,
    // Programs join before they are simplified: an activation spelled over several nodes is
    // recognised as one program.
    FuseActivations,
    SimplifyPrograms,
    // Just before its only reader: rewriting a node loses the ranges of its result.
    PropagateRanges,
    FoldPad,
    // What the passes above have left behind.
    FoldConstants,
    RemoveIdentities,
    MergeEqual,
};

constexpr PassFunction kOptimize[] = {
    // Before element-wise nodes join each other, and with the constants that come of it.
    LowerQuantize,
    FoldConstants,
    // Before element-wise nodes join each other: a residual addition and the activation behind it
    // belong to the convolution before them.
    FuseEpilogue,
    // With whole epilogues: they end in the integers that the next product reads. What it has left
    // of casts belongs to the floats beside it.
    Quantize,
    FuseEpilogue,
    // After epilogues, which know results of the op's own dtype only, and before element-wise nodes
    // join, which takes in the casts.
    LegalizeDTypes,
    // What no epilogue could take.
    FusePointwise,
    // Joined programs simplify further.
    SimplifyPrograms,
    // After epilogues: a convolution takes its stride with all that follows it, residual included.
    HoistStride,
    // Once programs are joined, so that few casts arise and all of them in programs; before choices
    // are made, which have to be timed as they will run.
    StoreHalves,
    // What is offered is decided at once, by measuring, with the weights as they will be. It wants
    // convolutions in their last form, and before anything is placed.
    MergeSiblings,
    ResolveChoices,
    FoldConstants,
    // The plan states the ranges of what is left.
    PropagateRanges,
    // Last, since rewriting a node makes its result a value of its own again. Slices come after
    // concatenations: whether their operand is a window itself decides how their rows lie.
    ConcatViews,
    SliceViews,
};

std::span<const PassFunction> Order(Stage stage) {
  return stage == Stage::kSimplify ? std::span<const PassFunction>(kSimplify)
                                   : std::span<const PassFunction>(kOptimize);
}

const Pass& FindPass(PassFunction function) {
  return *std::find_if(std::begin(kPasses), std::end(kPasses),
                       [&](const Pass& pass) { return pass.function == function; });
}

Status CheckName(std::string_view name) {
  for (const Pass& pass : kPasses) {
    if (pass.name == name) return OkStatus();
  }
  std::string names;
  for (const Pass& pass : kPasses) names += fmt::format(" {}", pass.name);
  return InvalidArgumentError("no pass '{}'; there are:{}", name, names);
}

Status CheckOptions(const PipelineOptions& options) {
  for (const std::string& name : options.disabled) GRAFT_RETURN_IF_ERROR(CheckName(name));
  return options.stop_after.empty() ? OkStatus() : CheckName(options.stop_after);
}

// How many of the stage's passes run: up to the first place of `stop_after`, where it has one.
size_t CountToRun(std::span<const PassFunction> order, const std::string& stop_after) {
  for (size_t i = 0; i < order.size(); ++i) {
    if (FindPass(order[i]).name == stop_after) return i + 1;
  }
  return order.size();
}

// The number in a dump's name: a pass's place in both stages together, so that it is the same in
// every run.
size_t DumpNumber(Stage stage, size_t index) {
  return index + 1 + (stage == Stage::kOptimize ? std::size(kSimplify) : 0);
}

}  // namespace

std::span<const Pass> AllPasses() { return kPasses; }

Result<int> RunToFixedPoint(const Pass& pass, PassContext& context, ir::Module& module) {
  // A pass that still finds work after as many rounds as the module has nodes undoes its own work.
  const int limit = module.node_count() + 8;
  int rounds = 0;
  for (;; ++rounds) {
    Result<bool> changed = pass.function(module, context);
    if (!changed.ok()) return changed.status().WithContext(pass.name);
    // Also without a change: a pass may have built nodes that it had no use for.
    GRAFT_RETURN_IF_ERROR(module.Compact().WithContext(pass.name));
    if (!*changed) break;
    if (rounds == limit) return InternalError("{}: no fixed point in {} rounds", pass.name, limit);
  }
  if (rounds > 0) GRAFT_RETURN_IF_ERROR(ir::Verify(module).WithContext(pass.name));
  return rounds;
}

Status RunPassesAfterChoices(const PipelineOptions& options, PassContext& context,
                             ir::Module& module) {
  const auto resolve = std::ranges::find(kOptimize, PassFunction{ResolveChoices});
  for (const PassFunction function : std::span(resolve + 1, std::end(kOptimize))) {
    const Pass& pass = FindPass(function);
    if (std::ranges::find(options.disabled, pass.name) != options.disabled.end()) continue;
    GRAFT_RETURN_IF_ERROR(RunToFixedPoint(pass, context, module).status());
  }
  return OkStatus();
}

Result<std::vector<PassReport>> RunPipeline(Stage stage, const PipelineOptions& options,
                                            PassContext& context, ir::Module& module) {
  using Clock = std::chrono::steady_clock;
  GRAFT_RETURN_IF_ERROR(CheckOptions(options));
  const std::span<const PassFunction> order = Order(stage);
  GRAFT_RETURN_IF_ERROR(module.Compact());
  std::vector<PassReport> reports;
  for (size_t i = 0; i < CountToRun(order, options.stop_after); ++i) {
    const Pass& pass = FindPass(order[i]);
    if (std::ranges::find(options.disabled, pass.name) != options.disabled.end()) continue;
    const Clock::time_point start = Clock::now();
    GRAFT_ASSIGN_OR_RETURN(const int rounds, RunToFixedPoint(pass, context, module));
    reports.push_back({pass.name, rounds,
                       std::chrono::duration<double, std::milli>(Clock::now() - start).count()});
    if (rounds > 0 && !options.dump_directory.empty()) {
      GRAFT_RETURN_IF_ERROR(DumpModule(module, options.dump_directory,
                                       fmt::format("{:03}-{}", DumpNumber(stage, i), pass.name)));
    }
  }
  return reports;
}

}  // namespace graft::passes
