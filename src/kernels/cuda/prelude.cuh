// What all kernels share: element types by their short names, conversions, the arithmetic of
// element-wise programs, and the record of a run's error. Compiled by NVRTC, which has no standard
// library; nothing here includes a header.
//
// A kernel has one parameter, a struct of 8-byte fields (pointers, i64, f64) that the host fills in
// order. What differs between the classes of a kernel's problems is text in front of it: macros,
// types and the element-wise program.
#pragma once

typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;

// The first error of a stream's steps, in memory that the host reads when it has synchronised.
struct ErrorRecord {
  i32 kind;  // 0: none
  i32 step;
  i64 value;
  i64 limit;
};
enum ErrorKind { kIndexOutOfRange = 1, kUndefinedInteger = 2, kBadBox = 3, kBadThreshold = 4,
                 kBadSigma = 5 };

__device__ inline void Report(ErrorRecord* error, i32 kind, i64 step, i64 value, i64 limit) {
  if (atomicCAS(&error->kind, 0, kind) != 0) return;
  error->step = (i32)step;
  error->value = value;
  error->limit = limit;
}

// The 16-bit floats hold and convert; arithmetic on them is that of float. Conversions round to the
// nearest, halves to even.
struct f16 {
  u16 bits;
  f16() = default;
  template <class T>
  __device__ explicit f16(T x) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"((float)x));
  }
  __device__ operator float() const {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(bits));
    return wide;
  }
};
struct bf16 {
  u16 bits;
  bf16() = default;
  template <class T>
  __device__ explicit bf16(T x) {
    const u32 wide = __float_as_uint((float)x);
    bits = (wide & 0x7fffffff) > 0x7f800000 ? (u16)(wide >> 16 | 0x40)
                                            : (u16)((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
  }
  __device__ operator float() const { return __uint_as_float((u32)bits << 16); }
};
// Of elements that are only moved.
struct b16 {
  u64 halves[2];
};

template <class T>
struct Traits {};
#define GRAFT_TRAITS(T, A, IS_FLOAT, IS_HALF, LOWEST, MAX)          \
  template <>                                                       \
  struct Traits<T> {                                                \
    typedef A Arithmetic;                                           \
    static constexpr bool is_float = IS_FLOAT;                      \
    static constexpr bool is_half = IS_HALF;                        \
    static __device__ T lowest() { return T(LOWEST); }              \
    static __device__ T max() { return T(MAX); }                    \
  };
GRAFT_TRAITS(bool, bool, false, false, false, true)
GRAFT_TRAITS(i8, i8, false, false, -128, 127)
GRAFT_TRAITS(u8, u8, false, false, 0, 255)
GRAFT_TRAITS(i16, i16, false, false, -32768, 32767)
GRAFT_TRAITS(u16, u16, false, false, 0, 65535)
GRAFT_TRAITS(i32, i32, false, false, (-2147483647 - 1), 2147483647)
GRAFT_TRAITS(u32, u32, false, false, 0, 4294967295u)
GRAFT_TRAITS(i64, i64, false, false, (-9223372036854775807ll - 1), 9223372036854775807ll)
GRAFT_TRAITS(u64, u64, false, false, 0, 18446744073709551615ull)
GRAFT_TRAITS(f32, f32, true, false, -3.402823466e38f, 3.402823466e38f)
GRAFT_TRAITS(f64, f64, true, false, -1.7976931348623157e308, 1.7976931348623157e308)
GRAFT_TRAITS(f16, f32, true, true, -65504.0f, 65504.0f)
GRAFT_TRAITS(bf16, f32, true, true, -3.38953139e38f, 3.38953139e38f)
#undef GRAFT_TRAITS

template <class A, class B>
struct Same {
  static constexpr bool value = false;
};
template <class A>
struct Same<A, A> {
  static constexpr bool value = true;
};
template <class T>
using Arithmetic = typename Traits<T>::Arithmetic;

__device__ inline f64 Infinity() { return __longlong_as_double(0x7ff0000000000000ll); }

// An element in memory: a bool may hold any byte.
template <class T>
__device__ inline T Load(const void* data, i64 offset) {
  if constexpr (Same<T, bool>::value) {
    return ((const u8*)data)[offset] != 0;
  } else {
    return ((const T*)data)[offset];
  }
}
template <class T>
__device__ inline void Store(void* data, i64 offset, T value) {
  ((T*)data)[offset] = value;
}

// A float cut to an integer, as TensorFlow's CPU kernels do it: the lower bits of a signed integer
// of 64 bits, for what is shorter than 32 bits of one of 32; where x does not fit, or is NaN, of the
// least one. Of u32 and u64 all values fit as well.
template <class To, class From>
__device__ inline To Whole(From x) {
  constexpr bool narrow = sizeof(To) < 8;
  constexpr bool of_32_bits = sizeof(To) < 4 || Same<To, i32>::value;
  const From least = narrow ? (From)-2147483648.0 : (From)-9223372036854775808.0;
  const From above = To(-1) < To(0) || sizeof(To) < 4 ? -least : -2 * least;
  // One instruction, which cuts. No f32 lies between the least integer and one below.
  if constexpr (of_32_bits && sizeof(From) == 4)
    return x >= least && x < above ? (To)(i32)x : (To)(i64)least;
  x = trunc(x);
  if (!(x >= least && x < above)) return (To)(i64)least;
  return x < 0 ? (To)(i64)x : (To)(u64)x;
}

// From here to a quarter above, and as far below, f32 holds whole numbers alone, with the integer in
// its lower bits.
constexpr f32 kWholeFrom = 12582912;  // 1.5 * 2^23

// As static_cast, but for floats to integers.
template <class To, class From>
__device__ inline To Convert(From x) {
  if constexpr (Same<To, From>::value) {
    return x;
  } else if constexpr (Same<To, bool>::value) {
    if constexpr (Traits<From>::is_half) return (float)x != 0;
    else return x != From(0);
  } else if constexpr (Traits<From>::is_half && !Traits<To>::is_float) {
    return Convert<To>((float)x);
  } else if constexpr (Traits<From>::is_float && !Traits<To>::is_float) {
    return Whole<To>(x);
  } else if constexpr (Traits<From>::is_half) {
    return To((float)x);
  } else if constexpr (sizeof(From) == 1 && Same<To, f32>::value && !Same<From, bool>::value) {
    // Exact, and two additions are faster than the conversion of a byte.
    return __uint_as_float(__float_as_uint(kWholeFrom) + (u32)(i32)x) - kWholeFrom;
  } else {
    return To(x);
  }
}

// base/pointwise.inc on numbers of type T: float, double, or an integer. p and q are the
// immediates. Names are those of the enumerators.
template <class T>
__device__ inline T Clamped(T x, T low, T high) {
  return x < low ? low : x > high ? high : x;
}
// Convert<To>(Clamped(rint(x), low, high)) for whole bounds of at most 22 bits: the same bits at a
// fraction of the time, since conversions take several times that of an addition.
template <class To>
__device__ inline To RoundBetween(f32 x, f32 low, f32 high) {
  const u32 bits = __float_as_uint(__fadd_rn(fminf(fmaxf(x, low), high), kWholeFrom));
  return x == x ? (To)bits : To(0);
}
template <class T>
__device__ inline T Wrap(u64 x) {
  return (T)x;
}

#define GRAFT_UNARY(name, expression)         \
  template <class T>                          \
  __device__ inline T name(T x, T p, T q) {   \
    (void)p, (void)q;                         \
    expression                                \
  }
#define GRAFT_BINARY(name, expression)             \
  template <class T>                               \
  __device__ inline T name(T x, T y, T p, T q) {   \
    (void)p, (void)q;                              \
    expression                                     \
  }
#define FLOAT Traits<T>::is_float
GRAFT_BINARY(kAdd, if constexpr (FLOAT) return x + y; else return Wrap<T>((u64)x + (u64)y);)
GRAFT_BINARY(kSub, if constexpr (FLOAT) return x - y; else return Wrap<T>((u64)x - (u64)y);)
GRAFT_BINARY(kMul, if constexpr (FLOAT) return x * y; else return Wrap<T>((u64)x * (u64)y);)
// The quotient of the lowest value by -1 wraps.
template <class T>
__device__ inline bool ByMinusOne(T y) {
  return T(-1) < T(0) && y == T(-1);
}
GRAFT_BINARY(kDiv, if constexpr (FLOAT) return x / y;
             else return y == 0 ? T(0) : ByMinusOne(y) ? Wrap<T>(0 - (u64)x) : T(x / y);)
GRAFT_BINARY(kDivNoNan, return y == 0 ? T(0) : T(x / y);)
GRAFT_BINARY(kFloorDiv, if constexpr (FLOAT) return floor(x / y); else {
  if (y == 0) return T(0);
  if (ByMinusOne(y)) return Wrap<T>(0 - (u64)x);
  return T(x / y - (x % y != 0 && (x < 0) != (y < 0)));
})
GRAFT_BINARY(kFloorMod, if constexpr (FLOAT) {
  const T remainder = fmod(x, y);
  return remainder != 0 && (y < 0) != (remainder < 0) ? remainder + y : remainder;
} else {
  if (y == 0 || ByMinusOne(y)) return T(0);
  return T(x % y != 0 && (x < 0) != (y < 0) ? x % y + y : x % y);
})
GRAFT_BINARY(kTruncMod, if constexpr (FLOAT) return fmod(x, y);
             else return y == 0 || ByMinusOne(y) ? T(0) : T(x % y);)
GRAFT_BINARY(kPow, if constexpr (FLOAT) return pow(x, y); else {
  if (y < 0) return x == 1 ? T(1) : x == T(-1) ? (y % 2 ? x : T(1)) : T(0);
  u64 power = 1;
  for (u64 base = (u64)x; y > 0; y = y / 2, base *= base) {
    if (y % 2) power *= base;
  }
  return Wrap<T>(power);
})
GRAFT_BINARY(kMin, if (x != x) return x; if (y != y) return y; return y < x ? y : x;)
GRAFT_BINARY(kMax, if (x != x) return x; if (y != y) return y; return x < y ? y : x;)
GRAFT_BINARY(kSquaredDifference, if constexpr (FLOAT) return (x - y) * (x - y);
             else return Wrap<T>(((u64)x - (u64)y) * ((u64)x - (u64)y));)
GRAFT_BINARY(kAtan2, return atan2(x, y);)
GRAFT_BINARY(kXdivy, return x == 0 ? T(0) : T(x / y);)
GRAFT_BINARY(kXlogy, return x == 0 ? T(0) : T(x * log(y));)
GRAFT_UNARY(kNeg, if constexpr (FLOAT) return -x; else return Wrap<T>(0 - (u64)x);)
GRAFT_UNARY(kAbs, if constexpr (FLOAT) return fabs(x);
            else return x < 0 ? Wrap<T>(0 - (u64)x) : x;)
GRAFT_UNARY(kSign, return x != x ? x : T((x > 0) - (x < 0));)
GRAFT_UNARY(kSquare, if constexpr (FLOAT) return x * x; else return Wrap<T>((u64)x * (u64)x);)
GRAFT_UNARY(kSqrt, return sqrt(x);)
GRAFT_UNARY(kRsqrt, return T(1) / sqrt(x);)
GRAFT_UNARY(kReciprocal, return T(1) / x;)
GRAFT_UNARY(kExp, return exp(x);)
GRAFT_UNARY(kExpm1, return expm1(x);)
GRAFT_UNARY(kLog, return log(x);)
GRAFT_UNARY(kLog1p, return log1p(x);)
GRAFT_UNARY(kSin, return sin(x);)
GRAFT_UNARY(kCos, return cos(x);)
GRAFT_UNARY(kTan, return tan(x);)
GRAFT_UNARY(kAsin, return asin(x);)
GRAFT_UNARY(kAcos, return acos(x);)
GRAFT_UNARY(kAtan, return atan(x);)
GRAFT_UNARY(kSinh, return sinh(x);)
GRAFT_UNARY(kCosh, return cosh(x);)
GRAFT_UNARY(kTanh, return tanh(x);)
GRAFT_UNARY(kAsinh, return asinh(x);)
GRAFT_UNARY(kAcosh, return acosh(x);)
GRAFT_UNARY(kAtanh, return atanh(x);)
GRAFT_UNARY(kErf, return erf(x);)
GRAFT_UNARY(kErfc, return erfc(x);)
GRAFT_UNARY(kFloor, if constexpr (FLOAT) return floor(x); else return x;)
GRAFT_UNARY(kCeil, if constexpr (FLOAT) return ceil(x); else return x;)
GRAFT_UNARY(kRound, if constexpr (FLOAT) return rint(x); else return x;)
GRAFT_UNARY(kTrunc, if constexpr (FLOAT) return trunc(x); else return x;)
GRAFT_UNARY(kRelu, return x < 0 ? T(0) : x;)
GRAFT_UNARY(kClamp, return Clamped(x, p, q);)
GRAFT_UNARY(kLeakyRelu, return x > 0 ? x : T(p * x);)
GRAFT_UNARY(kElu, return x > 0 ? x : T(p * expm1(x));)
GRAFT_UNARY(kSelu,
            return T(1.0507009873554805) * (x > 0 ? x : T(1.6732632423543772) * T(expm1(x)));)
GRAFT_UNARY(kSigmoid, return T(1) / (T(1) + exp(-x));)
// TensorFlow's: e^x does not overflow, and small results keep their bits.
GRAFT_UNARY(kSoftplus, const T threshold = sizeof(T) == 4 ? T(-13.942385) : T(-34.04365338911715);
            if (x > -threshold) return x; if (x < threshold) return exp(x); return log1p(exp(x));)
GRAFT_UNARY(kSoftsign, return x / (T(1) + fabs(x));)
GRAFT_UNARY(kHardSwish, return x * Clamped(x + T(3), T(0), T(6)) / T(6);)
GRAFT_UNARY(kSwish, return x / (T(1) + exp(-x));)
// x · factor, where a factor of 0 is more than an infinity.
template <class T>
__device__ inline T Tail(T x, T factor) {
  return factor == 0 ? copysign(T(0), x) : x * factor;
}
GRAFT_UNARY(kGelu, return Tail(x, erfc(x * T(-0.70710678118654752)) / T(2));)
GRAFT_UNARY(kGeluTanh, return Tail(x, T(1) / (T(1) + exp(T(-1.5957691216057308) *
                                                         (x + T(0.044715) * x * x * x))));)
#undef FLOAT
#undef GRAFT_UNARY
#undef GRAFT_BINARY

template <class T>
__device__ inline bool kIsNan(T x) {
  return x != x;
}
template <class T>
__device__ inline bool kIsInf(T x) {
  return fabs(x) == (T)Infinity();
}
template <class T>
__device__ inline bool kIsFinite(T x) {
  return fabs(x) < (T)Infinity();
}
// Where integer arithmetic has no result.
template <class T>
__device__ inline bool DividesByZero(T y) {
  return y == 0;
}
template <class T>
__device__ inline bool IsNegative(T y) {
  return y < 0;
}

// What sums of T accumulate in: for integers, arithmetic modulo 2^64, which wraps to T's.
template <class T, bool kFloat = Traits<T>::is_float>
struct AccumulatorOf {
  typedef u64 Type;
};
template <class T>
struct AccumulatorOf<T, true> {
  typedef Arithmetic<T> Type;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::Type;

// x · y + z, rounded once where it is a float.
template <class A>
__device__ inline A MultiplyAdd(A x, A y, A z) {
  if constexpr (Traits<A>::is_float) return fma(x, y, z);
  else return x * y + z;
}

// A kernel may be started before the one before it on its stream has ended (programmatic dependent
// launch, from 9.0 on). Every kernel waits for that before it reads or writes memory that others
// write, and says when the next one may be started.
__device__ inline void WaitForPrevious() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ inline void StartNext() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
__device__ inline void Begin() {
  WaitForPrevious();
  StartNext();
}

__device__ inline i64 ThreadIndex() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline i64 GridThreads() { return (i64)gridDim.x * blockDim.x; }

// Joins the values of a block's threads; every thread gets the result. `shared` has room for one
// value a thread; BLOCK threads, a power of two.
template <int BLOCK, class V, class Join>
__device__ inline V JoinBlock(V value, V* shared, Join join) {
  if constexpr (BLOCK == 1) return value;
  shared[threadIdx.x] = value;
  __syncthreads();
  for (int step = BLOCK / 2; step > 0; step /= 2) {
    if ((int)threadIdx.x < step)
      shared[threadIdx.x] = join(shared[threadIdx.x], shared[threadIdx.x + step]);
    __syncthreads();
  }
  value = shared[0];
  __syncthreads();
  return value;
}

// The sum of the values of the threads before this one; the sum of all in *total.
template <int BLOCK, class V>
__device__ inline V ScanBlock(V value, V* shared, V* total) {
  shared[threadIdx.x] = value;
  __syncthreads();
  for (int step = 1; step < BLOCK; step *= 2) {
    const V before = (int)threadIdx.x >= step ? shared[threadIdx.x - step] : V(0);
    __syncthreads();
    shared[threadIdx.x] += before;
    __syncthreads();
  }
  const V inclusive = shared[threadIdx.x];
  *total = shared[BLOCK - 1];
  __syncthreads();
  return inclusive - value;
}
