// Arrays as the reference kernels see them, and the loops that they share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype_visit.h"
#include "base/status.h"
#include "base/tensor.h"

namespace graft::reference {

// Rows (runs of the last axis) lie row_stride elements apart; a scalar is one row.
template <class Byte>
struct BasicArray {
  DType dtype = DType::kInvalid;
  Dims dims;
  int64_t row_stride = 1;
  Byte* data = nullptr;

  int rank() const { return static_cast<int>(dims.size()); }
  int64_t row_length() const { return dims.empty() ? 1 : dims.back(); }
  int64_t rows() const {
    return dims.empty() ? 1 : CountElements(std::span(dims).first(dims.size() - 1));
  }
  int64_t elements() const { return CountElements(dims); }
  // In elements, of the element at `index`.
  int64_t Offset(std::span<const int64_t> index) const {
    if (index.empty()) return 0;
    int64_t row = 0;
    for (size_t i = 0; i + 1 < index.size(); ++i) row = row * dims[i] + index[i];
    return row * row_stride + index.back();
  }
  template <class T>
  auto* Row(int64_t row) const {
    using Element = std::conditional_t<std::is_const_v<Byte>, const T, T>;
    return reinterpret_cast<Element*>(data) + row * row_stride;
  }
};
using ConstArray = BasicArray<const std::byte>;
using Array = BasicArray<std::byte>;
using Inputs = std::span<const ConstArray>;
using Outputs = std::span<const Array>;

ConstArray AsInput(const Array& array);

// Calls each(index) for every index within dims, in row-major order.
template <class Each>
void ForEachIndex(std::span<const int64_t> dims, Each each) {
  Dims index(dims.size(), 0);
  for (int64_t n = CountElements(dims); n > 0; --n) {
    each(std::span<const int64_t>(index));
    for (size_t axis = dims.size(); axis-- > 0;) {
      if (++index[axis] < dims[axis]) break;
      index[axis] = 0;
    }
  }
}

// Calls f(T()) with a type of the dtype's size: for kernels that only move elements.
template <class F>
void WithSize(DType dtype, F f) {
  switch (SizeOf(dtype)) {
    case 1:
      return f(uint8_t());
    case 2:
      return f(uint16_t());
    case 4:
      return f(uint32_t());
    case 8:
      return f(uint64_t());
    default:
      GRAFT_CHECK(SizeOf(dtype) == 16, "{}", Name(dtype));
      f(std::array<uint64_t, 2>());
  }
}

// What sums of T accumulate in: wide enough that the oracle's own rounding does not count; for
// integers, arithmetic modulo 2^64, which wraps to T's.
template <class T>
using Accumulator = std::conditional_t<kIsFloat<T>, double, uint64_t>;

}  // namespace graft::reference
