// What convolutions and products share: operands widened to what their sums are formed in, and what
// becomes of the sums.
#pragma once

#include <type_traits>
#include <vector>

#include "kernels/reference/kernels.h"

namespace graft::reference {

// `accumulator` is kInvalid for the operands' own dtype.
inline DType SumsOf(DType accumulator, DType operand) {
  return accumulator == DType::kInvalid ? operand : accumulator;
}

// Calls f(A()) with what sums of the dtype are formed in: double, or arithmetic modulo 2^64.
template <class F>
Status WithAccumulator(DType dtype, F f) {
  return IsFloating(dtype) ? f(double()) : f(uint64_t());
}

// The elements of an operand, its rows side by side.
template <class A>
std::vector<A> Widened(const ConstArray& x) {
  std::vector<A> wide;
  wide.reserve(x.elements());
  VisitDType(kNumberTypes, x.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t r = 0; r < x.rows(); ++r) {
      const T* row = x.Row<T>(r);
      for (int64_t c = 0; c < x.row_length(); ++c) wide.push_back(static_cast<A>(row[c]));
    }
  });
  return wide;
}

// Rounds the sums to their dtype and runs the epilogue on them; y has its result's dtype.
template <class A>
Status FinishSums(const std::vector<A>& sums, DType dtype, const PointwiseProgram& epilogue,
                  Inputs operands, const Array& y) {
  std::vector<std::byte> bytes(epilogue.empty() ? 0 : sums.size() * SizeOf(dtype));
  Array rounded = y;
  if (!epilogue.empty()) rounded = {dtype, y.dims, y.row_length(), bytes.data()};
  VisitDType(kNumberTypes, dtype, [&](auto type) {
    using T = decltype(type);
    // Sums of floats never become integers here, nor the other way round.
    if constexpr (kIsFloat<T> == std::is_same_v<A, double>) {
      const A* from = sums.data();
      for (int64_t r = 0; r < y.rows(); ++r, from += y.row_length()) {
        T* to = rounded.Row<T>(r);
        for (int64_t c = 0; c < y.row_length(); ++c) to[c] = static_cast<T>(from[c]);
      }
    }
  });
  if (epilogue.empty()) return OkStatus();
  return ApplyEpilogue(epilogue, AsInput(rounded), operands, y);
}

}  // namespace graft::reference
