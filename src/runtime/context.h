// One caller's execution state over a shared engine: its memory, where its work runs, and the last
// shape plans of each stage. Used by one thread at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/tensor.h"
#include "runtime/engine.h"
#include "runtime/observer.h"
#include "runtime/tensor_view.h"

namespace graft {

// Where a context's memory comes from: the backend's memory space, 64-byte aligned, in order with
// the stream (Device::AllocateAsync). A stream is null on devices without.
class ArenaAllocator {
 public:
  virtual ~ArenaAllocator() = default;
  virtual Result<void*> Allocate(size_t bytes, void* stream) = 0;
  virtual void Free(void* memory, void* stream) = 0;
};

struct ContextOptions {
  std::shared_ptr<Executor> executor;   // required for CPU backends' parallelism; null: inline
  ArenaAllocator* allocator = nullptr;  // outlives the context; null: the backend's device
  bool arena_per_run = false;           // memory is given back at the end of every run
  // Stages are recorded and replayed where device and tactics can (not with arena_per_run).
  bool record = true;
};

// An output whose dimensions are known now.
struct OutputRequest {
  int output;
  DType dtype;
  std::span<const int64_t> dims;
  size_t bytes;
  MemorySpace space;  // where the engine writes it without a copy
};
// The caller's memory for it, in whichever space.
struct OutputMemory {
  void* data = nullptr;
  MemorySpace space = MemorySpace::kHost;
};
using OutputAllocator = FunctionRef<Result<OutputMemory>(const OutputRequest&)>;

struct StepProfile {
  ir::NodeId node = -1;
  std::string name;  // of the node
  std::string op;
  std::string tactic;
  std::string problem;  // ProblemString of the bound node
  std::string types;    // of its operands: "f32", "f32 × f16" where weights have another
  std::string result;   // type and dimensions
  double flops = 0;     // of one run, as bytes (backend_api/flops.h)
  double bytes = 0;
  int64_t runs = 0;
  double total_ms = 0;
};

class Context {
 public:
  static Result<std::unique_ptr<Context>> Create(std::shared_ptr<const Engine> engine,
                                                 ContextOptions options = {});
  // Waits for what is under way.
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Engine& engine() const { return *engine_; }

  // Runs the engine: inputs in the engine's order (one without a dtype takes its default), outputs
  // to the memory that `allocate` gives, called once for each output as soon as its dimensions are
  // known: before the first step, or, where they are results themselves, when those are there.
  // Inputs and outputs are copied where they are in another memory space than the engine's steps
  // work in. The outputs hold their values when it returns. After the first run of a shape it
  // allocates nothing, takes no lock and looks nothing up.
  Status Run(std::span<const TensorView> inputs, OutputAllocator allocate);
  // Into host memory of the right size.
  Status Run(std::span<const TensorView> inputs, std::span<void* const> outputs);
  // With outputs in tensors of their own.
  Result<std::vector<Tensor>> Run(std::span<const Tensor> inputs);

  // As Run, but returns when the work is queued on the caller's stream (null: the context's own):
  // inputs are read and outputs written in that stream's order, and the memory of both is the
  // run's until the stream has done it. An engine with several stages waits inside for what its
  // shapes depend on. Successive runs may use different streams; each begins when the one before
  // is done. The stream outlives the work queued on it. What a run needs of the engine and of this
  // context is kept until it is done.
  //
  // When it fails nothing is under way any more. A failure of queued work is the status of a later
  // call.
  Status Enqueue(std::span<const TensorView> inputs, OutputAllocator allocate, void* stream);

  // Steps of the last run.
  int steps() const;
  size_t arena_bytes() const { return arena_.bytes; }

  // Times every step of the runs that follow, for the shape of the inputs then. A profiled run
  // waits for the device after each step, and replays nothing.
  void StartProfile();
  Result<std::vector<StepProfile>> Profile() const;

  // Whoever is to be told of the runs that follow, and outlives them; null: nobody. A run that is
  // observed waits for the device after each step, and replays nothing.
  void Observe(RunObserver* observer);
  // The shape plans that the last run was bound to, by stage.
  std::vector<std::shared_ptr<const ShapePlan>> shape_plans() const;

 private:
  struct Memory {
    std::byte* address = nullptr;
    size_t bytes = 0;
  };
  // A pointer that changes between runs: of an input, an output or a kept value.
  struct OutsidePointer {
    int32_t pointer;
    int32_t step;
  };
  // A shape plan with the addresses that it has in this context.
  struct Prepared {
    std::shared_ptr<const ShapePlan> plan;
    std::vector<void*> pointers;          // by ShapePlan::pointers
    std::vector<OutsidePointer> outside;  // the others are those of the arena as it is
    bool placed = false;                  // in the arena that the context has now
    bool ran = false;                     // since it was placed
    std::shared_ptr<Recording> recording;
    std::vector<void*> recorded;  // the pointers that it has
  };
  struct Stage {
    // Most recent first.
    std::vector<std::shared_ptr<Prepared>> prepared;
    Prepared* current = nullptr;  // null while no shape is bound
  };
  // A run that was queued and not waited for.
  struct Flight {
    void* event = nullptr;
    std::vector<std::shared_ptr<const void>> holds;  // dropped since, and still used by it
  };

  Context(std::shared_ptr<const Engine> engine, ContextOptions options);
  std::span<const TensorView> WithDefaults(std::span<const TensorView> inputs);
  bool SameShape(std::span<const TensorView> inputs) const;
  Status Bind(std::span<const TensorView> inputs);
  Status BindStage(int stage);

  // What is queued from now on comes after the runs before; forgets those that are done.
  Status Follow(void* stream);
  Status Land(void* stream);
  Status TakeOff(void* stream);
  void Retire(std::shared_ptr<const void> object);

  Status Start(std::span<const TensorView> inputs, OutputAllocator allocate, void* stream);
  Status RunStages(std::span<const TensorView> inputs, OutputAllocator allocate);
  bool Staged(MemorySpace space) const;
  Status Reserve(const ShapePlan& plan);
  Status Grow(Memory* memory, size_t bytes);
  void Free(Memory* memory);
  void FreeAll();
  void Displace();
  Status PlaceInputs(std::span<const TensorView> inputs);
  Status AllocateOutputs(const ShapePlan& plan, OutputAllocator allocate);
  void PlacePointers(Prepared* prepared);
  Status Execute(Prepared* prepared);
  Status ExecuteWatched(const Prepared& prepared);
  Status EnqueueStep(const Prepared& prepared, size_t step, Executor& executor, void* stream);
  Status Record(Prepared* prepared);
  Status UpdateRecording(Prepared* prepared);
  Status CopyOutputs(const ShapePlan& plan);
  Status ReadCounts(const ShapePlan& plan);
  void* Address(const Location& location) const;

  std::shared_ptr<const Engine> engine_;
  Device& device_;
  ContextOptions options_;
  std::unique_ptr<Executor> executor_;  // options_.executor in the device's mode
  RunObserver* observer_ = nullptr;
  std::unique_ptr<ObservedExecutor> observed_executor_;  // executor_ for it
  std::unique_ptr<ArenaAllocator> device_allocator_;
  void* own_stream_ = nullptr;
  void* stream_ = nullptr;             // of the run that is being queued, or of the last one
  std::vector<int32_t> host_symbols_;  // the symbols that are host values

  std::vector<Stage> stages_;
  std::vector<int64_t> symbols_;
  std::vector<int64_t> counts_;        // by symbol, as the device gives them
  Memory arena_;                       // for every stage in turn
  std::vector<Memory> kept_;           // by value; empty for engines of one stage
  std::vector<Memory> input_copies_;   // on the device, of inputs that the caller has elsewhere
  std::vector<Memory> output_copies_;  // likewise

  std::vector<TensorView> inputs_;           // of a run that takes defaults
  std::vector<const void*> input_pointers_;  // where steps read and write
  std::vector<void*> output_pointers_;
  std::vector<OutputMemory> outputs_;  // the caller's

  std::vector<Flight> in_flight_;  // oldest first
  std::vector<Flight> idle_;       // to be used again

  bool profiling_ = false;
  std::vector<int64_t> step_ns_;  // by node
  int64_t profiled_runs_ = 0;
};

}  // namespace graft
