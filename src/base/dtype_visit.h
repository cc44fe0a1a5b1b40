// From a dtype to its C++ type. Code that is written once for many element types is a generic
// lambda, called with a value of the type that a dtype names; which types it is compiled for is
// said by a set of types.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "base/dtype.h"
#include "base/half.h"
#include "base/status.h"

namespace graft {

template <class... Ts>
struct TypeSet {};

namespace internal {
template <class T, class... Ts>
inline constexpr bool kIsOneOf = (std::is_same_v<T, Ts> || ...);
template <class T, class... Out>
constexpr auto Unless(TypeSet<Out...>) {
  return std::conditional_t<kIsOneOf<T, Out...>, TypeSet<>, TypeSet<T>>{};
}
}  // namespace internal

// The union of disjoint sets, and what is left of a set without the types of another.
template <class... As, class... Bs>
constexpr TypeSet<As..., Bs...> operator+(TypeSet<As...>, TypeSet<Bs...>) {
  return {};
}
template <class... As, class... Bs>
constexpr auto operator-(TypeSet<As...>, TypeSet<Bs...> out) {
  return (TypeSet<>{} + ... + internal::Unless<As>(out));
}

inline constexpr TypeSet<Float16, BFloat16> kHalfTypes;
inline constexpr auto kFloatTypes = TypeSet<float, double>{} + kHalfTypes;
inline constexpr TypeSet<int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t>
    kIntegerTypes;
inline constexpr auto kNumberTypes = kFloatTypes + kIntegerTypes;
// Those of IsNumeric.
inline constexpr auto kEngineTypes = kNumberTypes + TypeSet<bool>{};
// Those that C++ has arithmetic for.
inline constexpr auto kNativeTypes = kEngineTypes - kHalfTypes;

// f(T()) for the T of `types` that `dtype` names. For other dtypes a value-initialised result, so
// that a table of kernels has no entry; where f gives nothing, the result says whether it ran.
template <class T, class... Ts, class F>
auto TryVisitDType(TypeSet<T, Ts...>, DType dtype, F&& f) {
  using R = std::invoke_result_t<F, T>;
  if constexpr (std::is_void_v<R>) {
    return (dtype == DTypeOf<T>() && (f(T()), true)) ||
           ((dtype == DTypeOf<Ts>() && (f(Ts()), true)) || ...);
  } else {
    R result{};
    static_cast<void>((dtype == DTypeOf<T>() && (result = f(T()), true)) ||
                      ((dtype == DTypeOf<Ts>() && (result = f(Ts()), true)) || ...));
    return result;
  }
}

// As above where the dtype has been looked at before: it must be of the set.
template <class... Ts, class F>
void VisitDType(TypeSet<Ts...> types, DType dtype, F&& f) {
  GRAFT_CHECK(TryVisitDType(types, dtype, std::forward<F>(f)), "{}", Name(dtype));
}

}  // namespace graft
