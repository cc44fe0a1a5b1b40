// Packed weights that are one array of floats.
#pragma once

#include "backend_api/backend.h"
#include "base/aligned_buffer.h"

namespace graft::cpu {

class PackedFloats final : public PackedWeights {
 public:
  static Result<std::unique_ptr<PackedFloats>> Allocate(int64_t count) {
    AlignedBuffer buffer(static_cast<size_t>(count) * sizeof(float), Pages::kHuge);
    if (!buffer) return ResourceExhaustedError("no memory for {} packed weights", count);
    return std::unique_ptr<PackedFloats>(new PackedFloats(std::move(buffer)));
  }
  std::vector<std::span<const std::byte>> regions() const override {
    return {{buffer_.data(), buffer_.size()}};
  }
  float* data() { return reinterpret_cast<float*>(buffer_.data()); }
  const float* data() const { return reinterpret_cast<const float*>(buffer_.data()); }

 private:
  explicit PackedFloats(AlignedBuffer buffer) : buffer_(std::move(buffer)) {}
  AlignedBuffer buffer_;
};

}  // namespace graft::cpu
