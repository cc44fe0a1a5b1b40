// An engine: a plan made runnable on a backend. Immutable but for its shape plans; shared by
// threads.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "backend_api/backend.h"
#include "plan/plan.h"
#include "runtime/shape_plan.h"

namespace graft {

struct EngineOptions {
  Executor* executor = nullptr;  // packs weights during Create; nullptr: the calling thread
  int shape_plans = 16;          // how many are kept, least recently used
};

// What a caller sees of an input or output.
struct Binding {
  std::string name;          // the model's
  std::string binding_name;  // TF-TRT's
  DType dtype = DType::kInvalid;
  ir::Shape shape;
};

// A tactic that a step may use, resolved.
struct ResolvedTactic {
  const Tactic* tactic;
  TacticTraits traits;
};

class Engine {
 public:
  // Resolves the plan's tactics by name and version and packs the constants for its first tuning
  // point. Tactics that this build does not have are left out; kUnsupported when a step has none
  // left that takes any shape. The backend outlives the engine.
  static Result<std::shared_ptr<const Engine>> Create(Plan plan, Backend& backend,
                                                      const EngineOptions& options = {});
  ~Engine();

  const ir::Module& module() const { return plan_.module; }
  const Provenance& provenance() const { return plan_.provenance; }
  const Choices& choices() const { return plan_.choices; }
  Backend& backend() const { return backend_; }
  const std::vector<Binding>& inputs() const { return inputs_; }
  const std::vector<Binding>& outputs() const { return outputs_; }
  // Tactics that the plan names and this build does not have.
  const std::vector<std::string>& missing_tactics() const { return missing_tactics_; }
  size_t packed_bytes() const;

  // The shape plan of a binding of the symbols, made when there is none. `executor` packs constants
  // that no earlier shape needed; its width sizes the steps' workspaces.
  Result<std::shared_ptr<const ShapePlan>> FindShapePlan(std::span<const int64_t> symbols,
                                                         Executor& executor) const;

 private:
  struct Step {
    std::vector<ResolvedTactic> tactics;  // in the plan's order
    std::vector<int> best;                // for each tuning point, index in tactics or -1
    // One for each packing in use.
    std::vector<std::pair<std::string, std::unique_ptr<PackedWeights>>> packed;
  };

  Engine(Plan plan, Backend& backend, const EngineOptions& options);
  Status ResolveTactics();
  Status PlaceConstants();
  Status PackFirstPoint(Executor& executor);
  void DropPackedConstants();
  Result<const PackedWeights*> Packed(ir::NodeId node, const Tactic& tactic,
                                      Executor& executor) const;
  Result<BoundChoice> BindStep(ir::NodeId node, const BoundNode& bound,
                               const std::vector<int>& order, Executor& executor) const;
  std::vector<int> TacticOrder(ir::NodeId node, std::span<const int64_t> symbols) const;
  Result<std::shared_ptr<const ShapePlan>> MakeShapePlan(std::span<const int64_t> symbols,
                                                         Executor& executor) const;

  Plan plan_;
  Backend& backend_;
  int shape_plan_limit_;
  std::vector<Binding> inputs_;
  std::vector<Binding> outputs_;
  std::vector<std::string> missing_tactics_;
  std::vector<const void*> constants_;   // by value, in the backend's memory space
  std::vector<void*> device_constants_;  // those of constants_ that the engine allocated

  mutable std::mutex mutex_;  // guards what follows; never taken by a step loop
  mutable std::vector<Step> steps_;
  mutable std::vector<std::shared_ptr<const ShapePlan>> shape_plans_;  // most recent first
};

}  // namespace graft
