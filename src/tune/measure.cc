#include "tune/measure.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>

#include "backend_api/thread_mode.h"
#include "backend_api/tolerance.h"

namespace graft {
namespace {

// A value's bytes with its rows spread over row_stride: the size of the buffer it lives in.
size_t BufferBytes(const BoundValue& v) {
  const int64_t count = CountElements(v.dims);
  if (count <= 0 || v.dims.empty()) return SizeOf(v.dtype);
  return static_cast<size_t>(count / v.dims.back() * v.row_stride) * SizeOf(v.dtype);
}

// Device memory that frees itself.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : device_(other.device_), memory_(std::exchange(other.memory_, nullptr)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(memory_, other.memory_);
    return *this;
  }
  ~DeviceBuffer() {
    if (memory_) device_->Free(memory_);
  }
  static Result<DeviceBuffer> Of(Device& device, size_t bytes) {
    DeviceBuffer buffer;
    buffer.device_ = &device;
    GRAFT_ASSIGN_OR_RETURN(buffer.memory_, device.Allocate(bytes));
    return buffer;
  }
  void* get() const { return memory_; }

 private:
  Device* device_ = nullptr;
  void* memory_ = nullptr;
};

// Normally distributed floats; zeros for every other type, which are valid indices, sizes and
// conditions anywhere.
std::vector<std::byte> SeededData(const BoundValue& v, uint32_t seed) {
  std::vector<std::byte> bytes(BufferBytes(v));
  if (v.dtype != DType::kFloat32) return bytes;
  // A short random block, repeated at a period that no image row has: enough for timing and for
  // finding wrong results.
  constexpr size_t kPeriod = 8191;
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> block(kPeriod);
  for (float& x : block) x = normal(generator);
  const size_t count = bytes.size() / sizeof(float);
  auto* out = reinterpret_cast<float*>(bytes.data());
  for (size_t i = 0; i < count; i += kPeriod) {
    std::memcpy(out + i, block.data(), std::min(kPeriod, count - i) * sizeof(float));
  }
  return bytes;
}

class Bench {
 public:
  Bench(const ir::Module& module, const ir::Node& node, const BoundNode& bound, Backend& backend,
        Executor& executor, bool cold_constants)
      : module_(module),
        node_(node),
        bound_(bound),
        cold_constants_(cold_constants),
        device_(backend.device()),
        executor_(executor),
        mode_(device_) {}
  ~Bench() {
    if (stream_made_) device_.DestroyStream(stream_);
  }

  Status Prepare() {
    GRAFT_ASSIGN_OR_RETURN(stream_, device_.CreateStream());
    stream_made_ = true;
    uint32_t seed = 1;
    for (const BoundValue& v : bound_.inputs) {
      if (v.constant && device_.host_accessible()) {
        input_pointers_.push_back(v.constant->raw());
        continue;
      }
      GRAFT_ASSIGN_OR_RETURN(DeviceBuffer buffer, DeviceBuffer::Of(device_, BufferBytes(v)));
      if (v.constant) {
        GRAFT_RETURN_IF_ERROR(
            device_.CopyToDevice(buffer.get(), v.constant->raw(), v.constant->bytes(), stream_));
      } else {
        const std::vector<std::byte> data = SeededData(v, seed++);
        GRAFT_RETURN_IF_ERROR(
            device_.CopyToDevice(buffer.get(), data.data(), data.size(), stream_));
      }
      GRAFT_RETURN_IF_ERROR(device_.Synchronize(stream_));
      input_pointers_.push_back(buffer.get());
      inputs_.push_back(std::move(buffer));
    }
    for (const BoundValue& v : bound_.outputs) {
      GRAFT_ASSIGN_OR_RETURN(DeviceBuffer buffer, DeviceBuffer::Of(device_, BufferBytes(v)));
      output_pointers_.push_back(buffer.get());
      outputs_.push_back(std::move(buffer));
    }
    return OkStatus();
  }

  // A tactic bound and ready to be run again and again.
  struct Entry {
    std::unique_ptr<PackedWeights> packed;
    std::unique_ptr<BoundStep> step;
    DeviceBuffer workspace;
    std::vector<std::byte> result;                          // of output 0, after one run
    double best = std::numeric_limits<double>::infinity();  // microseconds
    bool hopeless = false;
    Status status;

    // Keeps what was measured.
    void Release() {
      step.reset();
      packed.reset();
      workspace = DeviceBuffer();
    }
  };

  Status Bind(const Tactic& tactic, Entry& entry) {
    if (!tactic.packing().empty()) {
      GRAFT_ASSIGN_OR_RETURN(entry.packed, tactic.Pack(module_, node_, executor_));
    }
    std::string prepared;
    if (tactic.Traits(module_, node_).prepares) {
      GRAFT_ASSIGN_OR_RETURN(prepared, tactic.Prepare(bound_, entry.packed.get()));
    }
    GRAFT_ASSIGN_OR_RETURN(entry.step, tactic.Bind(bound_, entry.packed.get(), prepared));
    const size_t workspace = entry.step->workspace_bytes(executor_.width());
    if (workspace > 0) {
      GRAFT_ASSIGN_OR_RETURN(entry.workspace, DeviceBuffer::Of(device_, workspace));
    }
    return OkStatus();
  }

  // Microseconds of one run.
  Result<double> Run(const Entry& entry) {
    if (cold_constants_) EvictConstants(entry);
    const StepPointers pointers{input_pointers_, output_pointers_, entry.workspace.get()};
    const Queue queue{&executor_, stream_};
    return device_.Time(
        stream_, [&] { return entry.step->Enqueue(pointers, queue); }, 1);
  }

  // The first run warms up caches and lazily made state; the second counts.
  Status WarmUp(Entry& entry) {
    for (int i = 0; i < 2; ++i) {
      GRAFT_ASSIGN_OR_RETURN(entry.best, Run(entry));
    }
    return OkStatus();
  }

  // Runs for `budget` microseconds, unless the entry failed or has no hope to be the best. A single
  // run may have been disturbed, so it takes two to lose hope.
  void RunRound(Entry& entry, double best, double budget) {
    constexpr double kHopeless = 2.5;
    if (!entry.status.ok() || entry.hopeless) return;
    if (entry.best > best * kHopeless) budget = 0;
    double spent = 0;
    do {
      const Result<double> time = Run(entry);
      if (!time.ok()) {
        entry.status = time.status();
        return;
      }
      entry.best = std::min(entry.best, *time);
      spent += *time;
    } while (spent < budget);
    entry.hopeless = entry.best > best * kHopeless;
  }

  Result<std::vector<std::byte>> ReadOutput() {
    std::vector<std::byte> bytes(BufferBytes(bound_.outputs[0]));
    GRAFT_RETURN_IF_ERROR(
        device_.CopyToHost(bytes.data(), outputs_[0].get(), bytes.size(), stream_));
    GRAFT_RETURN_IF_ERROR(device_.Synchronize(stream_));
    return bytes;
  }

 private:
  void EvictConstants(const Entry& entry) {
    for (size_t i = 0; i < bound_.inputs.size(); ++i) {
      if (!bound_.inputs[i].constant) continue;
      device_.Evict(
          {static_cast<const std::byte*>(input_pointers_[i]), bound_.inputs[i].constant->bytes()});
    }
    if (!entry.packed) return;
    for (const auto region : entry.packed->regions()) device_.Evict(region);
  }

  const ir::Module& module_;
  const ir::Node& node_;
  const BoundNode& bound_;
  const bool cold_constants_;
  Device& device_;
  Executor& executor_;
  const ScopedThreadMode mode_;
  void* stream_ = nullptr;
  bool stream_made_ = false;
  std::vector<DeviceBuffer> inputs_, outputs_;
  std::vector<const void*> input_pointers_;
  std::vector<void*> output_pointers_;
};

}  // namespace

Result<std::vector<Measurement>> MeasureTactics(const ir::Module& module, const ir::Node& node,
                                                const BoundNode& bound,
                                                const std::vector<const Tactic*>& tactics,
                                                Backend& backend, Executor& executor,
                                                const MeasureOptions& options) {
  Bench bench(module, node, bound, backend, executor, options.cold_constants);
  GRAFT_RETURN_IF_ERROR(bench.Prepare());
  // Rounds over all tactics, so that a disturbance hits all of them. Large weights are held in one
  // packing at a time instead.
  constexpr size_t kLargeConstants = size_t{64} << 20;
  size_t constant_bytes = 0;
  for (const BoundValue& v : bound.inputs) constant_bytes += v.constant ? v.constant->bytes() : 0;
  const bool one_by_one = constant_bytes > kLargeConstants;
  constexpr int kRounds = 3;
  const double budget = options.milliseconds * 1000 / kRounds;
  std::vector<Bench::Entry> entries(tactics.size());
  int baseline = -1;
  double best = std::numeric_limits<double>::infinity();
  for (size_t t = 0; t < tactics.size(); ++t) {
    Bench::Entry& entry = entries[t];
    entry.status = bench.Bind(*tactics[t], entry);
    if (entry.status.ok()) entry.status = bench.WarmUp(entry);
    if (entry.status.ok()) {
      GRAFT_ASSIGN_OR_RETURN(entry.result, bench.ReadOutput());
      best = std::min(best, entry.best);
      if (tactics[t]->Traits(module, node).any_shape) baseline = static_cast<int>(t);
    }
    if (one_by_one) {
      for (int round = 0; round < kRounds; ++round) bench.RunRound(entry, best, budget);
      entry.Release();
    }
  }
  for (int round = 0; round < kRounds && !one_by_one; ++round) {
    for (Bench::Entry& entry : entries) bench.RunRound(entry, best, budget);
  }
  std::vector<Measurement> measurements(tactics.size());
  for (size_t t = 0; t < tactics.size(); ++t) {
    Bench::Entry& entry = entries[t];
    measurements[t].microseconds = entry.best;
    if (!entry.status.ok()) {
      measurements[t].rejected = entry.status.message();
      measurements[t].refused = entry.status.code() == StatusCode::kUnsupported;
    } else if (baseline >= 0 && static_cast<int>(t) != baseline) {
      measurements[t].rejected = Difference(bound.outputs[0], ToleranceOf(bound),
                                            entries[baseline].result.data(), entry.result.data());
    }
  }
  return measurements;
}

}  // namespace graft
