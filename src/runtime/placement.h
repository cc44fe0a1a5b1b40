// Where every value lies during one stage of a run: which values share bytes, which steps have
// nothing left to do because of that, and the layout of the arena. What later stages read has
// memory of its own, so a stage needs to know nothing of how another one laid out its arena; values
// of earlier stages are found there again because it follows from their dimensions alone.
#pragma once

#include <span>
#include <vector>

#include "backend_api/backend.h"
#include "base/status.h"
#include "ir/stages.h"
#include "plan/memory_planner.h"
#include "runtime/shape_plan.h"
#include "runtime/step_order.h"

namespace graft {

class Placement {
 public:
  // Finds which values share bytes: views, and reshapes of dense values. `symbols` as in ShapePlan;
  // `values` are those that are known in the stage (BindValues). Module, stages and values outlive
  // it.
  static Result<Placement> Create(const ir::Module& module, const ir::Stages& stages, int stage,
                                  std::span<const int64_t> symbols,
                                  std::span<const BoundValue> values);

  // True when the node's results lie where they belong without it: a reshape of a dense value, a
  // concatenation whose operands were written into it, a slice that is a view.
  bool Skips(ir::NodeId node) const { return skips_[node]; }

  struct StepMemory {
    bool in_place = false;  // output 0 may share input 0's buffer
    size_t workspace_bytes = 0;
  };
  // Lays out the arena. Steps read inputs and write outputs where the context has them, outside of
  // the arena; an output that cannot be written so is copied.
  // `steps` has one entry for each node; those of the stage count. side_by_side: steps that need
  // not wait for one another get memory of their own, where that is little.
  void LayOut(std::span<const StepMemory> steps, bool side_by_side);

  // After LayOut.
  Location value(ir::ValueId id) const;
  Location workspace(ir::NodeId node) const { return workspaces_[node]; }
  size_t arena_bytes() const { return arena_bytes_; }
  // By step of the stage, the earlier ones that it waits for. Empty: each waits for the one before.
  const std::vector<std::vector<int>>& waits() const { return waits_; }
  const std::vector<ShapePlan::OutputCopy>& output_copies() const { return output_copies_; }
  const std::vector<ShapePlan::KeptValue>& kept() const { return kept_; }
  // Whether the dimensions of the engine's output are known when this stage begins and not earlier.
  bool Delivers(size_t output) const { return DeliveryStage(output) == stage_; }

 private:
  // Of one value. Values that share bytes form a tree; its root owns them.
  struct Storage {
    size_t bytes = 0;  // when dense
    ir::ValueId parent = -1;
    size_t offset = 0;  // from the parent's first byte
    // Of roots.
    Location location;
    int first = 0;
    int last = -1;
    bool kept = false;  // later stages read it
  };
  struct Place {
    ir::ValueId root;
    size_t offset;
  };
  // Of the arena: of a root, or (root -1) a step's workspace.
  struct Buffer {
    BufferRequest request;  // steps by node
    ir::ValueId root;
    Location* location;
  };

  Placement(const ir::Module& module, const ir::Stages& stages, int stage,
            std::span<const BoundValue> values)
      : module_(&module), stages_(&stages), stage_(stage), values_(values) {}
  bool IsKnown(ir::ValueId id) const { return stages_->Of(module_->value(id)) <= stage_; }
  int DeliveryStage(size_t output) const;
  Status Measure();
  Status PlaceView(ir::ValueId id, std::span<const int64_t> symbols);
  void FindSkips();
  // Makes the value, and what lies between it and its root, children of the root.
  void ShortenPath(ir::ValueId id);
  Place Find(ir::ValueId id) const;
  bool Dense(ir::ValueId id) const;
  bool WholeRoot(ir::ValueId id) const;
  void FindLifetimes();
  void FindKept();
  void PlaceBorder();
  void ShareInPlace(ir::NodeId node);
  bool Runs(ir::NodeId id) const { return stages_->node[id] == stage_ && !skips_[id]; }
  MemoryUse UseOf(ir::ValueId id, bool writes) const;
  void SetPlaces(std::span<const Buffer> buffers, const MemoryPlan& plan);
  void PlaceInOrder(std::span<const Buffer> buffers);
  void PlaceSideBySide(std::span<const Buffer> buffers);
  ShapePlan::OutputCopy MakeOutputCopy(int32_t index, ir::ValueId id) const;

  const ir::Module* module_;
  const ir::Stages* stages_;
  int stage_;
  std::span<const BoundValue> values_;
  std::vector<Storage> storage_;  // by value; those of later stages are not there yet
  std::vector<bool> skips_;       // by node
  std::vector<Location> workspaces_;
  size_t arena_bytes_ = 0;
  std::vector<std::vector<int>> waits_;
  std::vector<ShapePlan::KeptValue> kept_;
  std::vector<ShapePlan::OutputCopy> output_copies_;
};

}  // namespace graft
