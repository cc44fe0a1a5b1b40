// Every instruction on every dtype, element by element: what the vectorised loops leave out.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "base/dtype_visit.h"
#include "kernels/cpu/pointwise/instructions.h"

namespace graft::cpu {
namespace {

using Op = PointwiseOp;

template <Op op>
constexpr bool kIsComparison = op >= Op::kEqual && op <= Op::kGreaterEqual;
template <Op op>
constexpr bool kIsTest =
    kIsComparison<op> || op == Op::kIsNan || op == Op::kIsInf || op == Op::kIsFinite;

// Ops with a meaning on integers, beside tests and select.
template <Op op>
constexpr bool kIsIntegral =
    op == Op::kAdd || op == Op::kSub || op == Op::kMul || op == Op::kDiv || op == Op::kDivNoNan ||
    op == Op::kFloorDiv || op == Op::kFloorMod || op == Op::kTruncMod || op == Op::kPow ||
    op == Op::kMin || op == Op::kMax || op == Op::kSquaredDifference || op == Op::kAnd ||
    op == Op::kOr || op == Op::kXor || op == Op::kNot || op == Op::kNeg || op == Op::kAbs ||
    op == Op::kSign || op == Op::kSquare || op == Op::kFloor || op == Op::kCeil ||
    op == Op::kRound || op == Op::kTrunc || op == Op::kRelu || op == Op::kClamp ||
    op == Op::kLeakyRelu;

template <Op op>
constexpr bool kIsLogical = op == Op::kAnd || op == Op::kOr || op == Op::kXor || op == Op::kNot;
template <Op op, class T>
constexpr bool HasMeaning() {
  if constexpr (op == Op::kConstant || op == Op::kCast) return false;
  if constexpr (op == Op::kSelect) return true;
  if constexpr (std::is_same_v<T, bool>) return kIsLogical<op> || kIsComparison<op>;
  if constexpr (std::is_integral_v<T>) return kIsIntegral<op> || kIsTest<op>;
  return op != Op::kAnd && op != Op::kOr && op != Op::kXor && op != Op::kNot;
}

// Integers wrap around: in 64 unsigned bits nothing overflows that is not cut off again.
template <class T>
T Wrap(uint64_t value) {
  return static_cast<T>(value);
}
template <class T>
uint64_t Bits(T x) {
  return static_cast<uint64_t>(x);
}

template <class T>
T Quotient(T x, T y) {
  if (y == 0) return 0;
  if constexpr (std::is_signed_v<T>) {
    if (y == T(-1)) return Wrap<T>(-Bits(x));
  }
  return static_cast<T>(x / y);
}
template <class T>
T Remainder(T x, T y) {
  if (y == 0) return 0;
  if constexpr (std::is_signed_v<T>) {
    if (y == T(-1)) return 0;
  }
  return static_cast<T>(x % y);
}
template <class T>
T IntegerPower(T x, T y) {
  if constexpr (std::is_signed_v<T>) {
    // 1/x^|y| rounded toward zero.
    if (y < 0) return x == 1 ? T(1) : x == T(-1) ? T(y % 2 == 0 ? 1 : -1) : T(0);
  }
  uint64_t power = 1;
  uint64_t factor = Bits(x);
  for (uint64_t n = Bits(y); n > 0; n >>= 1) {
    if (n & 1) power *= factor;
    factor *= factor;
  }
  return Wrap<T>(power);
}

template <Op op, class T>
T ComputeInteger(T x, T y, T p, T q) {
  static_cast<void>(y), static_cast<void>(p), static_cast<void>(q);
  if constexpr (op == Op::kAdd) return Wrap<T>(Bits(x) + Bits(y));
  if constexpr (op == Op::kSub) return Wrap<T>(Bits(x) - Bits(y));
  if constexpr (op == Op::kMul) return Wrap<T>(Bits(x) * Bits(y));
  if constexpr (op == Op::kDiv || op == Op::kDivNoNan) return Quotient(x, y);
  if constexpr (op == Op::kFloorDiv) {
    const T quotient = Quotient(x, y);
    return Remainder(x, y) != 0 && (x < 0) != (y < 0) ? static_cast<T>(quotient - 1) : quotient;
  }
  if constexpr (op == Op::kFloorMod) {
    const T remainder = Remainder(x, y);
    return remainder != 0 && (remainder < 0) != (y < 0) ? static_cast<T>(remainder + y) : remainder;
  }
  if constexpr (op == Op::kTruncMod) return Remainder(x, y);
  if constexpr (op == Op::kPow) return IntegerPower(x, y);
  if constexpr (op == Op::kMin) return std::min(x, y);
  if constexpr (op == Op::kMax) return std::max(x, y);
  if constexpr (op == Op::kSquaredDifference) {
    const uint64_t difference = Bits(x) - Bits(y);
    return Wrap<T>(difference * difference);
  }
  if constexpr (op == Op::kAnd) return static_cast<T>(x & y);
  if constexpr (op == Op::kOr) return static_cast<T>(x | y);
  if constexpr (op == Op::kXor) return static_cast<T>(x ^ y);
  if constexpr (op == Op::kNot) return static_cast<T>(~x);
  if constexpr (op == Op::kNeg) return Wrap<T>(-Bits(x));
  if constexpr (op == Op::kAbs) return x < 0 ? Wrap<T>(-Bits(x)) : x;
  if constexpr (op == Op::kSign) return static_cast<T>((x > 0) - (x < 0));
  if constexpr (op == Op::kSquare) return Wrap<T>(Bits(x) * Bits(x));
  if constexpr (op == Op::kFloor || op == Op::kCeil || op == Op::kRound || op == Op::kTrunc)
    return x;
  if constexpr (op == Op::kRelu) return std::max(x, T(0));
  if constexpr (op == Op::kClamp) return std::min(std::max(x, p), q);
  if constexpr (op == Op::kLeakyRelu) return x > 0 ? x : Wrap<T>(Bits(p) * Bits(x));
}

template <class T>
T FloatFloorMod(T x, T y) {
  const T remainder = std::fmod(x, y);
  return remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder;
}

template <Op op, class T>
T ComputeFloat(T x, T y, T p, T q) {
  static_cast<void>(y), static_cast<void>(p), static_cast<void>(q);
  const auto sigmoid = [](T v) { return 1 / (1 + std::exp(-v)); };
  if constexpr (op == Op::kAdd) return x + y;
  if constexpr (op == Op::kSub) return x - y;
  if constexpr (op == Op::kMul) return x * y;
  if constexpr (op == Op::kDiv) return x / y;
  if constexpr (op == Op::kDivNoNan) return y == 0 ? 0 : x / y;
  if constexpr (op == Op::kFloorDiv) return std::floor(x / y);
  if constexpr (op == Op::kFloorMod) return FloatFloorMod(x, y);
  if constexpr (op == Op::kTruncMod) return std::fmod(x, y);
  if constexpr (op == Op::kPow) return std::pow(x, y);
  if constexpr (op == Op::kMin) return std::isnan(y) ? y : y < x ? y : x;
  if constexpr (op == Op::kMax) return std::isnan(y) ? y : y > x ? y : x;
  if constexpr (op == Op::kSquaredDifference) return (x - y) * (x - y);
  if constexpr (op == Op::kAtan2) return std::atan2(x, y);
  if constexpr (op == Op::kXdivy) return x == 0 ? 0 : x / y;
  if constexpr (op == Op::kXlogy) return x == 0 ? 0 : x * std::log(y);
  if constexpr (op == Op::kNeg) return -x;
  if constexpr (op == Op::kAbs) return std::abs(x);
  if constexpr (op == Op::kSign) return x > 0 ? T(1) : x < 0 ? T(-1) : x;
  if constexpr (op == Op::kSquare) return x * x;
  if constexpr (op == Op::kSqrt) return std::sqrt(x);
  if constexpr (op == Op::kRsqrt) return 1 / std::sqrt(x);
  if constexpr (op == Op::kReciprocal) return 1 / x;
  if constexpr (op == Op::kExp) return std::exp(x);
  if constexpr (op == Op::kExpm1) return std::expm1(x);
  if constexpr (op == Op::kLog) return std::log(x);
  if constexpr (op == Op::kLog1p) return std::log1p(x);
  if constexpr (op == Op::kSin) return std::sin(x);
  if constexpr (op == Op::kCos) return std::cos(x);
  if constexpr (op == Op::kTan) return std::tan(x);
  if constexpr (op == Op::kAsin) return std::asin(x);
  if constexpr (op == Op::kAcos) return std::acos(x);
  if constexpr (op == Op::kAtan) return std::atan(x);
  if constexpr (op == Op::kSinh) return std::sinh(x);
  if constexpr (op == Op::kCosh) return std::cosh(x);
  if constexpr (op == Op::kTanh) return std::tanh(x);
  if constexpr (op == Op::kAsinh) return std::asinh(x);
  if constexpr (op == Op::kAcosh) return std::acosh(x);
  if constexpr (op == Op::kAtanh) return std::atanh(x);
  if constexpr (op == Op::kErf) return std::erf(x);
  if constexpr (op == Op::kErfc) return std::erfc(x);
  if constexpr (op == Op::kFloor) return std::floor(x);
  if constexpr (op == Op::kCeil) return std::ceil(x);
  if constexpr (op == Op::kRound) return std::nearbyint(x);
  if constexpr (op == Op::kTrunc) return std::trunc(x);
  if constexpr (op == Op::kRelu) return x < 0 ? 0 : x;
  if constexpr (op == Op::kClamp) return x < p ? p : x > q ? q : x;
  if constexpr (op == Op::kLeakyRelu) return x > 0 ? x : p * x;
  if constexpr (op == Op::kElu) return x > 0 ? x : p * std::expm1(x);
  if constexpr (op == Op::kSelu) {
    return static_cast<T>(1.0507009873554805) *
           (x > 0 ? x : static_cast<T>(1.6732632423543772) * std::expm1(x));
  }
  if constexpr (op == Op::kSigmoid) return sigmoid(x);
  if constexpr (op == Op::kSoftplus)
    return (x > 0 ? x : x != x ? x : 0) + std::log1p(std::exp(-std::abs(x)));
  if constexpr (op == Op::kSoftsign) return x / (1 + std::abs(x));
  if constexpr (op == Op::kHardSwish) return x * std::clamp(x + 3, T(0), T(6)) / 6;
  if constexpr (op == Op::kSwish) return x * sigmoid(x);
  if constexpr (op == Op::kGelu) {
    return x == -std::numeric_limits<T>::infinity()
               ? -T(0)
               : x / 2 * std::erfc(x * static_cast<T>(-0.70710678118654752));
  }
  if constexpr (op == Op::kGeluTanh) {
    const T t = static_cast<T>(1.5957691216057308) * (x + static_cast<T>(0.044715) * x * x * x);
    return x == -std::numeric_limits<T>::infinity() ? -T(0) : x * sigmoid(t);
  }
}

template <Op op, class T>
bool Test(T x, T y) {
  static_cast<void>(y);
  if constexpr (op == Op::kEqual) return x == y;
  if constexpr (op == Op::kNotEqual) return x != y;
  if constexpr (op == Op::kLess) return x < y;
  if constexpr (op == Op::kLessEqual) return x <= y;
  if constexpr (op == Op::kGreater) return x > y;
  if constexpr (op == Op::kGreaterEqual) return x >= y;
  if constexpr (std::is_floating_point_v<T>) {
    if constexpr (op == Op::kIsNan) return std::isnan(x);
    if constexpr (op == Op::kIsInf) return std::isinf(x);
    if constexpr (op == Op::kIsFinite) return std::isfinite(x);
  }
  return op == Op::kIsFinite;
}

template <Op op, class T>
auto Evaluate(T x, T y, T p, T q) {
  if constexpr (kIsTest<op>) {
    return Test<op>(x, y);
  } else if constexpr (std::is_same_v<T, bool>) {
    if constexpr (op == Op::kAnd) return x && y;
    if constexpr (op == Op::kOr) return x || y;
    if constexpr (op == Op::kXor) return x != y;
    if constexpr (op == Op::kNot) return !x;
  } else if constexpr (std::is_integral_v<T>) {
    return ComputeInteger<op>(x, y, p, q);
  } else {
    return ComputeFloat<op>(x, y, p, q);
  }
}

// Whether integer arithmetic has no result for the second operand y.
template <Op op, class T>
constexpr bool IsUndefined(T y) {
  if constexpr (op == Op::kPow) return std::is_signed_v<T> && y < T(0);
  return y == T(0);
}
template <Op op, class T>
constexpr bool kMayBeUndefined =
    std::is_integral_v<T> && (op == Op::kDiv || op == Op::kFloorDiv || op == Op::kFloorMod ||
                              op == Op::kTruncMod || op == Op::kPow);

template <Op op, class T>
void Loop(const InstructionBlock& b) {
  using Y = std::conditional_t<kIsTest<op>, bool, T>;
  Y* y = static_cast<Y*>(b.y);
  const T* x0 = static_cast<const T*>(b.x[0]);
  // Unary ops have no second operand: the first stands in, unread by the formula.
  const T* x1 = b.x[1] ? static_cast<const T*>(b.x[1]) : x0;
  const size_t mask1 = b.x[1] ? b.mask[1] : b.mask[0];
  const T p = static_cast<T>(b.p);
  const T q = static_cast<T>(b.q);
  if constexpr (kMayBeUndefined<op, T>) {
    // First: the results may be written over the operands.
    bool undefined = false;
    for (size_t i = 0; i < b.count; ++i) undefined |= IsUndefined<op>(x1[i & mask1]);
    if (undefined && b.undefined) *b.undefined = true;
  }
  for (size_t i = 0; i < b.count; ++i) {
    y[i] = Evaluate<op, T>(x0[i & b.mask[0]], x1[i & mask1], p, q);
  }
}

template <class T>
void SelectLoop(const InstructionBlock& b) {
  const bool* condition = static_cast<const bool*>(b.x[0]);
  const T* x1 = static_cast<const T*>(b.x[1]);
  const T* x2 = static_cast<const T*>(b.x[2]);
  T* y = static_cast<T*>(b.y);
  for (size_t i = 0; i < b.count; ++i) {
    y[i] = condition[i & b.mask[0]] ? x1[i & b.mask[1]] : x2[i & b.mask[2]];
  }
}

template <Op op, class T>
constexpr InstructionLoop LoopOf() {
  if constexpr (!HasMeaning<op, T>()) {
    return nullptr;
  } else if constexpr (op == Op::kSelect) {
    return SelectLoop<T>;
  } else {
    return Loop<op, T>;
  }
}

template <class T>
InstructionLoop Find(Op op) {
  static constexpr InstructionLoop kLoops[] = {
#define GRAFT_POINTWISE(id, name, operands, formula) LoopOf<Op::id, T>(),
#include "base/pointwise.inc"
#undef GRAFT_POINTWISE
  };
  return kLoops[static_cast<int>(op)];
}

// What the processor's conversion gives: what does not fit is the least integer.
template <class I, class From>
I Truncate(From x) {
  constexpr From kLimit = -static_cast<From>(std::numeric_limits<I>::min());
  return x >= -kLimit && x < kLimit ? static_cast<I>(x) : std::numeric_limits<I>::min();
}

// As TensorFlow's CPU kernels: narrow integers are the lower bits of 32, unsigned ones the bits of
// a signed one, as far as there is one.
template <class To, class From>
To ToInteger(From x) {
  constexpr From k32 = 4294967296;
  constexpr From k63 = 9223372036854775808u;
  if constexpr (std::is_same_v<To, uint32_t>) {
    const bool fits = x >= -k32 / 2 && x < k32;
    return static_cast<To>(fits ? static_cast<int64_t>(x) : std::numeric_limits<int32_t>::min());
  } else if constexpr (std::is_same_v<To, uint64_t>) {
    if (x >= k63 && x < 2 * k63) return static_cast<To>(Truncate<int64_t>(x - k63)) + (To{1} << 63);
    return static_cast<To>(Truncate<int64_t>(x));
  } else if constexpr (std::is_same_v<To, int64_t>) {
    return Truncate<int64_t>(x);
  } else {
    return static_cast<To>(Truncate<int32_t>(x));
  }
}

template <class From, class To>
To Convert(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (kIsHalf<From>) {
    return Convert<float, To>(x);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    return ToInteger<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <class From, class To>
void ConvertLoop(const InstructionBlock& b) {
  const From* x = static_cast<const From*>(b.x[0]);
  To* y = static_cast<To*>(b.y);
  for (size_t i = 0; i < b.count; ++i) y[i] = Convert<From, To>(x[i & b.mask[0]]);
}

}  // namespace

InstructionLoop ScalarLoop(PointwiseOp op, DType operand) {
  return TryVisitDType(kNativeTypes, operand, [&]<class T>(T) { return Find<T>(op); });
}

InstructionLoop CastLoop(DType from, DType to) {
  return TryVisitDType(kEngineTypes, from, [&]<class From>(From) {
    return TryVisitDType(kEngineTypes, to,
                         []<class To>(To) -> InstructionLoop { return ConvertLoop<From, To>; });
  });
}

}  // namespace graft::cpu
