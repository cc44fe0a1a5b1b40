#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/reference/kernels.h"

namespace graft::reference {
namespace {

// Elements go through the program in blocks, so that an instruction's dtype is looked at once a
// block.
constexpr int64_t kBlock = 256;
struct alignas(8) Column {
  std::byte bytes[kBlock * 8];
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(bytes);
  }
};

// The integer whose lower bits a cast from a float to To gives, as TensorFlow's CPU kernels do it:
// a signed one of 64 bits, for what is shorter than 32 bits one of 32; where x does not fit, or is
// NaN, the least one. Of u32 and u64 all values fit as well.
template <class To>
uint64_t Whole(double x) {
  const bool narrow = sizeof(To) < 8;
  const double least = narrow ? -0x1p31 : -0x1p63;
  const double above = std::is_signed_v<To> || sizeof(To) < 4 ? -least : -2 * least;
  x = std::trunc(x);
  if (!(x >= least && x < above)) return static_cast<uint64_t>(static_cast<int64_t>(least));
  return x < 0 ? static_cast<uint64_t>(static_cast<int64_t>(x)) : static_cast<uint64_t>(x);
}

template <class To, class From>
To Cast(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (kIsFloat<From> && std::is_integral_v<To>) {
    return static_cast<To>(Whole<To>(static_cast<double>(x)));
  } else {
    return static_cast<To>(x);
  }
}

template <class T>
T Clamp(T x, T low, T high) {
  return x < low ? low : x > high ? high : x;  // NaN passes
}

template <class T>
T FloorMod(T x, T y) {
  const T remainder = std::fmod(x, y);
  return remainder != 0 && (y < 0) != (remainder < 0) ? remainder + y : remainder;
}

template <class T>
T Softplus(T x) {
  // TensorFlow's: e^x does not overflow, and small results keep their bits.
  const T threshold = std::log(std::numeric_limits<T>::epsilon()) + 2;
  if (x > -threshold) return x;
  if (x < threshold) return std::exp(x);
  return std::log1p(std::exp(x));
}

double Cube(double x) { return x * x * x; }

// x · factor, where a factor of 0 is more than an infinity.
template <class T>
T Tail(T x, double factor) {
  return static_cast<T>(factor == 0 ? std::copysign(0.0, static_cast<double>(x)) : x * factor);
}

template <class T>
T ApplyFloat(PointwiseOp op, T x, T y, T p, T q) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  switch (op) {
    case PointwiseOp::kAdd:
      return x + y;
    case PointwiseOp::kSub:
      return x - y;
    case PointwiseOp::kMul:
      return x * y;
    case PointwiseOp::kDiv:
      return x / y;
    case PointwiseOp::kDivNoNan:
      return y == 0 ? 0 : x / y;
    case PointwiseOp::kFloorDiv:
      return std::floor(x / y);
    case PointwiseOp::kFloorMod:
      return FloorMod(x, y);
    case PointwiseOp::kTruncMod:
      return std::fmod(x, y);
    case PointwiseOp::kPow:
      return std::pow(x, y);
    case PointwiseOp::kMin:
      return x != x || y != y ? nan : std::min(x, y);
    case PointwiseOp::kMax:
      return x != x || y != y ? nan : std::max(x, y);
    case PointwiseOp::kSquaredDifference:
      return (x - y) * (x - y);
    case PointwiseOp::kAtan2:
      return std::atan2(x, y);
    case PointwiseOp::kXdivy:
      return x == 0 ? 0 : x / y;
    case PointwiseOp::kXlogy:
      return x == 0 ? 0 : x * std::log(y);
    case PointwiseOp::kNeg:
      return -x;
    case PointwiseOp::kAbs:
      return std::abs(x);
    case PointwiseOp::kSign:
      return x != x ? x : T(x > 0) - T(x < 0);
    case PointwiseOp::kSquare:
      return x * x;
    case PointwiseOp::kSqrt:
      return std::sqrt(x);
    case PointwiseOp::kRsqrt:
      return 1 / std::sqrt(x);
    case PointwiseOp::kReciprocal:
      return 1 / x;
    case PointwiseOp::kExp:
      return std::exp(x);
    case PointwiseOp::kExpm1:
      return std::expm1(x);
    case PointwiseOp::kLog:
      return std::log(x);
    case PointwiseOp::kLog1p:
      return std::log1p(x);
    case PointwiseOp::kSin:
      return std::sin(x);
    case PointwiseOp::kCos:
      return std::cos(x);
    case PointwiseOp::kTan:
      return std::tan(x);
    case PointwiseOp::kAsin:
      return std::asin(x);
    case PointwiseOp::kAcos:
      return std::acos(x);
    case PointwiseOp::kAtan:
      return std::atan(x);
    case PointwiseOp::kSinh:
      return std::sinh(x);
    case PointwiseOp::kCosh:
      return std::cosh(x);
    case PointwiseOp::kTanh:
      return std::tanh(x);
    case PointwiseOp::kAsinh:
      return std::asinh(x);
    case PointwiseOp::kAcosh:
      return std::acosh(x);
    case PointwiseOp::kAtanh:
      return std::atanh(x);
    case PointwiseOp::kErf:
      return std::erf(x);
    case PointwiseOp::kErfc:
      return std::erfc(x);
    case PointwiseOp::kFloor:
      return std::floor(x);
    case PointwiseOp::kCeil:
      return std::ceil(x);
    case PointwiseOp::kRound:
      return std::nearbyint(x);
    case PointwiseOp::kTrunc:
      return std::trunc(x);
    case PointwiseOp::kRelu:
      return x < 0 ? 0 : x;
    case PointwiseOp::kClamp:
      return Clamp(x, p, q);
    case PointwiseOp::kLeakyRelu:
      return x > 0 ? x : p * x;
    case PointwiseOp::kElu:
      return x > 0 ? x : p * std::expm1(x);
    case PointwiseOp::kSelu:
      return T(1.0507009873554805) * (x > 0 ? x : T(1.6732632423543772) * std::expm1(x));
    case PointwiseOp::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case PointwiseOp::kSoftplus:
      return Softplus(x);
    case PointwiseOp::kSoftsign:
      return x / (1 + std::abs(x));
    case PointwiseOp::kHardSwish:
      return x * Clamp(x + 3, T(0), T(6)) / 6;
    case PointwiseOp::kSwish:
      return x / (1 + std::exp(-x));
    case PointwiseOp::kGelu:
      return Tail(x, std::erfc(static_cast<double>(x) * -0.70710678118654752) / 2);
    case PointwiseOp::kGeluTanh:
      return Tail(x, 1 / (1 + std::exp(-1.5957691216057308 * (x + 0.044715 * Cube(x)))));
    default:
      GRAFT_CHECK(false, "{} on floats", Name(op));
  }
}

// Where integer arithmetic has no result.
template <class T>
bool IsUndefined(PointwiseOp op, T y) {
  switch (op) {
    case PointwiseOp::kDiv:
    case PointwiseOp::kFloorDiv:
    case PointwiseOp::kFloorMod:
    case PointwiseOp::kTruncMod:
      return y == 0;
    case PointwiseOp::kPow:
      return y < 0;
    default:
      return false;
  }
}

// Sums, differences and products wrap.
template <class T>
T Wrap(uint64_t x) {
  return static_cast<T>(x);
}

template <class T>
T IntegerPow(T x, T y) {
  if (y < 0) return x == 1 ? 1 : x == static_cast<T>(-1) ? (y % 2 ? x : 1) : 0;
  uint64_t power = 1;
  for (auto base = static_cast<uint64_t>(x); y > 0; y = y / 2, base *= base) {
    if (y % 2) power *= base;
  }
  return Wrap<T>(power);
}

template <class T>
T ApplyInteger(PointwiseOp op, T x, T y, T p, T q) {
  const auto ux = static_cast<uint64_t>(x);
  const auto uy = static_cast<uint64_t>(y);
  // The quotient of the lowest value by -1 does not fit: it wraps, as negation does.
  const bool by_minus_one = std::is_signed_v<T> && y == static_cast<T>(-1);
  switch (op) {
    case PointwiseOp::kAdd:
      return Wrap<T>(ux + uy);
    case PointwiseOp::kSub:
      return Wrap<T>(ux - uy);
    case PointwiseOp::kMul:
      return Wrap<T>(ux * uy);
    case PointwiseOp::kDiv:
      return y == 0 ? 0 : by_minus_one ? Wrap<T>(0 - ux) : x / y;
    case PointwiseOp::kFloorDiv:
      if (y == 0) return 0;
      if (by_minus_one) return Wrap<T>(0 - ux);
      return x / y - (x % y != 0 && (x < 0) != (y < 0));
    case PointwiseOp::kFloorMod:
      if (y == 0 || by_minus_one) return 0;
      return x % y != 0 && (x < 0) != (y < 0) ? x % y + y : x % y;
    case PointwiseOp::kTruncMod:
      return y == 0 || by_minus_one ? 0 : x % y;
    case PointwiseOp::kPow:
      return IntegerPow(x, y);
    case PointwiseOp::kMin:
      return std::min(x, y);
    case PointwiseOp::kMax:
      return std::max(x, y);
    case PointwiseOp::kSquaredDifference:
      return Wrap<T>((ux - uy) * (ux - uy));
    case PointwiseOp::kNeg:
      return Wrap<T>(0 - ux);
    case PointwiseOp::kAbs:
      return x < 0 ? Wrap<T>(0 - ux) : x;
    case PointwiseOp::kSign:
      return T(x > 0) - T(x < 0);
    case PointwiseOp::kSquare:
      return Wrap<T>(ux * ux);
    case PointwiseOp::kFloor:
    case PointwiseOp::kCeil:
    case PointwiseOp::kRound:
    case PointwiseOp::kTrunc:
      return x;
    case PointwiseOp::kRelu:
      return x < 0 ? 0 : x;
    case PointwiseOp::kClamp:
      return Clamp(x, p, q);
    default:
      GRAFT_CHECK(false, "{} on integers", Name(op));
  }
}

template <class T>
bool Compare(PointwiseOp op, T x, T y) {
  switch (op) {
    case PointwiseOp::kEqual:
      return x == y;
    case PointwiseOp::kNotEqual:
      return x != y;
    case PointwiseOp::kLess:
      return x < y;
    case PointwiseOp::kLessEqual:
      return x <= y;
    case PointwiseOp::kGreater:
      return x > y;
    default:
      return x >= y;
  }
}

template <class T>
T Combine(PointwiseOp op, T x, T y) {
  switch (op) {
    case PointwiseOp::kAnd:
      return x & y;
    case PointwiseOp::kOr:
      return x | y;
    case PointwiseOp::kXor:
      return x ^ y;
    default:
      if constexpr (std::is_same_v<T, bool>) {
        return !x;
      } else {
        return static_cast<T>(~x);
      }
  }
}

template <class T>
bool Classify(PointwiseOp op, T x) {
  switch (op) {
    case PointwiseOp::kIsNan:
      return std::isnan(x);
    case PointwiseOp::kIsInf:
      return std::isinf(x);
    default:
      return std::isfinite(x);
  }
}

void Execute(const PointwiseInstruction& in, std::span<const DType> dtypes,
             std::vector<Column>& columns, Column& result, int64_t n, bool* undefined) {
  auto operand = [&](int k) -> Column& { return columns[std::max(in.operands[k], 0)]; };
  const DType first = in.operands[0] < 0 ? in.dtype : dtypes[in.operands[0]];
  switch (in.op) {
    case PointwiseOp::kConstant:
      return VisitDType(kEngineTypes, in.dtype, [&](auto type) {
        using T = decltype(type);
        std::fill_n(result.as<T>(), n, Cast<T>(in.p));
      });
    case PointwiseOp::kCast:
      return VisitDType(kEngineTypes, first, [&](auto from) {
        using From = decltype(from);
        VisitDType(kEngineTypes, in.dtype, [&](auto to) {
          using To = decltype(to);
          const From* x = operand(0).as<From>();
          for (int64_t i = 0; i < n; ++i) result.as<To>()[i] = Cast<To>(x[i]);
        });
      });
    case PointwiseOp::kEqual:
    case PointwiseOp::kNotEqual:
    case PointwiseOp::kLess:
    case PointwiseOp::kLessEqual:
    case PointwiseOp::kGreater:
    case PointwiseOp::kGreaterEqual:
      return VisitDType(kEngineTypes, first, [&](auto type) {
        using T = decltype(type);
        const T* x = operand(0).as<T>();
        const T* y = operand(1).as<T>();
        for (int64_t i = 0; i < n; ++i) result.as<bool>()[i] = Compare(in.op, x[i], y[i]);
      });
    case PointwiseOp::kIsNan:
    case PointwiseOp::kIsInf:
    case PointwiseOp::kIsFinite:
      return VisitDType(kFloatTypes, first, [&](auto type) {
        using T = decltype(type);
        const T* x = operand(0).as<T>();
        for (int64_t i = 0; i < n; ++i)
          result.as<bool>()[i] = Classify<ArithmeticType<T>>(in.op, x[i]);
      });
    case PointwiseOp::kSelect:
      return WithSize(in.dtype, [&](auto type) {
        using T = decltype(type);
        const bool* x = operand(0).as<bool>();
        for (int64_t i = 0; i < n; ++i)
          result.as<T>()[i] = (x[i] ? operand(1) : operand(2)).template as<T>()[i];
      });
    case PointwiseOp::kAnd:
    case PointwiseOp::kOr:
    case PointwiseOp::kXor:
    case PointwiseOp::kNot:
      return VisitDType(kEngineTypes, in.dtype, [&](auto type) {
        using T = decltype(type);
        if constexpr (std::is_integral_v<T>) {
          const T* x = operand(0).as<T>();
          const T* y = operand(1).as<T>();
          for (int64_t i = 0; i < n; ++i) result.as<T>()[i] = Combine(in.op, x[i], y[i]);
        }
      });
    default:
      return VisitDType(kNumberTypes, in.dtype, [&](auto type) {
        using T = decltype(type);
        using A = ArithmeticType<T>;
        const A p = Cast<T>(in.p);
        const A q = Cast<T>(in.q);
        const T* x = operand(0).as<T>();
        const T* y = (OperandCount(in.op) > 1 ? operand(1) : operand(0)).template as<T>();
        for (int64_t i = 0; i < n; ++i) {
          if constexpr (kIsFloat<T>) {
            result.as<T>()[i] = T(ApplyFloat<A>(in.op, x[i], y[i], p, q));
          } else {
            *undefined |= IsUndefined(in.op, y[i]);
            result.as<T>()[i] = ApplyInteger(in.op, x[i], y[i], p, q);
          }
        }
      });
  }
}

// `n` elements of an operand from `column` of the result's row on, which is at `index`.
void Load(const ConstArray& x, std::span<const int64_t> row_index, int64_t column, int64_t n,
          Column& target) {
  // NumPy's rule: axes are matched from the last one on, an axis of 1 stands for all.
  int64_t row = 0;
  const size_t skipped = row_index.size() + 1 - x.dims.size();
  for (size_t i = 0; i + 1 < x.dims.size(); ++i)
    row = row * x.dims[i] + (x.dims[i] == 1 ? 0 : row_index[skipped + i]);
  WithSize(x.dtype, [&](auto type) {
    using T = decltype(type);
    const T* from = x.Row<T>(row);
    if (x.row_length() == 1) {
      std::fill_n(target.as<T>(), n, *from);
    } else {
      std::copy_n(from + column, n, target.as<T>());
    }
  });
}

Status RunProgram(const PointwiseProgram& program, Inputs in, const Array& y) {
  std::vector<DType> dtypes;
  for (const ConstArray& x : in) dtypes.push_back(x.dtype);
  for (const PointwiseInstruction& instruction : program.instructions)
    dtypes.push_back(instruction.dtype);
  std::vector<Column> columns(dtypes.size());
  int64_t row = 0;
  bool undefined = false;
  const auto leading = std::span(y.dims).first(y.dims.empty() ? 0 : y.dims.size() - 1);
  ForEachIndex(leading, [&](std::span<const int64_t> row_index) {
    for (int64_t column = 0; column < y.row_length(); column += kBlock) {
      const int64_t n = std::min(kBlock, y.row_length() - column);
      for (size_t i = 0; i < in.size(); ++i) Load(in[i], row_index, column, n, columns[i]);
      for (size_t i = 0; i < program.instructions.size(); ++i)
        Execute(program.instructions[i], dtypes, columns, columns[in.size() + i], n, &undefined);
      std::memcpy(y.data + (row * y.row_stride + column) * SizeOf(y.dtype),
                  columns[program.result()].bytes, n * SizeOf(y.dtype));
    }
    ++row;
  });
  if (undefined)
    return InvalidArgumentError("an integer division by zero, or an integer's negative power");
  return OkStatus();
}

}  // namespace

Status Run(const PointwiseProblem& problem, Inputs in, Outputs out) {
  return RunProgram(problem.program, in, out[0]);
}

Status ApplyEpilogue(const PointwiseProgram& epilogue, const ConstArray& sums, Inputs operands,
                     const Array& result) {
  std::vector<ConstArray> in = {sums};
  in.insert(in.end(), operands.begin(), operands.end());
  return RunProgram(epilogue, in, result);
}

}  // namespace graft::reference
