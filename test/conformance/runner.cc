#include "runner.h"

#include <algorithm>
#include <cstring>

namespace graft::conformance {
namespace {

constexpr std::byte kCanary{0xa5};
constexpr size_t kGuardBytes = 128;

// A value's bytes on the host as the tactic sees them: rows apart, then a guard.
struct Image {
  const BoundValue& value;
  std::vector<std::byte> bytes;

  explicit Image(const BoundValue& v)
      : value(v), bytes(rows() * row_stride_bytes() + kGuardBytes, kCanary) {}

  size_t row_bytes() const {
    return (value.dims.empty() ? 1 : value.dims.back()) * SizeOf(value.dtype);
  }
  size_t row_stride_bytes() const { return value.row_stride * SizeOf(value.dtype); }
  size_t rows() const {
    const int64_t elements = CountElements(value.dims);
    return elements == 0 ? 0 : elements / (value.dims.empty() ? 1 : value.dims.back());
  }
  void Spread(const Tensor& dense) {
    for (size_t r = 0; r < rows(); ++r)
      std::memcpy(&bytes[r * row_stride_bytes()], dense.raw() + r * row_bytes(), row_bytes());
  }
  Tensor Collect() const {
    Tensor dense = Tensor::Allocate(value.dtype, value.dims).value();
    for (size_t r = 0; r < rows(); ++r)
      std::memcpy(dense.mutable_raw() + r * row_bytes(), &bytes[r * row_stride_bytes()],
                  row_bytes());
    return dense;
  }
  // No byte outside the rows was written.
  bool Intact() const {
    for (size_t i = 0; i < bytes.size(); ++i) {
      const bool inside = i < rows() * row_stride_bytes() && i % row_stride_bytes() < row_bytes();
      if (!inside && bytes[i] != kCanary) return false;
    }
    return true;
  }
};

// Device memory that frees itself.
class Memory {
 public:
  static Result<Memory> Of(Device& device, size_t bytes) {
    GRAFT_ASSIGN_OR_RETURN(void* const address, device.Allocate(bytes));
    return Memory(device, address);
  }
  Memory(Memory&& other) noexcept
      : device_(other.device_), address_(std::exchange(other.address_, nullptr)) {}
  ~Memory() {
    if (address_) device_.Free(address_);
  }
  void* address() const { return address_; }

 private:
  Memory(Device& device, void* address) : device_(device), address_(address) {}
  Device& device_;
  void* address_;
};

class Stream {
 public:
  static Result<Stream> Of(Device& device) {
    GRAFT_ASSIGN_OR_RETURN(void* const stream, device.CreateStream());
    return Stream(device, stream);
  }
  Stream(Stream&& other) noexcept
      : device_(other.device_),
        stream_(other.stream_),
        owned_(std::exchange(other.owned_, false)) {}
  ~Stream() {
    if (owned_) device_.DestroyStream(stream_);
  }
  void* get() const { return stream_; }

 private:
  Stream(Device& device, void* stream) : device_(device), stream_(stream) {}
  Device& device_;
  void* stream_;
  bool owned_ = true;
};

void SpreadRows(BoundValue& v, int64_t gap) {
  if (!v.dims.empty()) v.row_stride = v.dims.back() + gap;
}

}  // namespace

Result<std::vector<Tensor>> RunTactic(const Tactic& tactic, Backend& backend,
                                      const ir::Module& module, const ir::Node& node,
                                      std::span<const int64_t> symbols,
                                      const std::vector<Tensor>& inputs, Layout layout,
                                      Executor& executor) {
  const TacticTraits traits = tactic.Traits(module, node);
  GRAFT_ASSIGN_OR_RETURN(BoundNode bound, BindNode(module, node, symbols));
  if (layout.strided && traits.strided_inputs && !bound.inputs.empty())
    SpreadRows(bound.inputs[0], 3);
  if (layout.strided && traits.strided_output) SpreadRows(bound.outputs[0], 5);

  Device& device = backend.device();
  GRAFT_ASSIGN_OR_RETURN(const Stream stream, Stream::Of(device));
  std::vector<Memory> memory;
  auto upload = [&](const Image& image) -> Result<void*> {
    const size_t shift = layout.shifted ? SizeOf(image.value.dtype) : 0;
    GRAFT_ASSIGN_OR_RETURN(Memory m, Memory::Of(device, image.bytes.size() + shift));
    memory.push_back(std::move(m));
    void* const address = static_cast<std::byte*>(memory.back().address()) + shift;
    GRAFT_RETURN_IF_ERROR(CopyBytes(device, address, MemorySpace::kDevice, image.bytes.data(),
                                    MemorySpace::kHost, image.bytes.size(), stream.get()));
    GRAFT_RETURN_IF_ERROR(device.Synchronize(stream.get()));
    return address;
  };
  std::vector<const void*> input_pointers;
  for (size_t i = 0; i < bound.inputs.size(); ++i) {
    // What the tactic packs, it may not read when it runs.
    const bool packed = std::count(traits.packed_inputs.begin(), traits.packed_inputs.end(),
                                   static_cast<int>(i)) > 0;
    void* address = nullptr;
    if (!packed) {
      Image image(bound.inputs[i]);
      image.Spread(inputs[i]);
      GRAFT_ASSIGN_OR_RETURN(address, upload(image));
    }
    input_pointers.push_back(address);
  }
  std::vector<Image> images;
  for (const BoundValue& v : bound.outputs) images.emplace_back(v);
  std::vector<void*> output_pointers;
  for (size_t i = 0; i < images.size(); ++i) {
    if (i == 0 && layout.in_place) {
      output_pointers.push_back(const_cast<void*>(input_pointers[0]));
    } else {
      GRAFT_ASSIGN_OR_RETURN(void* const address, upload(images[i]));
      output_pointers.push_back(address);
    }
  }

  std::unique_ptr<PackedWeights> packed;
  if (!tactic.packing().empty()) {
    GRAFT_ASSIGN_OR_RETURN(packed, tactic.Pack(module, node, executor));
  }
  std::string prepared;
  if (traits.prepares && !layout.shifted) {
    GRAFT_ASSIGN_OR_RETURN(prepared, tactic.Prepare(bound, packed.get()));
  }
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<BoundStep> step,
                         tactic.Bind(bound, packed.get(), prepared));
  GRAFT_ASSIGN_OR_RETURN(const Memory workspace,
                         Memory::Of(device, step->workspace_bytes(executor.width())));
  GRAFT_RETURN_IF_ERROR(step->Enqueue({input_pointers, output_pointers, workspace.address()},
                                      {.executor = &executor, .stream = stream.get()}));
  GRAFT_RETURN_IF_ERROR(device.Synchronize(stream.get()));

  std::vector<Tensor> results;
  for (size_t i = 0; i < images.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(CopyBytes(device, images[i].bytes.data(), MemorySpace::kHost,
                                    output_pointers[i], MemorySpace::kDevice,
                                    images[i].bytes.size(), stream.get()));
    GRAFT_RETURN_IF_ERROR(device.Synchronize(stream.get()));
    if (!images[i].Intact()) return InternalError("bytes outside the rows of result {} changed", i);
    results.push_back(images[i].Collect());
  }
  return results;
}

}  // namespace graft::conformance
