// Packed weights that are one array, and weights as the dtype that a kernel packs.
#pragma once

#include "backend_api/backend.h"
#include "base/aligned_buffer.h"
#include "base/half.h"
#include "kernels/cpu/element_types.h"

namespace graft::cpu {

class PackedBytes final : public PackedWeights {
 public:
  static Result<std::unique_ptr<PackedBytes>> Allocate(size_t bytes) {
    AlignedBuffer buffer(bytes, Pages::kHuge);
    if (!buffer) return ResourceExhaustedError("no memory for {} bytes of packed weights", bytes);
    return std::unique_ptr<PackedBytes>(new PackedBytes(std::move(buffer)));
  }
  std::vector<std::span<const std::byte>> regions() const override {
    return {{buffer_.data(), buffer_.size()}};
  }
  std::byte* data() { return buffer_.data(); }
  const std::byte* data() const { return buffer_.data(); }

 private:
  explicit PackedBytes(AlignedBuffer buffer) : buffer_(std::move(buffer)) {}
  AlignedBuffer buffer_;
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
