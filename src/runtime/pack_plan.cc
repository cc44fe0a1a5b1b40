#include "runtime/pack_plan.h"

#include <set>

#include "backend_api/adopts_packed.h"
#include "runtime/plan_tactic.h"

namespace graft {
namespace {

// The constants of a node as a tactic packs them.
Result<PackedConstants> Pack(const ir::Module& module, ir::NodeId id, const Tactic& tactic,
                             const AdoptsPacked& adopts, Executor& executor) {
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<PackedWeights> packed,
                         tactic.Pack(module, module.node(id), executor));
  const std::shared_ptr<const PackedWeights> shared = std::move(packed);
  const std::vector<std::span<const std::byte>> regions = shared->regions();
  if (regions.size() != 1)
    return InternalError("{} packs into {} regions", tactic.name(), regions.size());
  PackedConstants constants;
  constants.node = id;
  constants.tactic = tactic.name();
  constants.version = tactic.version();
  constants.target = adopts.PackedTarget();
  constants.bytes = std::shared_ptr<const std::byte>(shared, regions[0].data());
  constants.size = regions[0].size();
  constants.hash = HashBytes(constants.bytes.get(), constants.size);
  return constants;
}

}  // namespace

Result<PackReport> PackPlan(Plan& plan, Backend& backend, Executor& executor) {
  const ir::Module& module = plan.module;
  std::vector<PackedConstants> packed;
  PackReport report;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const StepChoice& step = plan.choices.steps[id];
    std::vector<int> wanted = step.best;
    if (wanted.empty() && !step.tactics.empty()) wanted.push_back(0);
    std::set<std::string_view> packings;
    const size_t before = packed.size();
    for (const int t : wanted) {
      const Tactic* const tactic = FindTactic(backend, module, module.node(id), step.tactics[t]);
      if (tactic == nullptr) continue;
      const AdoptsPacked* const adopts = AsAdoptsPacked(*tactic);
      if (adopts == nullptr || !packings.insert(tactic->packing()).second) continue;
      Result<PackedConstants> constants = Pack(module, id, *tactic, *adopts, executor);
      if (!constants.ok()) return constants.status().WithContext(module.node(id).name);
      if (constants->size == 0) continue;  // of a layer without channels
      report.bytes += constants->size;
      report.target = constants->target;
      packed.push_back(*std::move(constants));
    }
    report.nodes += packed.size() > before ? 1 : 0;
  }
  if (packed.empty())
    return UnsupportedError("backend {} packs no weights of it that a plan keeps", backend.name());
  plan.packed = std::move(packed);
  return report;
}

}  // namespace graft
