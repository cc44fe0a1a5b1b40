// What a backend offers: for a node, an ordered list of tactics; for a tactic, what it needs and
// how to run it.
//
// A tactic's life:
//   Accepts   at build time, on the symbolic node: can it ever run this? A refusal carries the
//             reason.
//   Pack      at build or load time: the constant operands in the form the tactic wants, once for
//             all shapes. Tactics that name the same packing share the bytes.
//   Prepare   at build time, at each tuning point: what must be found out or generated for one
//             problem and takes long, as bytes that a plan and the timing cache keep.
//   Bind      when a shape is first seen: a BoundStep with everything decided (a few microseconds;
//             no timing, no packing; code generation only where prepare_cost_ms says so).
//   Enqueue   on every run: no allocation, no locks, no shape work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/memory_space.h"
#include "base/status.h"
#include "base/tensor.h"
#include "ir/module.h"

namespace graft {

// A value as a step sees it: all dimensions known. Rows (runs of the last axis) lie row_stride
// elements apart, so a value may be a window of a wider buffer; row_stride == dims.back() when it
// is dense.
struct BoundValue {
  DType dtype = DType::kInvalid;
  Dims dims;
  int64_t row_stride = 1;
  const Tensor* constant = nullptr;  // the bytes, where the value is a constant
  // An operand of a concatenation that was written into the result: nothing is left to be done.
  bool in_result = false;

  bool dense() const {
    return dims.empty() || row_stride == dims.back() || CountElements(dims) == 0;
  }
};

// A node with every Dim of its attributes and values evaluated.
struct BoundNode {
  ir::Attributes attributes;  // all Dims constant
  std::string name;
  std::vector<BoundValue> inputs;
  std::vector<BoundValue> outputs;
};

// Where a step's work goes: the CPU's executor, or a device's queue.
struct Queue {
  Executor* executor = nullptr;  // CPU backends
  void* stream = nullptr;        // device backends: their own in-order queue
};

// Addresses for one run. inputs/outputs follow the node's operands and results, in the backend's
// memory space; an entry for a constant that the tactic has packed may be null.
struct StepPointers {
  std::span<const void* const> inputs;
  std::span<void* const> outputs;
  void* workspace = nullptr;  // BoundStep::workspace_bytes, at a 64-byte boundary
};

// One step, ready to run. Immutable, shared by contexts and threads.
class BoundStep {
 public:
  virtual ~BoundStep() = default;
  // For an executor of this width.
  virtual size_t workspace_bytes(int width) const { return static_cast<void>(width), 0; }
  virtual Status Enqueue(const StepPointers& pointers, const Queue& queue) const = 0;
};

// Packed constants of one node, in the backend's memory space.
class PackedWeights {
 public:
  virtual ~PackedWeights() = default;
  virtual std::vector<std::span<const std::byte>> regions() const = 0;
  size_t bytes() const;
};

struct TacticTraits {
  // Inputs of the node, constants, that Pack reads and the bound step does not: their raw bytes
  // need not stay in memory.
  std::vector<int> packed_inputs;
  bool strided_inputs = false;  // takes inputs whose rows are not dense (input 0 only)
  bool strided_output = false;  // writes output 0 with any row_stride
  bool in_place = false;        // output 0 may share input 0's buffer exactly
  bool any_shape = true;        // Bind succeeds for every shape that the node can have
  bool capture_safe = true;     // Enqueue only queues work: it may be recorded (Device::records)
  bool exact = false;           // same bits as the reference
  // Of Prepare, or of Bind where that generates code. Such tactics are bound at tuning points only.
  double prepare_cost_ms = 0;
  bool prepares = false;  // Prepare gives bytes, and Bind wants them
};

inline constexpr size_t kMaxPreparedBytes = size_t{16} << 20;

class Tactic {
 public:
  virtual ~Tactic() = default;
  // "cpu.conv.winograd4": backend, family, algorithm. Enters timing cache keys and plans, with the
  // version.
  virtual std::string_view name() const = 0;
  virtual int version() const { return 1; }
  virtual std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const = 0;
  virtual TacticTraits Traits(const ir::Module& module, const ir::Node& node) const = 0;
  // Names the form of the packed constants; "" when the tactic packs nothing.
  virtual std::string_view packing() const { return ""; }
  // Packs the node's constants. Never called for tactics without a packing.
  virtual Result<std::unique_ptr<PackedWeights>> Pack(const ir::Module& module,
                                                      const ir::Node& node,
                                                      Executor& executor) const;
  // What Bind needs to know of this problem and takes long to find out (generated code, the choice
  // of an algorithm), at most kMaxPreparedBytes. They are kept under the backend's fingerprint and
  // the tactic's version, and may come back damaged or be another machine's: Bind checks them.
  // Called only where the traits say `prepares`. kUnsupported when this shape is not for it.
  virtual Result<std::string> Prepare(const BoundNode& node, const PackedWeights* packed) const;
  // kUnsupported when this shape is not for it (any_shape is false then). `packed` is null for
  // tactics without a packing. `prepared` is what Prepare gave for this problem; "" when that is
  // not at hand: a tactic with a prepare_cost_ms may refuse then. Bytes that it cannot use are a
  // status, upon which another tactic of the step is bound.
  virtual Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node,
                                                  const PackedWeights* packed,
                                                  std::string_view prepared) const = 0;
  // Estimated milliseconds on one worker, to rank tactics that were not timed.
  virtual double Cost(const BoundNode& node) const = 0;
};

// Bytes to copy: `rows` runs of `row_bytes`, whose beginnings lie a stride apart on either side.
struct CopyRegion {
  void* target = nullptr;
  MemorySpace target_space = MemorySpace::kHost;
  size_t target_stride = 0;  // in bytes, as source_stride; neither counts with a single row
  const void* source = nullptr;
  MemorySpace source_space = MemorySpace::kHost;
  size_t source_stride = 0;
  size_t row_bytes = 0;
  int64_t rows = 1;
};

// The queue work of a step sequence, kept to be queued again as one piece. Its parts are what was
// queued after each MarkPart, numbered from 0. A device may run parts side by side that do not wait
// for one another.
class Recording {
 public:
  // The stream has done what was launched of it before.
  virtual ~Recording() = default;
  // Queues all of it.
  virtual Status Launch(void* stream) = 0;
  // Puts what `enqueue` queues on the stream in place of one part, for the launches that follow; it
  // is not run. It must be the same work at other addresses. kUnsupported: this recording cannot be
  // changed so, and a new one is to be made.
  virtual Status Update(int part, void* stream, FunctionRef<Status()> enqueue) = 0;
};

// Memory and queues of a device. A device of the CPU does its work within the call (HostDevice);
// another one queues it on a stream. Whatever takes a stream is queued on it, in order; where the
// stream may be null, that means: done when the call returns.
//
// A failure of queued work belongs to its stream and shows in whichever status asks about that
// stream next; the process goes on.
class Device {
 public:
  virtual ~Device() = default;

  // Which one of its kind this is, from 0.
  virtual int ordinal() const { return 0; }
  // Whether the host reads and writes device memory directly. Then both spaces are one.
  virtual bool host_accessible() const = 0;

  // ---- Memory, 64-byte aligned
  virtual Result<void*> Allocate(size_t bytes) = 0;
  virtual void Free(void* memory) = 0;  // null: nothing happens
  // In order with a stream: for work queued after the call, and given back after the work queued
  // before it. As the caller sees it, both happen at once. A device that has no such memory waits.
  virtual Result<void*> AllocateAsync(size_t bytes, void* stream) {
    return static_cast<void>(stream), Allocate(bytes);
  }
  virtual Status FreeAsync(void* memory, void* stream) {
    Status done = Synchronize(stream);
    Free(memory);
    return done;
  }

  // ---- Streams
  // Null: the device works within each call.
  virtual Result<void*> CreateStream() = 0;
  virtual void DestroyStream(void* stream) = 0;  // when its work is done
  // Host memory on either side must stay as it is until the copy is done.
  virtual Status Copy(const CopyRegion& region, void* stream) = 0;
  virtual Status Synchronize(void* stream) = 0;

  // ---- Events: a place in a stream's work. For devices that have streams.
  virtual Result<void*> CreateEvent() { return nullptr; }
  virtual void DestroyEvent(void* event) { static_cast<void>(event); }
  // The event stands for all work that is on the stream now, and for no other any more.
  virtual Status Record(void* event, void* stream) {
    return static_cast<void>(event), static_cast<void>(stream), OkStatus();
  }
  // Work queued on the stream after this waits for the event; the caller does not.
  virtual Status Wait(void* stream, void* event) {
    return static_cast<void>(event), static_cast<void>(stream), OkStatus();
  }
  // Whether that work is done; an error when it has failed.
  virtual Result<bool> Done(void* event) { return static_cast<void>(event), true; }
  virtual Status SynchronizeEvent(void* event) { return static_cast<void>(event), OkStatus(); }

  // ---- Recording: between Begin and End, work queued on the stream is kept and not run. Nothing
  // may be allocated, freed, waited for or copied from and to the host meanwhile.
  virtual bool records() const { return false; }
  virtual Status BeginRecording(void* stream);
  // Begins the next part: what one step queues. after: the earlier parts that it waits for, and
  // with them for those that these wait for.
  virtual Status MarkPart(void* stream, std::span<const int> after);
  // Also after a step has failed: the stream works again afterwards.
  virtual Result<std::unique_ptr<Recording>> EndRecording(void* stream);

  // ---- For timing
  // Constants beyond this size are read from memory at every run, not from a cache near the
  // processor. 0: not known.
  virtual size_t cache_bytes() const { return 0; }
  // Puts memory out of the caches, so that a timing meets it as a run of a large model does.
  virtual void Evict(std::span<const std::byte> memory) { static_cast<void>(memory); }
  // Microseconds that one of `repetitions` runs of what `enqueue` puts on the stream takes, all
  // waited for. By the host's clock; a device that has events measures between two of them.
  virtual Result<double> Time(void* stream, FunctionRef<Status()> enqueue, int repetitions);
  // Puts the calling thread into the mode in which steps compute on it, and gives what
  // RestoreThreadMode wants to undo it. The host counts denormals as zero: they cost a hundred
  // times a normal operation and carry nothing in inference.
  virtual uint32_t SetThreadMode() const { return 0; }
  virtual void RestoreThreadMode(uint32_t previous) const { static_cast<void>(previous); }
};

// One run of bytes.
Status CopyBytes(Device& device, void* target, MemorySpace target_space, const void* source,
                 MemorySpace source_space, size_t bytes, void* stream);

struct Candidate {
  const Tactic* tactic;
  std::optional<Refusal> refusal;  // why it cannot take this node; none: it can
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  virtual Device& device() = 0;
  // Every tactic for the node's op, best guess first. The last one that accepts the node takes any
  // shape.
  virtual std::vector<const Tactic*> Tactics(const ir::Module& module,
                                             const ir::Node& node) const = 0;
  virtual const Tactic* FindTactic(std::string_view name) const = 0;
  // What decides this backend's timings: instruction set, caches, processor model, library
  // versions. Part of cache keys; no host name.
  virtual std::string Fingerprint() const = 0;
  // Whether its steps run on an Executor (Queue::executor): its width is then part of cache keys.
  virtual bool uses_executor() const { return true; }

  // The tactics, each with its refusal.
  std::vector<Candidate> Candidates(const ir::Module& module, const ir::Node& node) const;
  // Why no tactic takes the node as it is, or nullopt. The first one that accepts it is enough.
  std::optional<Refusal> SupportsAsIs(const ir::Module& module, const ir::Node& node) const;
  // Why the node has no form that tactics take, neither its own nor the widened one (widened.h), or
  // nullopt.
  std::optional<Refusal> Supports(const ir::Module& module, const ir::Node& node) const;
};

// The node's canonical problem string: op, attributes, dtypes, dimensions, which inputs are
// constant. One spelling for timing cache, logs, tests and benchmarks.
std::string ProblemString(const BoundNode& node);

// How values lie under a binding of the module's symbols, by id: those that are wanted, the others
// are empty. Row strides follow the views. Nothing else computes them.
Result<std::vector<BoundValue>> BindValues(const ir::Module& module,
                                           std::span<const int64_t> symbols,
                                           FunctionRef<bool(ir::ValueId)> wanted);

// Evaluates the node's attributes under that binding; `values` as BindValues gives them.
Result<BoundNode> BindNode(const ir::Module& module, const ir::Node& node,
                           std::span<const int64_t> symbols, std::span<const BoundValue> values);
// For a single node.
Result<BoundNode> BindNode(const ir::Module& module, const ir::Node& node,
                           std::span<const int64_t> symbols);

// One row is dense whatever the distance to the next: what an engine binds to a shape.
void ForgetStrideOfSingleRow(BoundValue* value);
void ForgetStrideOfSingleRow(BoundNode* node);

// Whether a tactic with these traits takes the node's operands and results as they lie: rows may be
// apart in the first of each only, where the tactic says so.
bool TakesStrides(const TacticTraits& traits, const BoundNode& node);

// Whether the operands of a bound node fit the op and give its results: what the shape rule could
// not decide on symbols. Kernels trust what has passed.
Status VerifyBound(const BoundNode& node);

}  // namespace graft
