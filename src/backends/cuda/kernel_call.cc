#include "backends/cuda/kernel_call.h"

#include <algorithm>
#include <bit>

#include "base/aligned_buffer.h"
#include "base/strides.h"

namespace graft::cuda {

Parameter& Parameter::Int(int64_t value) {
  words_.push_back(value);
  return *this;
}

Parameter& Parameter::Ints(std::span<const int64_t> values, size_t count, int64_t fill) {
  GRAFT_CHECK(values.size() <= count, "{} values for {} words", values.size(), count);
  words_.insert(words_.end(), values.begin(), values.end());
  words_.resize(words_.size() + count - values.size(), fill);
  return *this;
}

Parameter& Parameter::Float(double value) { return Int(std::bit_cast<int64_t>(value)); }

Parameter& Parameter::Add(Source source, int index, int64_t offset) {
  pointers_.push_back({source, static_cast<int32_t>(words_.size()), index, offset});
  return Int(0);
}

Parameter& Parameter::Error() {
  Add(Source::kError, 0, 0);
  step_word_ = static_cast<int>(words_.size());
  return Int(0);
}

Parameter& Parameter::Map(TensorMap map) {
  maps_.emplace_back(static_cast<int32_t>(words_.size()), std::move(map));
  return Ints({}, TensorMap::kWords);
}

int64_t StepProgram::Reserve(size_t bytes) {
  const auto offset = static_cast<int64_t>(workspace_bytes);
  workspace_bytes += AlignUp(bytes);
  return offset;
}

int64_t BlocksFor(int64_t elements) {
  return std::clamp<int64_t>((elements + 255) / 256, 1, int64_t{1} << 14);
}

std::string IndexText(int64_t count) {
  // A grid's last round may pass the count by as many threads as it has.
  return fmt::format("typedef {} Index;\n", count < int64_t{1} << 31 ? "u32" : "u64");
}

void SpreadOver(int64_t threads, Launch* launch) {
  launch->block = threads < kFullCard ? 64 : 256;
  const int64_t blocks = (threads + launch->block - 1) / launch->block;
  launch->grid[0] = std::clamp<int64_t>(blocks, 1, int64_t{1} << 16);
}

std::string_view TypeOf(DType dtype) { return Name(StorageOf(dtype)); }

std::string_view TypeOfSize(size_t bytes) {
  switch (bytes) {
    case 1:
      return "u8";
    case 2:
      return "u16";
    case 4:
      return "u32";
    case 8:
      return "u64";
    default:
      GRAFT_CHECK(bytes == 16, "{} bytes an element", bytes);
      return "b16";
  }
}

std::string_view AccumulatorOf(DType dtype) {
  if (dtype == DType::kFloat64) return "f64";
  if (IsFloating(dtype)) return "f32";
  // Sums modulo 2^32 or 2^64 wrap to the dtype's.
  return SizeOf(dtype) == 8 ? "u64" : "u32";
}

std::vector<int64_t> StridesOf(const BoundValue& value) {
  return RowMajorStrides(value.dims, value.row_stride);
}

int64_t LengthOf(const BoundValue& value) { return value.dims.empty() ? 1 : value.dims.back(); }

}  // namespace graft::cuda
