#include "report_advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace graft {
namespace {

constexpr size_t kMostReasons = 6;
constexpr size_t kMostLayers = 3;
constexpr double kSlowShare = 0.05;      // of an engine's time, from which on a layer counts
constexpr double kFarFromLimit = 0.5;    // of what its limit leaves
constexpr double kManySmallSteps = 0.2;  // of an engine's time
constexpr double kBatchPays = 1.15;      // times the throughput

std::string Nodes(int count) { return fmt::format("{} node{}", count, count == 1 ? "" : "s"); }

// What keeps nodes native, by falling count.
void AdviseOnReasons(const std::vector<partition::LeftOut>& unconverted,
                     std::vector<Advice>* advice) {
  std::map<std::pair<std::string, std::string>, int> counts;
  for (const partition::LeftOut& node : unconverted) ++counts[{node.op, node.reason}];
  std::vector<std::pair<std::pair<std::string, std::string>, int>> sorted(counts.begin(),
                                                                          counts.end());
  std::ranges::stable_sort(sorted, std::greater(), [](const auto& item) { return item.second; });
  for (size_t i = 0; i < std::min(sorted.size(), kMostReasons); ++i) {
    const auto& [op, reason] = sorted[i].first;
    advice->push_back({fmt::format("{} keeps {} native: {}", op, Nodes(sorted[i].second), reason),
                       "docs/ops.md says what each op takes; what stays native runs in TensorFlow",
                       op});
  }
}

void AdviseOnBatch(const Findings& f, std::vector<Advice>* advice) {
  if (f.batch == 0 || f.ms_of_one <= 0 || f.ms_of_batch <= 0) return;
  const double gain = f.ms_of_one * static_cast<double>(f.batch) / f.ms_of_batch;
  if (gain >= kBatchPays) {
    advice->push_back({fmt::format("Batch {} gives {:.1f} x the throughput of batch 1 ({:.3f} ms "
                                   "for {}, {:.3f} ms for one)",
                                   f.batch, gain, f.ms_of_batch, f.batch, f.ms_of_one),
                       "gather requests where latency allows, and tune for it: graft convert "
                       "--shapes",
                       ""});
  } else {
    advice->push_back({fmt::format("Batch {} gives {:.2f} x the throughput of batch 1: requests "
                                   "need not be gathered",
                                   f.batch, gain),
                       "", ""});
  }
}

void AdviseOnLayers(const EngineReport& engine, std::vector<Advice>* advice) {
  double total = 0, overhead = 0;
  for (const Layer& l : engine.layers()) {
    total += l.ms;
    if (l.limit.name == "overhead") overhead += l.ms;
  }
  if (total <= 0) return;
  std::vector<const Layer*> slow;
  for (const Layer& l : engine.layers()) {
    const bool known = l.limit.name == "arithmetic" || l.limit.name == "memory";
    if (l.ms > kSlowShare * total && known && l.share() < kFarFromLimit) slow.push_back(&l);
  }
  std::ranges::stable_sort(slow, std::greater(), [](const Layer* l) { return l->ms; });
  for (size_t i = 0; i < std::min(slow.size(), kMostLayers); ++i) {
    const Layer& l = *slow[i];
    advice->push_back(
        {fmt::format("{} takes {:.0f} % of {}, at {:.0f} % of what {} allows", l.profile.name,
                     100 * l.ms / total, engine.name(), 100 * l.share(), l.limit.name),
         "graft bench PLAN --why LAYER measures every tactic that there is for it", ""});
  }
  if (overhead > kManySmallSteps * total) {
    advice->push_back({fmt::format("Steps too small to keep the processor busy take {:.0f} % of {}",
                                   100 * overhead / total, engine.name()),
                       "a larger batch, or fewer threads: graft bench PLAN --threads 1", ""});
  }
}

void AdviseOnAccuracy(const EngineReport& engine, double tolerance, std::vector<Advice>* advice) {
  if (engine.relative_error() <= tolerance) return;
  std::string first;
  for (const LayerAccuracy& l : engine.compared_layers()) {
    if (l.relative <= tolerance) continue;
    first = fmt::format("; the first layer that is off is {} ({:.2g})", l.name, l.relative);
    break;
  }
  advice->push_back({fmt::format("{} is off by {:.2g} of an output's largest value{}",
                                 engine.name(), engine.relative_error(), first),
                     first.empty()
                         ? "--layers finds the first layer that is off"
                         : "graft convert --disable-pass and --stop-after find what changes it",
                     ""});
}

}  // namespace

std::vector<Advice> Advise(const Findings& findings) {
  std::vector<Advice> advice;
  AdviseOnReasons(findings.unconverted, &advice);
  AdviseOnBatch(findings, &advice);
  for (const EngineReport& engine : *findings.engines) {
    AdviseOnAccuracy(engine, findings.tolerance, &advice);
    if (const std::string& tuned = engine.engine().provenance().fingerprint;
        tuned != engine.engine().backend().Fingerprint()) {
      advice.push_back({fmt::format("{} was tuned on another machine: {}", engine.name(), tuned),
                        "graft plan tune, or convert again here", ""});
    }
    AdviseOnLayers(engine, &advice);
  }
  return advice;
}

}  // namespace graft
