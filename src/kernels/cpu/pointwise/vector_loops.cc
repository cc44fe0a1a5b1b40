// The f32 instructions, and casts between f32 and shorter types and int32, vectorised.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/dtype_visit.h"
#include "kernels/cpu/pointwise/instructions.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise/vector_loops.cc"
#include <hwy/foreach_target.h>
// After foreach_target, which includes this file again.
#include <hwy/highway.h>

#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace {

using Op = PointwiseOp;
using Mask = hn::Mask<F32>;
// Booleans are bytes of 0 and 1, as many as a vector of f32 has lanes.
using U8 = hn::Rebind<uint8_t, F32>;

constexpr size_t kLanes = HWY_MAX_BYTES / sizeof(float);

HWY_INLINE VF LoadF32(const void* x, size_t i, size_t mask) {
  return hn::LoadU(F32(), static_cast<const float*>(x) + (i & mask));
}
HWY_INLINE Mask MaskOf(hn::Vec<U8> bytes) {
  const VI wide = hn::PromoteTo(I32(), bytes);
  return hn::RebindMask(F32(), hn::Ne(wide, hn::Zero(I32())));
}
HWY_INLINE hn::Vec<U8> BytesOf(Mask mask) {
  const VI ones = hn::And(hn::VecFromMask(I32(), hn::RebindMask(I32(), mask)), hn::Set(I32(), 1));
  return hn::DemoteTo(U8(), ones);
}

// What each op computes. Unary ops ignore y.
template <Op op>
HWY_INLINE VF Compute(VF x, VF y, VF p, VF q) {
  static_cast<void>(y), static_cast<void>(p), static_cast<void>(q);
  const VF zero = hn::Zero(F32());
  const VF one = Splat(1.f);
  if constexpr (op == Op::kAdd) return hn::Add(x, y);
  if constexpr (op == Op::kSub) return hn::Sub(x, y);
  if constexpr (op == Op::kMul) return hn::Mul(x, y);
  if constexpr (op == Op::kDiv) return hn::Div(x, y);
  if constexpr (op == Op::kDivNoNan) return hn::IfThenZeroElse(hn::Eq(y, zero), hn::Div(x, y));
  if constexpr (op == Op::kFloorDiv) return hn::Floor(hn::Div(x, y));
  if constexpr (op == Op::kXdivy) return hn::IfThenZeroElse(hn::Eq(x, zero), hn::Div(x, y));
  if constexpr (op == Op::kXlogy) return hn::IfThenZeroElse(hn::Eq(x, zero), hn::Mul(x, Log(y)));
  // Of equal operands, which zeros of two signs are, the first.
  if constexpr (op == Op::kMin) return hn::IfThenElse(hn::IsNaN(y), y, AtMost(y, x));
  if constexpr (op == Op::kMax) return hn::IfThenElse(hn::IsNaN(y), y, AtLeast(y, x));
  if constexpr (op == Op::kSquaredDifference) {
    const VF difference = hn::Sub(x, y);
    return hn::Mul(difference, difference);
  }
  if constexpr (op == Op::kNeg) return hn::Neg(x);
  if constexpr (op == Op::kAbs) return hn::Abs(x);
  if constexpr (op == Op::kSign) {
    return hn::IfThenElse(hn::Or(hn::Lt(x, zero), hn::Gt(x, zero)), hn::CopySign(one, x), x);
  }
  if constexpr (op == Op::kSquare) return hn::Mul(x, x);
  if constexpr (op == Op::kSqrt) return hn::Sqrt(x);
  if constexpr (op == Op::kRsqrt) return hn::Div(one, hn::Sqrt(x));
  if constexpr (op == Op::kReciprocal) return hn::Div(one, x);
  if constexpr (op == Op::kExp) return Exp(x);
  if constexpr (op == Op::kLog) return Log(x);
  if constexpr (op == Op::kLog1p) return Log1p(x);
  if constexpr (op == Op::kTanh) return Tanh(x);
  if constexpr (op == Op::kErf) return Erf(x);
  if constexpr (op == Op::kFloor) return hn::Floor(x);
  if constexpr (op == Op::kCeil) return hn::Ceil(x);
  if constexpr (op == Op::kRound) return hn::Round(x);
  if constexpr (op == Op::kTrunc) return hn::Trunc(x);
  if constexpr (op == Op::kRelu) return AtLeast(zero, x);
  if constexpr (op == Op::kClamp) return AtMost(q, AtLeast(p, x));
  if constexpr (op == Op::kLeakyRelu) return hn::IfThenElse(hn::Gt(x, zero), x, hn::Mul(p, x));
  if constexpr (op == Op::kElu) {
    return hn::IfThenElse(hn::Gt(x, zero), x, hn::Mul(p, Expm1UpTo80(AtMost(zero, x))));
  }
  if constexpr (op == Op::kSelu) {
    const VF negative = hn::Mul(Splat(1.7580993408473766f), Expm1UpTo80(AtMost(zero, x)));
    return hn::IfThenElse(hn::Gt(x, zero), hn::Mul(Splat(1.0507009873554805f), x), negative);
  }
  if constexpr (op == Op::kSigmoid) return Sigmoid(x);
  if constexpr (op == Op::kSoftplus) return Softplus(x);
  if constexpr (op == Op::kSoftsign) return hn::Div(x, hn::Add(one, hn::Abs(x)));
  if constexpr (op == Op::kHardSwish) {
    const VF gate = AtMost(Splat(6.f), AtLeast(zero, hn::Add(x, Splat(3.f))));
    return hn::Mul(hn::Mul(x, gate), Splat(1.f / 6.f));
  }
  if constexpr (op == Op::kSwish) return hn::Mul(x, Sigmoid(x));
  if constexpr (op == Op::kGelu) return Gelu(x);
  if constexpr (op == Op::kGeluTanh) {
    // Below, the result is nothing but a sign.
    const VF least = AtLeast(Splat(-100.f), x);
    const VF cube = hn::Mul(hn::Mul(least, least), least);
    const VF t = hn::Mul(Splat(1.5957691216057308f), hn::MulAdd(Splat(0.044715f), cube, least));
    return hn::Mul(least, Sigmoid(t));
  }
  __builtin_unreachable();
}

template <Op op>
HWY_INLINE Mask Test(VF x, VF y) {
  static_cast<void>(y);
  const VF infinity = Splat(HUGE_VALF);
  if constexpr (op == Op::kEqual) return hn::Eq(x, y);
  // hn::Ne is false for NaN.
  if constexpr (op == Op::kNotEqual) return hn::Not(hn::Eq(x, y));
  if constexpr (op == Op::kLess) return hn::Lt(x, y);
  if constexpr (op == Op::kLessEqual) return hn::Le(x, y);
  if constexpr (op == Op::kGreater) return hn::Gt(x, y);
  if constexpr (op == Op::kGreaterEqual) return hn::Ge(x, y);
  if constexpr (op == Op::kIsNan) return hn::IsNaN(x);
  if constexpr (op == Op::kIsInf) return hn::Eq(hn::Abs(x), infinity);
  if constexpr (op == Op::kIsFinite) return hn::Lt(hn::Abs(x), infinity);
  __builtin_unreachable();
}

enum class Form { kNone, kCompute, kTest, kSelect };

constexpr Form FormOf(Op op) {
  switch (op) {
    case Op::kConstant:
    case Op::kCast:
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor:
    case Op::kNot:
    // Seldom used and hard to get right to the last bits: the C library's, one by one.
    case Op::kFloorMod:
    case Op::kTruncMod:
    case Op::kPow:
    case Op::kAtan2:
    case Op::kExpm1:
    case Op::kSin:
    case Op::kCos:
    case Op::kTan:
    case Op::kAsin:
    case Op::kAcos:
    case Op::kAtan:
    case Op::kSinh:
    case Op::kCosh:
    case Op::kAsinh:
    case Op::kAcosh:
    case Op::kAtanh:
    case Op::kErfc:
      return Form::kNone;
    case Op::kEqual:
    case Op::kNotEqual:
    case Op::kLess:
    case Op::kLessEqual:
    case Op::kGreater:
    case Op::kGreaterEqual:
    case Op::kIsNan:
    case Op::kIsInf:
    case Op::kIsFinite:
      return Form::kTest;
    case Op::kSelect:
      return Form::kSelect;
    default:
      return Form::kCompute;
  }
}

// Whether an op is so short that the loop around it takes as long as itself.
constexpr bool IsShort(Op op) {
  switch (op) {
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kMin:
    case Op::kMax:
    case Op::kNeg:
    case Op::kAbs:
    case Op::kSquare:
    case Op::kSquaredDifference:
    case Op::kRelu:
    case Op::kClamp:
      return true;
    default:
      return false;
  }
}

// The first part of a block, four vectors a turn, whose uniform operands are read once; gives how
// many elements are done.
template <Op op, bool kVaries0, bool kVaries1>
HWY_INLINE size_t Unrolled(const InstructionBlock& b, VF p, VF q) {
  const F32 d;
  const float* x0 = static_cast<const float*>(b.x[0]);
  const float* x1 = kVaries1 ? static_cast<const float*>(b.x[1]) : x0;
  float* y = static_cast<float*>(b.y);
  const VF uniform0 = kVaries0 ? hn::Zero(d) : hn::LoadU(d, x0);
  const VF uniform1 = kVaries1 || b.x[1] == nullptr ? uniform0 : LoadF32(b.x[1], 0, 0);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + 4 * lanes <= b.count; i += 4 * lanes) {
    VF results[4];
    for (size_t k = 0; k < 4; ++k) {
      const VF operand0 = kVaries0 ? hn::LoadU(d, x0 + i + k * lanes) : uniform0;
      const VF operand1 = kVaries1 ? hn::LoadU(d, x1 + i + k * lanes) : uniform1;
      results[k] = Compute<op>(operand0, operand1, p, q);
    }
    for (size_t k = 0; k < 4; ++k) hn::StoreU(results[k], d, y + i + k * lanes);
  }
  return i;
}

// Operands are read and the result written one vector after the other. The block may end where the
// caller's memory does: the last, partial vector touches its first lanes only.
template <Op op, int kOperands>
void ComputeLoop(const InstructionBlock& b) {
  const F32 d;
  const VF p = Splat(static_cast<float>(b.p));
  const VF q = Splat(static_cast<float>(b.q));
  float* y = static_cast<float*>(b.y);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  if constexpr (IsShort(op) && kOperands == 2) {
    if (b.mask[0] != 0 && b.mask[1] != 0) {
      i = Unrolled<op, true, true>(b, p, q);
    } else if (b.mask[0] != 0) {
      i = Unrolled<op, true, false>(b, p, q);
    } else if (b.mask[1] != 0) {
      i = Unrolled<op, false, true>(b, p, q);
    }
  } else if constexpr (IsShort(op)) {
    if (b.mask[0] != 0) i = Unrolled<op, true, false>(b, p, q);
  }
  for (; i + lanes <= b.count; i += lanes) {
    const VF x0 = LoadF32(b.x[0], i, b.mask[0]);
    VF x1 = x0;
    if constexpr (kOperands == 2) x1 = LoadF32(b.x[1], i, b.mask[1]);
    hn::StoreU(Compute<op>(x0, x1, p, q), d, y + i);
  }
  if (i == b.count) return;
  const auto first = hn::FirstN(d, b.count - i);
  const VF x0 = hn::MaskedLoad(first, d, static_cast<const float*>(b.x[0]) + (i & b.mask[0]));
  VF x1 = x0;
  if constexpr (kOperands == 2) {
    x1 = hn::MaskedLoad(first, d, static_cast<const float*>(b.x[1]) + (i & b.mask[1]));
  }
  hn::BlendedStore(Compute<op>(x0, x1, p, q), first, d, y + i);
}

template <Op op, int kOperands>
void TestLoop(const InstructionBlock& b) {
  const F32 d;
  uint8_t* y = static_cast<uint8_t*>(b.y);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= b.count; i += lanes) {
    const VF x0 = LoadF32(b.x[0], i, b.mask[0]);
    VF x1 = x0;
    if constexpr (kOperands == 2) x1 = LoadF32(b.x[1], i, b.mask[1]);
    hn::StoreU(BytesOf(Test<op>(x0, x1)), U8(), y + i);
  }
  if (i == b.count) return;
  const auto first = hn::FirstN(d, b.count - i);
  const VF x0 = hn::MaskedLoad(first, d, static_cast<const float*>(b.x[0]) + (i & b.mask[0]));
  VF x1 = x0;
  if constexpr (kOperands == 2) {
    x1 = hn::MaskedLoad(first, d, static_cast<const float*>(b.x[1]) + (i & b.mask[1]));
  }
  HWY_ALIGN uint8_t bytes[kLanes];
  hn::StoreU(BytesOf(Test<op>(x0, x1)), U8(), bytes);
  std::memcpy(y + i, bytes, b.count - i);
}

void SelectLoop(const InstructionBlock& b) {
  const F32 d;
  const uint8_t* condition = static_cast<const uint8_t*>(b.x[0]);
  float* y = static_cast<float*>(b.y);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= b.count; i += lanes) {
    const Mask mask = MaskOf(hn::LoadU(U8(), condition + (i & b.mask[0])));
    hn::StoreU(hn::IfThenElse(mask, LoadF32(b.x[1], i, b.mask[1]), LoadF32(b.x[2], i, b.mask[2])),
               d, y + i);
  }
  if (i == b.count) return;
  const auto first = hn::FirstN(d, b.count - i);
  HWY_ALIGN uint8_t bytes[kLanes] = {};
  std::memcpy(bytes, condition + (i & b.mask[0]), b.count - i);
  const VF x1 = hn::MaskedLoad(first, d, static_cast<const float*>(b.x[1]) + (i & b.mask[1]));
  const VF x2 = hn::MaskedLoad(first, d, static_cast<const float*>(b.x[2]) + (i & b.mask[2]));
  hn::BlendedStore(hn::IfThenElse(MaskOf(hn::LoadU(U8(), bytes)), x1, x2), first, d, y + i);
}

// ---- casts between f32 and the 16-bit types

using F16 = hn::Rebind<hwy::float16_t, F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using U32 = hn::RebindToUnsigned<F32>;
using HalfBits = hn::Vec<U16>;

HWY_INLINE VF WidenF16(HalfBits x) { return hn::PromoteTo(F32(), hn::BitCast(F16(), x)); }
HWY_INLINE HalfBits NarrowF16(VF x) { return hn::BitCast(U16(), hn::DemoteTo(F16(), x)); }

HWY_INLINE VF WidenBF16(HalfBits x) {
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), x)));
}
// Highway's own cuts the lower bits off.
HWY_INLINE HalfBits NarrowBF16(VF x) {
  const auto bits = hn::BitCast(U32(), x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(U32(), 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(U32(), 0x7fff)));
  const auto quiet = hn::Or(bits, hn::Set(U32(), 0x400000));
  const auto nan = hn::RebindMask(U32(), hn::IsNaN(x));
  const auto upper = hn::ShiftRight<16>(hn::IfThenElse(nan, quiet, rounded));
  return hn::DemoteTo(U16(), hn::BitCast(I32(), upper));
}

// What f32 is cast to and from: how a T lies in memory, and as many of them as a vector has lanes.
template <class T>
struct Stored {
  using Element = T;
  using D = hn::Rebind<T, F32>;
  static HWY_INLINE VF Widen(hn::Vec<D> v) {
    if constexpr (sizeof(T) == sizeof(float)) {
      return hn::ConvertTo(F32(), v);
    } else {
      return hn::ConvertTo(F32(), hn::PromoteTo(I32(), v));
    }
  }
  // As ScalarLoop's casts: what does not fit into 32 bits is their least integer, and of that the
  // lower bits are taken.
  static HWY_INLINE hn::Vec<D> Narrow(VF x) {
    const VF limit = Splat(2147483648.f);
    const auto fits = hn::And(hn::Ge(x, hn::Neg(limit)), hn::Lt(x, limit));
    const VI whole = hn::IfThenElse(hn::RebindMask(I32(), fits), hn::ConvertTo(I32(), x),
                                    hn::Set(I32(), std::numeric_limits<int32_t>::min()));
    constexpr int kUpper = 32 - 8 * static_cast<int>(sizeof(T));
    if constexpr (kUpper == 0) {
      return whole;
    } else if constexpr (std::is_signed_v<T>) {
      return hn::DemoteTo(D(), hn::ShiftRight<kUpper>(hn::ShiftLeft<kUpper>(whole)));
    } else {
      return hn::DemoteTo(D(), hn::And(whole, hn::Set(I32(), std::numeric_limits<T>::max())));
    }
  }
};
template <>
struct Stored<Float16> {
  using Element = uint16_t;
  using D = U16;
  static HWY_INLINE VF Widen(HalfBits v) { return WidenF16(v); }
  static HWY_INLINE HalfBits Narrow(VF x) { return NarrowF16(x); }
};
template <>
struct Stored<BFloat16> {
  using Element = uint16_t;
  using D = U16;
  static HWY_INLINE VF Widen(HalfBits v) { return WidenBF16(v); }
  static HWY_INLINE HalfBits Narrow(VF x) { return NarrowBF16(x); }
};

template <class T>
void WidenLoop(const InstructionBlock& b) {
  using S = Stored<T>;
  using Element = typename S::Element;
  const Element* x = static_cast<const Element*>(b.x[0]);
  float* y = static_cast<float*>(b.y);
  const F32 d;
  const typename S::D stored;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  // The last, partial vector goes through a whole one: the block may end where memory does.
  for (; i + lanes <= b.count; i += lanes) {
    hn::StoreU(S::Widen(hn::LoadU(stored, x + (i & b.mask[0]))), d, y + i);
  }
  if (i == b.count) return;
  HWY_ALIGN Element rest[kLanes] = {};
  std::memcpy(rest, x + (i & b.mask[0]), (b.count - i) * sizeof(Element));
  hn::BlendedStore(S::Widen(hn::Load(stored, rest)), hn::FirstN(d, b.count - i), d, y + i);
}

template <class T>
void NarrowLoop(const InstructionBlock& b) {
  using S = Stored<T>;
  using Element = typename S::Element;
  Element* y = static_cast<Element*>(b.y);
  const F32 d;
  const typename S::D stored;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= b.count; i += lanes) {
    hn::StoreU(S::Narrow(LoadF32(b.x[0], i, b.mask[0])), stored, y + i);
  }
  if (i == b.count) return;
  const float* x = static_cast<const float*>(b.x[0]) + (i & b.mask[0]);
  HWY_ALIGN Element rest[kLanes];
  hn::Store(S::Narrow(hn::MaskedLoad(hn::FirstN(d, b.count - i), d, x)), stored, rest);
  std::memcpy(y + i, rest, (b.count - i) * sizeof(Element));
}

template <Op op, int kOperands>
constexpr InstructionLoop LoopOf() {
  constexpr Form form = FormOf(op);
  if constexpr (form == Form::kCompute) return ComputeLoop<op, kOperands>;
  if constexpr (form == Form::kTest) return TestLoop<op, kOperands>;
  if constexpr (form == Form::kSelect) return SelectLoop;
  return nullptr;
}

}  // namespace

InstructionLoop F32Loop(PointwiseOp op) {
  static constexpr InstructionLoop kLoops[] = {
#define GRAFT_POINTWISE(id, name, operands, formula) LoopOf<Op::id, operands>(),
#include "base/pointwise.inc"
#undef GRAFT_POINTWISE
  };
  return kLoops[static_cast<int>(op)];
}

InstructionLoop F32CastLoop(DType from, DType to) {
  constexpr auto kTypes = kHalfTypes + TypeSet<int8_t, uint8_t, int16_t, uint16_t, int32_t>{};
  if (to == DType::kFloat32)
    return TryVisitDType(kTypes, from, []<class T>(T) -> InstructionLoop { return WidenLoop<T>; });
  if (from == DType::kFloat32)
    return TryVisitDType(kTypes, to, []<class T>(T) -> InstructionLoop { return NarrowLoop<T>; });
  return nullptr;
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(F32Loop);

InstructionLoop VectorLoop(PointwiseOp op, DType operand) {
  return operand == DType::kFloat32 ? HWY_DYNAMIC_DISPATCH(F32Loop)(op) : nullptr;
}

HWY_EXPORT(F32CastLoop);

InstructionLoop VectorCastLoop(DType from, DType to) {
  return HWY_DYNAMIC_DISPATCH(F32CastLoop)(from, to);
}

}  // namespace graft::cpu
#endif
