#include "fake_device/fake_device_backend.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>

#include "backends/reference/reference_backend.h"
#include "base/aligned_buffer.h"
#include "base/half.h"

namespace graft {
namespace {

using fake_device::FakeDevice;
using fake_device::Memory;
using fake_device::WorkQueue;

constexpr std::string_view kOwnPrefix = "fake_device.";
constexpr std::string_view kHalfPrefix = "fake_device.half.";
constexpr std::string_view kReferencePrefix = "reference.";
constexpr std::byte kScramble{0x5a};

FakeDevice& TheDevice() {
  static FakeDevice device;
  return device;
}

std::atomic<bool> prefer_half_steps{false};
std::atomic<int64_t> prepared_steps{0};

void RoundToHalf(std::span<float> values) {
  for (float& value : values) value = static_cast<float>(Float16(value));
}

// The node's constants in device memory, every byte changed: who reads them without unpacking gets
// nonsense.
class ScrambledWeights final : public PackedWeights {
 public:
  ~ScrambledWeights() override { TheDevice().Free(memory_); }
  static Result<std::unique_ptr<PackedWeights>> Pack(const ir::Module& module, const ir::Node& node,
                                                     bool half) {
    auto packed = std::make_unique<ScrambledWeights>();
    for (const ir::ValueId v : node.inputs) {
      const std::optional<Tensor>& constant = module.value(v).constant;
      packed->offsets_.push_back(packed->bytes_);
      packed->sizes_.push_back(constant ? constant->bytes() : 0);
      packed->bytes_ += AlignUp(packed->sizes_.back());
    }
    std::string scrambled(packed->bytes_, '\0');
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const std::optional<Tensor>& constant = module.value(node.inputs[i]).constant;
      if (packed->sizes_[i] == 0) continue;
      std::vector<std::byte> bytes(constant->raw(), constant->raw() + constant->bytes());
      if (half) RoundToHalf({reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)});
      for (size_t b = 0; b < bytes.size(); ++b)
        scrambled[packed->offsets_[i] + b] = static_cast<char>(bytes[b] ^ kScramble);
    }
    GRAFT_ASSIGN_OR_RETURN(packed->memory_, TheDevice().Allocate(packed->bytes_));
    GRAFT_RETURN_IF_ERROR(CopyBytes(TheDevice(), packed->memory_, MemorySpace::kDevice,
                                    scrambled.data(), MemorySpace::kHost, scrambled.size(),
                                    nullptr));
    return std::unique_ptr<PackedWeights>(std::move(packed));
  }

  std::vector<std::span<const std::byte>> regions() const override {
    return {{static_cast<const std::byte*>(memory_), bytes_}};
  }
  size_t size(size_t input) const { return sizes_[input]; }
  size_t offset(size_t input) const { return offsets_[input]; }
  // On the queue: all constants to `target`, at their offsets.
  Status Unpack(std::byte* target) const {
    GRAFT_ASSIGN_OR_RETURN(const std::byte* from, TheDevice().memory().Translate(memory_, bytes_));
    for (size_t b = 0; b < bytes_; ++b) target[b] = from[b] ^ kScramble;
    return OkStatus();
  }

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
  std::vector<size_t> offsets_;  // by operand
  std::vector<size_t> sizes_;
};

size_t SpanBytes(const BoundValue& v) {
  const int64_t elements = CountElements(v.dims);
  if (elements == 0) return 0;
  const int64_t columns = v.dims.empty() ? 1 : v.dims.back();
  const int64_t span = (elements / columns - 1) * v.row_stride + columns;
  return static_cast<size_t>(span) * SizeOf(v.dtype);
}

class FakeStep final : public BoundStep {
 public:
  FakeStep(std::unique_ptr<BoundStep> step, const BoundNode& node, const ScrambledWeights* packed,
           bool half)
      : step_(std::move(step)), packed_(packed), half_(half), outputs_(node.outputs) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      input_bytes_.push_back(SpanBytes(node.inputs[i]));
      if (half && packed->size(i) == 0) rounded_bytes_ += AlignUp(input_bytes_.back());
    }
    for (const BoundValue& v : node.outputs) output_bytes_.push_back(SpanBytes(v));
  }

  // At least one line, so that every step proves that it gets its workspace.
  size_t workspace_bytes(int) const override {
    return kBufferAlignment + packed_->bytes() + rounded_bytes_ + step_->workspace_bytes(1);
  }

  Status Enqueue(const StepPointers& pointers, const Queue& queue) const override {
    if (queue.stream == nullptr) return InvalidArgumentError("fake device: no queue");
    return static_cast<WorkQueue*>(queue.stream)
        ->Push([this, workspace = pointers.workspace,
                in = std::vector<const void*>(pointers.inputs.begin(), pointers.inputs.end()),
                out = std::vector<void*>(pointers.outputs.begin(), pointers.outputs.end())] {
          return Run(in, out, workspace);
        });
  }

 private:
  Status Run(std::vector<const void*> in, std::vector<void*> out, void* workspace) const {
    const Memory& memory = TheDevice().memory();
    GRAFT_ASSIGN_OR_RETURN(std::byte * scratch, memory.Translate(workspace, workspace_bytes(1)));
    GRAFT_RETURN_IF_ERROR(packed_->Unpack(scratch));
    std::byte* rounded = scratch + packed_->bytes();
    for (size_t i = 0; i < in.size(); ++i) {
      if (packed_->size(i) > 0) {
        in[i] = scratch + packed_->offset(i);
      } else if (input_bytes_[i] > 0) {
        GRAFT_ASSIGN_OR_RETURN(in[i], memory.Translate(in[i], input_bytes_[i]));
        if (!half_) continue;
        std::memcpy(rounded, in[i], input_bytes_[i]);
        in[i] = rounded;
        RoundToHalf({reinterpret_cast<float*>(rounded), input_bytes_[i] / sizeof(float)});
        rounded += AlignUp(input_bytes_[i]);
      }
    }
    for (size_t i = 0; i < out.size(); ++i) {
      if (output_bytes_[i] == 0) continue;
      GRAFT_ASSIGN_OR_RETURN(out[i], memory.Translate(out[i], output_bytes_[i]));
    }
    InlineExecutor executor;
    Status status =
        step_->Enqueue({in, out, scratch + packed_->bytes() + rounded_bytes_}, {&executor});
    if (half_ && status.ok()) RoundRows(outputs_[0], static_cast<float*>(out[0]));
    // The next step finds nothing of this one's there.
    std::memset(scratch, 0xcd, workspace_bytes(1));
    return status;
  }

  static void RoundRows(const BoundValue& v, float* data) {
    const auto columns = static_cast<size_t>(v.dims.empty() ? 1 : v.dims.back());
    const int64_t rows = columns == 0 ? 0 : CountElements(v.dims) / v.dims.back();
    for (int64_t row = 0; row < rows; ++row) RoundToHalf({data + row * v.row_stride, columns});
  }

  std::unique_ptr<BoundStep> step_;
  const ScrambledWeights* packed_;
  bool half_;
  std::vector<BoundValue> outputs_;
  size_t rounded_bytes_ = 0;
  std::vector<size_t> input_bytes_;
  std::vector<size_t> output_bytes_;
};

bool IsProductOfFloats(const ir::Module& module, const ir::Node& node) {
  const ir::OpKind kind = node.kind();
  if (kind != ir::OpKind::kConv && kind != ir::OpKind::kMatMul) return false;
  const auto is_float = [&](ir::ValueId id) { return module.value(id).dtype == DType::kFloat32; };
  return std::all_of(node.inputs.begin(), node.inputs.end(), is_float) && is_float(node.outputs[0]);
}

// What a product's tactic prepares: its problem, every byte changed. It must come back for this
// problem and no other.
std::string PreparedBytes(std::string_view tactic, const BoundNode& node) {
  std::string bytes = fmt::format("{} {}", tactic, ir::AttributesToString(node.attributes));
  for (const std::vector<BoundValue>* values : {&node.inputs, &node.outputs}) {
    for (const BoundValue& v : *values)
      bytes += fmt::format(" {} {}", Describe(v.dtype, v.dims), v.row_stride);
  }
  for (char& c : bytes) c ^= static_cast<char>(kScramble);
  return bytes;
}

class FakeTactic final : public Tactic {
 public:
  // `half`: operands and results are rounded to FP16.
  FakeTactic(const Tactic& reference, bool half)
      : reference_(reference),
        half_(half),
        name_(std::string(half ? kHalfPrefix : kOwnPrefix) +
              std::string(reference.name().substr(kReferencePrefix.size()))) {}

  std::string_view name() const override { return name_; }
  int version() const override { return reference_.version(); }
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    if (half_ && !IsProductOfFloats(module, node)) return Refuse("no product of f32");
    return reference_.Accepts(module, node);
  }
  TacticTraits Traits(const ir::Module& module, const ir::Node& node) const override {
    TacticTraits traits = reference_.Traits(module, node);
    traits.prepares = IsProductOfFloats(module, node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (module.value(node.inputs[i]).constant)
        traits.packed_inputs.push_back(static_cast<int>(i));
    }
    return traits;
  }
  std::string_view packing() const override {
    return half_ ? "fake_device.scrambled_half" : "fake_device.scrambled";
  }
  Result<std::unique_ptr<PackedWeights>> Pack(const ir::Module& module, const ir::Node& node,
                                              Executor&) const override {
    return ScrambledWeights::Pack(module, node, half_);
  }
  Result<std::string> Prepare(const BoundNode& node, const PackedWeights*) const override {
    return PreparedBytes(name_, node);
  }
  // Nothing is prepared for shapes that are no tuning points.
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights* packed,
                                          std::string_view prepared) const override {
    if (!prepared.empty()) {
      if (prepared != PreparedBytes(name_, node))
        return DataLossError("{}: bytes that {} did not prepare for it", node.name, name_);
      ++prepared_steps;
    }
    GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<BoundStep> step, reference_.Bind(node, nullptr, ""));
    return std::unique_ptr<BoundStep>(std::make_unique<FakeStep>(
        std::move(step), node, static_cast<const ScrambledWeights*>(packed), half_));
  }
  double Cost(const BoundNode& node) const override { return reference_.Cost(node); }

 private:
  const Tactic& reference_;
  bool half_;
  std::string name_;
};

class FakeBackend final : public Backend {
 public:
  std::string_view name() const override { return "fake_device"; }
  Device& device() override { return TheDevice(); }
  std::vector<const Tactic*> Tactics(const ir::Module& module,
                                     const ir::Node& node) const override {
    const bool halves = prefer_half_steps && IsProductOfFloats(module, node);
    const bool first = node.outputs[0] % 2 == 0;
    std::vector<const Tactic*> tactics;
    for (const Tactic* reference : ReferenceBackend().Tactics(module, node)) {
      if (halves && first) tactics.push_back(Wrap(*reference, true));
      tactics.push_back(Wrap(*reference, false));
      if (halves && !first) tactics.push_back(Wrap(*reference, true));
    }
    return tactics;
  }
  const Tactic* FindTactic(std::string_view name) const override {
    if (!name.starts_with(kOwnPrefix)) return nullptr;
    const bool half = name.starts_with(kHalfPrefix);
    const Tactic* reference = ReferenceBackend().FindTactic(
        std::string(kReferencePrefix) +
        std::string(name.substr(half ? kHalfPrefix.size() : kOwnPrefix.size())));
    return reference ? Wrap(*reference, half) : nullptr;
  }
  std::string Fingerprint() const override { return "fake_device"; }

 private:
  const Tactic* Wrap(const Tactic& reference, bool half) const {
    std::lock_guard lock(mutex_);
    std::unique_ptr<FakeTactic>& tactic = tactics_[{&reference, half}];
    if (!tactic) tactic = std::make_unique<FakeTactic>(reference, half);
    return tactic.get();
  }

  mutable std::mutex mutex_;
  mutable std::map<std::pair<const Tactic*, bool>, std::unique_ptr<FakeTactic>> tactics_;
};

}  // namespace

Backend& FakeDeviceBackend() {
  TheDevice();  // outlives the backend
  static FakeBackend backend;
  return backend;
}

Result<Backend*> FindFakeDeviceBackend(int device) {
  if (device == 0) return &FakeDeviceBackend();
  return InvalidArgumentError("fake_device has no device {}", device);
}

void PreferHalfSteps(bool prefer) { prefer_half_steps = prefer; }
int64_t PreparedSteps() { return prepared_steps; }

fake_device::FakeDevice& TheFakeDevice() { return TheDevice(); }

}  // namespace graft
