// The 16-bit floating-point types as values of C++: they hold and convert, arithmetic on them is
// that of float. Conversions round to the nearest, halves to even; a double rounds to float first,
// as in TensorFlow.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "base/dtype.h"

namespace graft {

// IEEE half precision: 5 bits of exponent, 10 of mantissa. Integers and exact float sums only, so
// that its denormals survive where floats' are flushed to zero.
struct Float16Format {
  static uint16_t Narrow(float x) {
    const auto bits = std::bit_cast<uint32_t>(x);
    const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return sign | 0x7e00;
    if (magnitude >= 0x477ff000) return sign | 0x7c00;  // from 65520 on
    if (magnitude < 0x38800000) {
      // Below 2^-14 results are multiples of 2^-24, which is the distance of floats from 0.5 on.
      const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000);
    }
    const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return sign | static_cast<uint16_t>((rounded - 0x38000000) >> 13);
  }
  static float Widen(uint16_t half) {
    const uint32_t sign = (half & uint32_t{0x8000}) << 16;
    const uint32_t exponent = half >> 10 & 31;
    const uint32_t mantissa = half & 0x3ff;
    if (exponent == 0) {
      const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
      return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
    }
    const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
    return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
  }
  static constexpr int kMantissaBits = 10;
  static constexpr uint16_t kSmallestNormal = 0x0400, kLargest = 0x7bff, kInfinity = 0x7c00,
                            kNan = 0x7e00, kEpsilon = 0x1400;
};

// The upper half of a float.
struct BFloat16Format {
  static uint16_t Narrow(float x) {
    const auto bits = std::bit_cast<uint32_t>(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
  static float Widen(uint16_t half) { return std::bit_cast<float>(uint32_t{half} << 16); }
  static constexpr int kMantissaBits = 7;
  static constexpr uint16_t kSmallestNormal = 0x0080, kLargest = 0x7f7f, kInfinity = 0x7f80,
                            kNan = 0x7fc0, kEpsilon = 0x3c00;
};

template <class Format>
class HalfFloat {
 public:
  HalfFloat() = default;
  template <class T>
    requires(std::is_convertible_v<T, float> && !std::is_same_v<T, HalfFloat>)
  explicit HalfFloat(T x) : bits_(Format::Narrow(static_cast<float>(x))) {}
  static HalfFloat FromBits(uint16_t bits) {
    HalfFloat half;
    half.bits_ = bits;
    return half;
  }
  operator float() const { return Format::Widen(bits_); }  // NOLINT: exact, so implicit
  HalfFloat operator-() const { return FromBits(bits_ ^ 0x8000); }
  uint16_t bits() const { return bits_; }

 private:
  uint16_t bits_ = 0;
};
using Float16 = HalfFloat<Float16Format>;
using BFloat16 = HalfFloat<BFloat16Format>;

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>;
// std::is_floating_point_v with the 16-bit types.
template <class T>
inline constexpr bool kIsFloat = std::is_floating_point_v<T> || kIsHalf<T>;
// What arithmetic on T is done in.
template <class T>
using ArithmeticType = std::conditional_t<kIsHalf<T>, float, T>;

// A number as the floating-point type `d` holds it.
inline double RoundTo(DType d, double x) {
  switch (d) {
    case DType::kFloat32:
      return static_cast<float>(x);
    case DType::kFloat16:
      return Float16(x);
    case DType::kBFloat16:
      return BFloat16(x);
    default:
      return x;
  }
}

inline bool IsHalf(DType d) { return d == DType::kFloat16 || d == DType::kBFloat16; }

template <>
constexpr DType DTypeOf<Float16>() {
  return DType::kFloat16;
}
template <>
constexpr DType DTypeOf<BFloat16>() {
  return DType::kBFloat16;
}

}  // namespace graft

template <class Format>
struct std::numeric_limits<graft::HalfFloat<Format>> {
  using Half = graft::HalfFloat<Format>;
  static constexpr bool is_specialized = true;
  static constexpr bool is_signed = true;
  static constexpr bool is_integer = false;
  static constexpr bool has_infinity = true;
  static constexpr int digits = Format::kMantissaBits + 1;
  static Half min() { return Half::FromBits(Format::kSmallestNormal); }
  static Half max() { return Half::FromBits(Format::kLargest); }
  static Half lowest() { return Half::FromBits(Format::kLargest | 0x8000); }
  static Half epsilon() { return Half::FromBits(Format::kEpsilon); }
  static Half infinity() { return Half::FromBits(Format::kInfinity); }
  static Half quiet_NaN() { return Half::FromBits(Format::kNan); }
};
