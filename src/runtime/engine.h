// An engine: a plan made runnable on a backend. Immutable but for its shape plans and the packings
// that they need; shared by threads.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend_api/backend.h"
#include "ir/stages.h"
#include "plan/plan.h"
#include "runtime/shape_plan.h"

namespace graft {

struct EngineOptions {
  Executor* executor = nullptr;  // packs weights during Create; null: the calling thread
  int shape_plans = 16;          // how many are kept of each stage, least recently used
};

// What a caller sees of an input or output.
struct Binding {
  std::string name;          // the model's
  std::string binding_name;  // TF-TRT's
  DType dtype = DType::kInvalid;
  ir::Shape shape;
};

class Engine {
 public:
  // Resolves the plan's tactics by name and version and packs the constants for its first tuning
  // point, but for those that the plan has packed for this version and instruction set. Tactics
  // that this build does not have are left out; kUnsupported when a step has none left that takes
  // any shape. The backend outlives the engine.
  static Result<std::shared_ptr<const Engine>> Create(Plan plan, Backend& backend,
                                                      const EngineOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const ir::Module& module() const { return plan_.module; }
  const Provenance& provenance() const { return plan_.provenance; }
  const Choices& choices() const { return plan_.choices; }
  const ir::Stages& stages() const { return stages_; }
  Backend& backend() const { return backend_; }
  const std::vector<Binding>& inputs() const { return inputs_; }
  const std::vector<Binding>& outputs() const { return outputs_; }
  // What the input is where the caller feeds nothing; null where something must be fed.
  const Tensor* input_default(size_t input) const {
    const std::vector<Tensor>& defaults = plan_.input_defaults;
    return input < defaults.size() && defaults[input].valid() ? &defaults[input] : nullptr;
  }
  // Whether a step or an output takes the input's elements; else only its shape counts, or what it
  // says of shapes.
  bool ReadsInput(size_t input) const { return inputs_read_[input]; }
  // Tactics that the plan names and this build does not have.
  const std::vector<std::string>& missing_tactics() const { return missing_tactics_; }
  // Tactics whose prepared bytes the plan has lost at some tuning point, so that they are not used
  // there.
  const std::vector<std::string>& unprepared_tactics() const { return unprepared_tactics_; }
  // Where a constant's bytes are, in the backend's memory space; null when only packings hold it.
  const void* constant(ir::ValueId id) const { return constants_[id]; }
  size_t packed_bytes() const;
  // Those of them that are used where they lie in the plan.
  size_t packed_bytes_of_plan() const { return packed_bytes_of_plan_; }
  // Why packed constants of the plan are not used, each reason once; and those that are damaged.
  const std::vector<std::string>& unused_packed() const { return unused_packed_; }
  const std::vector<std::string>& damaged_packed() const { return damaged_packed_; }

  // The shape plan of a binding of the symbols, made when there is none; only those that are known
  // when the stage begins are read. `executor` packs constants that no earlier shape needed; its
  // width sizes the steps' workspaces.
  Result<std::shared_ptr<const ShapePlan>> FindShapePlan(std::span<const int64_t> symbols,
                                                         Executor& executor, int stage = 0) const;
  // Whether a shape plan is the one of these symbols.
  bool IsPlanOf(const ShapePlan& plan, std::span<const int64_t> symbols) const;

 private:
  struct StepTactic {
    const Tactic* tactic;
    TacticTraits traits;
    const TacticChoice* choice;  // the plan's
    bool refuses_bytes = false;  // which has been logged
  };
  struct Packing {
    std::string_view name;  // Tactic::packing()
    std::unique_ptr<PackedWeights> weights;
  };
  struct Step {
    std::vector<StepTactic> tactics;  // in the plan's order
    std::vector<int> best;            // for each tuning point an index in tactics; -1: missing
    std::vector<Packing> packings;    // those that some shape has needed
  };

  Engine(Plan plan, Backend& backend, const EngineOptions& options);
  Status CheckPlan() const;
  void FindInputsRead();
  Status ResolveTactics();
  void AdoptPacked(Executor& executor);
  Status CheckConstants(Executor& executor);
  Status PackFirstPoint(Executor& executor);
  std::vector<bool> ConstantsRead() const;
  // The one that runs at the first tuning point; null for a node without a step that runs.
  static const StepTactic* FirstTactic(const Step& step);
  void DropPackedConstants();
  Status PlaceConstants();

  // The tuning point that is nearest to some symbols; -1: there is none.
  struct Nearest {
    int point = -1;
    bool exact = false;  // it is the symbols themselves
  };
  Nearest NearestPoint(const ShapePlan& plan) const;
  // A tactic of a step to try: its index there, and what it has prepared for these symbols.
  struct Attempt {
    int tactic;
    std::string_view prepared;
  };
  static std::vector<Attempt> TacticOrder(const Step& step, const Nearest& nearest);
  Result<const PackedWeights*> FindPacked(ir::NodeId node, const Tactic& tactic,
                                          Executor& executor) const;
  Result<BoundChoice> BindStep(ir::NodeId node, const BoundNode& bound, const Nearest& nearest,
                               Executor& executor) const;
  // Of these nodes; `bound` has an entry for every node of the module.
  Result<std::vector<BoundChoice>> BindSteps(std::span<const ir::NodeId> nodes,
                                             std::span<const BoundNode> bound,
                                             const Nearest& nearest, Executor& executor) const;
  Status BindStageSymbols(std::span<const int64_t> symbols, ShapePlan* plan) const;
  std::shared_ptr<const ShapePlan> KnownShapePlan(std::span<const int64_t> symbols, int width,
                                                  int stage) const;
  Result<std::shared_ptr<const ShapePlan>> MakeShapePlan(std::span<const int64_t> symbols,
                                                         Executor& executor, int stage) const;

  Plan plan_;
  ir::Stages stages_;
  Backend& backend_;
  size_t shape_plan_limit_;
  std::vector<Binding> inputs_;
  std::vector<Binding> outputs_;
  std::vector<bool> inputs_read_;
  std::vector<std::string> missing_tactics_;
  std::vector<std::string> unprepared_tactics_;
  std::vector<std::string> unused_packed_;
  std::vector<std::string> damaged_packed_;
  size_t packed_bytes_of_plan_ = 0;
  std::vector<const void*> constants_;   // by value
  std::vector<void*> device_constants_;  // those of constants_ that the engine has allocated

  // Held while a shape plan is made, which may pack and generate code. Taken before mutex_.
  mutable std::mutex making_;
  mutable std::mutex mutex_;         // guards what follows; no step loop takes it
  mutable std::vector<Step> steps_;  // by node; only their packings grow
  // By stage, most recent first.
  mutable std::vector<std::vector<std::shared_ptr<const ShapePlan>>> shape_plans_;
};

}  // namespace graft
