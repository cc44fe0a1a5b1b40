#include "tune/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "backend_api/device_buffer.h"
#include "backend_api/thread_mode.h"
#include "backend_api/tolerance.h"
#include "base/dtype_visit.h"

namespace graft {
namespace {

// A value's bytes with its rows spread over row_stride: the size of the buffer it lives in.
size_t BufferBytes(const BoundValue& v) {
  const int64_t count = CountElements(v.dims);
  if (count <= 0 || v.dims.empty()) return SizeOf(v.dtype);
  return static_cast<size_t>(count / v.dims.back() * v.row_stride) * SizeOf(v.dtype);
}

// Of a device's large result so much is compared, at its beginning and at its end: reading and
// comparing all of it would take longer than all runs.
constexpr size_t kComparedBytes = size_t{256} << 10;

// The result's rows that are compared, as a value: those at the beginning, then those at the end.
struct Compared {
  BoundValue value;
  size_t half_bytes = 0;  // 0: the result as a whole
};
Compared ComparedOf(const BoundValue& result, const Device& device) {
  if (device.host_accessible() || BufferBytes(result) <= 2 * kComparedBytes || result.dims.empty())
    return {result};
  const size_t row_bytes = static_cast<size_t>(result.row_stride) * SizeOf(result.dtype);
  const int64_t rows = CountElements(result.dims) / result.dims.back();
  const auto compared = static_cast<int64_t>(kComparedBytes / row_bytes);
  if (compared == 0 || 2 * compared > rows) return {result};
  Compared part = {result, static_cast<size_t>(compared) * row_bytes};
  part.value.dims = {2 * compared, result.dims.back()};
  return part;
}

// Below what the integers of an operand must be for the node to run; 0: any will do. Operands that
// say how many or how large get zeros.
int64_t IndexLimit(const BoundNode& node, size_t operand) {
  const Dims& x = node.inputs[0].dims;
  const auto least = [](std::span<const int64_t> dims) {
    return dims.empty() ? int64_t{1} : *std::min_element(dims.begin(), dims.end());
  };
  if (const auto* gather = std::get_if<ir::GatherAttributes>(&node.attributes))
    return operand == 1 ? x[gather->axis] : 0;
  if (const auto* gather = std::get_if<ir::GatherNdAttributes>(&node.attributes)) {
    return operand == 1
               ? least(std::span(x).subspan(gather->batch_dims, node.inputs[1].dims.back()))
               : 0;
  }
  if (std::holds_alternative<ir::ScatterNdAttributes>(node.attributes))
    return operand == 1 ? least(std::span(x).first(node.inputs[1].dims.back())) : 0;
  if (std::holds_alternative<ir::CropAndResizeAttributes>(node.attributes))
    return operand == 2 ? x[0] : 0;
  if (std::holds_alternative<ir::NonMaxSuppressionAttributes>(node.attributes) ||
      std::holds_alternative<ir::CombinedNonMaxSuppressionAttributes>(node.attributes) ||
      std::holds_alternative<ir::ReadIntegerAttributes>(node.attributes)) {
    return 1;
  }
  return 0;
}

// `value` is what the operand is in the module: integers that are never negative there are not
// here.
std::vector<std::byte> SeededData(const BoundNode& node, size_t operand, const ir::Value& value) {
  std::vector<std::byte> bytes(BufferBytes(node.inputs[operand]));
  int64_t limit = IndexLimit(node, operand);
  if (limit == 0 && value.low >= 0) limit = static_cast<int64_t>(std::min(value.high, 100.0F)) + 1;
  SeedValues(node.inputs[operand].dtype, bytes, limit, static_cast<uint32_t>(operand) + 1);
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
    for (size_t i = 0; i < bound_.inputs.size(); ++i) {
      const BoundValue& v = bound_.inputs[i];
      if (v.constant && device_.host_accessible()) {
        input_pointers_.push_back(v.constant->raw());
        continue;
      }
      GRAFT_ASSIGN_OR_RETURN(DeviceBuffer buffer, DeviceBuffer::Of(device_, BufferBytes(v)));
      if (v.constant) {
        GRAFT_RETURN_IF_ERROR(CopyBytes(device_, buffer.get(), MemorySpace::kDevice,
                                        v.constant->raw(), MemorySpace::kHost, v.constant->bytes(),
                                        stream_));
      } else {
        const std::vector<std::byte> data = SeededData(bound_, i, module_.value(node_.inputs[i]));
        GRAFT_RETURN_IF_ERROR(CopyBytes(device_, buffer.get(), MemorySpace::kDevice, data.data(),
                                        MemorySpace::kHost, data.size(), stream_));
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
    std::string prepared;
    std::vector<std::vector<std::byte>> results;            // of every output, after one run
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
    GRAFT_ASSIGN_OR_RETURN(entry.prepared, PrepareTactic(tactic, tactic.Traits(module_, node_),
                                                         bound_, entry.packed.get()));
    GRAFT_ASSIGN_OR_RETURN(entry.step, tactic.Bind(bound_, entry.packed.get(), entry.prepared));
    const size_t workspace = entry.step->workspace_bytes(executor_.width());
    if (workspace > 0) {
      GRAFT_ASSIGN_OR_RETURN(entry.workspace, DeviceBuffer::Of(device_, workspace));
    }
    return OkStatus();
  }

  // Microseconds of one run. Short ones are repeated, so that the clock's own time does not count.
  Result<double> Run(const Entry& entry) {
    // A device's queue has to be filled once for all of them.
    const double least_timed = device_.host_accessible() ? 20 : 300;
    constexpr double kMostRepetitions = 32;
    int repetitions = 1;
    if (cold_constants_) {
      EvictConstants(entry);
    } else if (std::isfinite(entry.best)) {
      repetitions = static_cast<int>(
          std::clamp(least_timed / std::max(entry.best, 0.1), 1.0, kMostRepetitions));
    }
    const StepPointers pointers{input_pointers_, output_pointers_, entry.workspace.get()};
    const Queue queue{&executor_, stream_};
    return device_.Time(
        stream_, [&] { return entry.step->Enqueue(pointers, queue); }, repetitions);
  }

  // The first run warms up caches and lazily made state, and gives the results; the second counts.
  Status WarmUp(Entry& entry) {
    GRAFT_RETURN_IF_ERROR(SpoilOutputs());
    GRAFT_RETURN_IF_ERROR(Run(entry).status());
    GRAFT_ASSIGN_OR_RETURN(entry.results, ReadOutputs());
    GRAFT_ASSIGN_OR_RETURN(entry.best, Run(entry));
    return OkStatus();
  }

  // Runs for `budget` microseconds, unless the entry failed or has no hope to be the best. A single
  // run may have been disturbed, so it takes two to lose hope.
  void RunRound(Entry& entry, double best, double budget) {
    constexpr double kHopeless = 2.5;
    if (!entry.status.ok() || entry.hopeless) return;
    if (entry.best > best * kHopeless) budget = 0;
    // A device's runs are short beside what the host has to do for them: that counts as well.
    const auto start = std::chrono::steady_clock::now();
    double spent = 0;
    do {
      const Result<double> time = Run(entry);
      if (!time.ok()) {
        entry.status = time.status();
        return;
      }
      entry.best = std::min(entry.best, *time);
      if (device_.host_accessible()) {
        spent += std::max(*time, 0.1);
      } else {
        spent = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
                    .count();
      }
    } while (spent < budget);
    entry.hopeless = entry.best > best * kHopeless;
  }

  // Every tactic finds the same in its outputs, and none the results of another. What it need not
  // write, past the results that the data has, is then the same as well.
  Status SpoilOutputs() {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      std::vector<std::byte> pattern(BufferBytes(ComparedOf(bound_.outputs[i], device_).value),
                                     std::byte{0x55});
      GRAFT_RETURN_IF_ERROR(VisitCompared(i, pattern, [&](void* device, std::span<std::byte> host) {
        return CopyBytes(device_, device, MemorySpace::kDevice, host.data(), MemorySpace::kHost,
                         host.size(), stream_);
      }));
    }
    return OkStatus();
  }

  Result<std::vector<std::vector<std::byte>>> ReadOutputs() {
    std::vector<std::vector<std::byte>> results;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      std::vector<std::byte>& bytes =
          results.emplace_back(BufferBytes(ComparedOf(bound_.outputs[i], device_).value));
      GRAFT_RETURN_IF_ERROR(VisitCompared(i, bytes, [&](void* device, std::span<std::byte> host) {
        return CopyBytes(device_, host.data(), MemorySpace::kHost, device, MemorySpace::kDevice,
                         host.size(), stream_);
      }));
    }
    return results;
  }

 private:
  // Calls `visit` with the places in the output's memory that are compared, and in `host`.
  Status VisitCompared(size_t output, std::span<std::byte> host,
                       FunctionRef<Status(void*, std::span<std::byte>)> visit) {
    const size_t half = ComparedOf(bound_.outputs[output], device_).half_bytes;
    auto* const memory = static_cast<std::byte*>(outputs_[output].get());
    if (half == 0) {
      GRAFT_RETURN_IF_ERROR(visit(memory, host));
    } else {
      GRAFT_RETURN_IF_ERROR(visit(memory, host.first(half)));
      const size_t end = BufferBytes(bound_.outputs[output]);
      GRAFT_RETURN_IF_ERROR(visit(memory + end - half, host.subspan(half, half)));
    }
    return device_.Synchronize(stream_);
  }

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

// Why results may not stand for the expected ones; "" when they may. Results but the first are
// indices and counts, or come exact.
std::string DifferenceOf(const BoundNode& node, const Device& device,
                         const std::vector<std::vector<std::byte>>& expected,
                         const std::vector<std::vector<std::byte>>& got) {
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    std::string difference =
        Difference(ComparedOf(node.outputs[i], device).value,
                   i == 0 ? ToleranceOf(node) : Tolerance(), expected[i].data(), got[i].data());
    if (!difference.empty()) return difference;
  }
  return "";
}

}  // namespace

void SeedValues(DType dtype, std::span<std::byte> bytes, int64_t limit, uint32_t seed) {
  // A short block is repeated at a period that no image row has: enough for timing and for finding
  // wrong results.
  constexpr size_t kPeriod = 8191;
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  VisitDType(kEngineTypes, StorageOf(dtype), [&]<class T>(T) {
    const size_t count = bytes.size() / sizeof(T);
    const size_t period = std::min(kPeriod, count);
    auto* const out = reinterpret_cast<T*>(bytes.data());
    for (size_t i = 0; i < period; ++i) {
      if constexpr (kIsFloat<T>) {
        out[i] = static_cast<T>(normal(generator));
      } else if constexpr (std::is_same_v<T, bool>) {
        out[i] = generator() % 2;
      } else if (limit > 0) {
        out[i] = static_cast<T>(generator() % static_cast<uint64_t>(limit));
      } else {
        // 1 … 100, of either sign where there are signs.
        const int magnitude = 1 + static_cast<int>(generator() % 100);
        out[i] = static_cast<T>(std::is_signed_v<T> && generator() % 2 ? -magnitude : magnitude);
      }
    }
    for (size_t i = period; i < count; i += period)
      std::memcpy(out + i, out, std::min(period, count - i) * sizeof(T));
  });
}

Result<std::string> PrepareTactic(const Tactic& tactic, const TacticTraits& traits,
                                  const BoundNode& node, const PackedWeights* packed) {
  if (!traits.prepares) return std::string();
  GRAFT_ASSIGN_OR_RETURN(std::string prepared, tactic.Prepare(node, packed));
  if (prepared.size() > kMaxPreparedBytes) {
    return UnsupportedError("{}: {} prepared {} bytes, at most {} are kept", node.name,
                            tactic.name(), prepared.size(), kMaxPreparedBytes);
  }
  return prepared;
}

size_t MeasuredBytes(const BoundNode& node) {
  size_t bytes = 0;
  for (const BoundValue& v : node.inputs) bytes += v.constant ? 0 : BufferBytes(v);
  for (const BoundValue& v : node.outputs) bytes += BufferBytes(v);
  return bytes;
}

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
    measurements[t].prepared = std::move(entry.prepared);
    if (!entry.status.ok()) {
      measurements[t].rejected = entry.status.message();
      measurements[t].refused = entry.status.code() == StatusCode::kUnsupported;
      measurements[t].no_memory = entry.status.code() == StatusCode::kResourceExhausted;
    } else if (baseline >= 0 && static_cast<int>(t) != baseline) {
      measurements[t].rejected =
          DifferenceOf(bound, backend.device(), entries[baseline].results, entry.results);
    }
  }
  return measurements;
}

}  // namespace graft
