// Packed weights that are one array, and weights as the dtype that a kernel packs.
#pragma once

#include "backend_api/adopts_packed.h"
#include "backend_api/backend.h"
#include "base/aligned_buffer.h"
#include "base/half.h"
#include "kernels/cpu/element_types.h"
#include "kernels/cpu/targets.h"

namespace graft::cpu {

class PackedBytes final : public PackedWeights {
 public:
  static Result<std::unique_ptr<PackedBytes>> Allocate(size_t bytes) {
    AlignedBuffer buffer(bytes, Pages::kHuge);
    if (!buffer) return ResourceExhaustedError("no memory for {} bytes of packed weights", bytes);
    std::unique_ptr<PackedBytes> packed(new PackedBytes);
    packed->buffer_ = std::move(buffer);
    packed->data_ = packed->buffer_.data();
    packed->size_ = packed->buffer_.size();
    return packed;
  }
  // Bytes of a plan where they lie. kDataLoss unless there are `expected`.
  static Result<std::unique_ptr<PackedWeights>> Adopt(std::shared_ptr<const std::byte> bytes,
                                                      size_t size, size_t expected) {
    if (size != expected)
      return DataLossError("{} bytes of packed weights where {} are expected", size, expected);
    std::unique_ptr<PackedBytes> packed(new PackedBytes);
    packed->shared_ = std::move(bytes);
    packed->data_ = packed->shared_.get();
    packed->size_ = size;
    return std::unique_ptr<PackedWeights>(std::move(packed));
  }
  std::vector<std::span<const std::byte>> regions() const override { return {{data_, size_}}; }
  // Of what was allocated.
  std::byte* mutable_data() { return buffer_.data(); }
  const std::byte* data() const { return data_; }

 private:
  PackedBytes() = default;
  AlignedBuffer buffer_;
  std::shared_ptr<const std::byte> shared_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A tactic whose Pack gives PackedBytes of its second operand: plans keep them.
class PacksBytes : public AdoptsPacked {
 public:
  std::string PackedTarget() const final { return CurrentTarget(); }
  Result<std::unique_ptr<PackedWeights>> Adopt(const ir::Module& module, const ir::Node& node,
                                               std::shared_ptr<const std::byte> bytes,
                                               size_t size) const final {
    const Dims dims = ir::ConstantDims(module.value(node.inputs[1]).shape).value();
    return PackedBytes::Adopt(std::move(bytes), size, PackedSize(node, dims));
  }

 protected:
  // Bytes of weights of such dimensions.
  virtual size_t PackedSize(const ir::Node& node, const Dims& weights) const = 0;
};

// Whether a kernel of such types reads the value as it is.
inline bool TakesInput(const ElementTypes& types, const ir::Value& value) {
  return value.dtype == types.input && (!types.seven_bits || value.low >= 0);
}

// Whether a kernel that packs weights of `wanted` can be given these: f32 is made of constants that
// are stored in 16 bits.
inline bool CanPackAs(DType wanted, const ir::Value& weights) {
  return weights.dtype == wanted ||
         (wanted == DType::kFloat32 && IsHalf(weights.dtype) && weights.constant);
}
// Such a constant as `wanted`: itself, or a copy.
Result<Tensor> WeightsAs(DType wanted, const Tensor& weights);

}  // namespace graft::cpu
