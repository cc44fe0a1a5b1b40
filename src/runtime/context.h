// One caller's execution state over a shared engine: its memory, where its work runs, and the last
// shape plan of each stage. Used by one thread at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/tensor.h"
#include "runtime/engine.h"
#include "runtime/tensor_view.h"

namespace graft {

// Where a context's memory comes from, in the backend's memory space; 64-byte aligned.
class ArenaAllocator {
 public:
  virtual ~ArenaAllocator() = default;
  virtual Result<void*> Allocate(size_t bytes) = 0;
  virtual void Free(void* memory) = 0;
};

struct ContextOptions {
  std::shared_ptr<Executor> executor;   // required for CPU backends' parallelism; null: inline
  ArenaAllocator* allocator = nullptr;  // outlives the context; null: the backend's device
  bool arena_per_run = false;           // memory is given back at the end of every run
};

// Gives the memory for an output whose dimensions are known now: `bytes` of host memory.
using OutputAllocator = FunctionRef<Result<void*>(int output, DType dtype,
                                                  std::span<const int64_t> dims, size_t bytes)>;

struct StepProfile {
  ir::NodeId node = -1;
  std::string name;  // of the node
  std::string op;
  std::string tactic;
  std::string problem;  // ProblemString of the bound node
  double flops = 0;     // of one run
  int64_t runs = 0;
  double total_ms = 0;
};

class Context {
 public:
  static Result<std::unique_ptr<Context>> Create(std::shared_ptr<const Engine> engine,
                                                 ContextOptions options = {});
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Engine& engine() const { return *engine_; }

  // Runs the engine: inputs in the engine's order, outputs to the memory that `allocate` gives,
  // called once for each output as soon as its dimensions are known: before the first step, or,
  // where they are results themselves, when those are there. The outputs hold their values when it
  // returns. After the first run of a shape it allocates nothing, takes no lock and looks nothing
  // up.
  Status Run(std::span<const TensorView> inputs, OutputAllocator allocate);
  // Into memory of the right size (see Bind).
  Status Run(std::span<const TensorView> inputs, std::span<void* const> outputs);
  // With outputs in tensors of their own.
  Result<std::vector<Tensor>> Run(std::span<const Tensor> inputs);

  // Steps of the last run.
  int steps() const;
  size_t arena_bytes() const { return arena_.bytes; }

  // Times every step of the runs that follow, for the shape of the inputs then. A profiled run
  // waits for the device after each step.
  void StartProfile();
  Result<std::vector<StepProfile>> Profile() const;

 private:
  struct Memory {
    std::byte* address = nullptr;
    size_t bytes = 0;
  };
  struct Stage {
    std::shared_ptr<const ShapePlan> plan;  // null while no shape is bound
    std::vector<void*> pointers;            // by ShapePlan::pointers
    std::vector<int32_t> outside_pointers;  // of those, the ones that change between runs
    bool placed = false;                    // the others are those of the arena as it is
  };

  Context(std::shared_ptr<const Engine> engine, ContextOptions options);
  bool SameShape(std::span<const TensorView> inputs) const;
  Status Bind(std::span<const TensorView> inputs);
  Status BindStage(int stage);
  Status Reserve(const ShapePlan& plan);
  Status Grow(Memory* memory, size_t bytes);
  void Free(Memory* memory);
  void FreeAll();
  void PlacePointers(Stage* stage);
  Status AllocateOutputs(const ShapePlan& plan, OutputAllocator allocate);
  Status RunStages(OutputAllocator allocate);
  Status Execute(const Stage& stage);
  Status ReadCounts(const ShapePlan& plan);
  void* Address(const Location& location) const;

  std::shared_ptr<const Engine> engine_;
  ContextOptions options_;
  std::unique_ptr<Executor> executor_;  // options_.executor in the device's mode
  std::unique_ptr<ArenaAllocator> device_allocator_;
  void* stream_ = nullptr;
  std::vector<int32_t> host_symbols_;  // the symbols that are host values

  std::vector<Stage> stages_;
  std::vector<int64_t> symbols_;
  std::vector<int64_t> counts_;  // by symbol, as the device gives them
  Memory arena_;                 // for every stage in turn
  std::vector<Memory> kept_;     // by value; empty for engines of one stage

  std::vector<const void*> input_pointers_;
  std::vector<void*> output_pointers_;

  bool profiling_ = false;
  std::vector<int64_t> step_ns_;  // by node
  int64_t profiled_runs_ = 0;
};

}  // namespace graft
