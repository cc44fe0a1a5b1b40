// Vector forms of exp, log, tanh, erf and what is made of them, in f32: within 3 ulp, correct for
// NaN, infinities and zeros. Compiled once for each instruction set, so it has a guard of its own.
#if defined(GRAFT_KERNELS_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_KERNELS_CPU_MATH_INL_H_
#undef GRAFT_KERNELS_CPU_MATH_INL_H_
#else
#define GRAFT_KERNELS_CPU_MATH_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using VF = hn::Vec<F32>;
using VI = hn::Vec<I32>;

HWY_INLINE VF Splat(float value) { return hn::Set(F32(), value); }

// The processor's minimum and maximum return their second operand when either is NaN: with the
// bound first, NaN passes through.
HWY_INLINE VF AtLeast(VF bound, VF x) { return hn::Max(bound, x); }
HWY_INLINE VF AtMost(VF bound, VF x) { return hn::Min(bound, x); }

HWY_INLINE VF Horner(VF x, VF a) { return static_cast<void>(x), a; }
// ((a·x + b)·x + c)…
template <class... Rest>
HWY_INLINE VF Horner(VF x, VF a, float b, Rest... rest) {
  return Horner(x, hn::MulAdd(a, x, Splat(b)), rest...);
}

// 2^n for n in [-126, 127].
HWY_INLINE VF PowerOfTwo(VI n) {
  return hn::BitCast(F32(), hn::ShiftLeft<23>(hn::Add(n, hn::Set(I32(), 127))));
}

// x = n·ln 2 + r with |r| <= ln 2 / 2; `tail` is e^r - 1.
struct ExpParts {
  VI n;
  VF tail;
};
HWY_INLINE ExpParts SplitExp(VF x) {
  const VF n = hn::Round(hn::Mul(x, Splat(1.44269504088896341f)));
  // ln 2 in two parts: n times the first is exact.
  VF r = hn::NegMulAdd(n, Splat(0.693359375f), x);
  r = hn::NegMulAdd(n, Splat(-2.12194440e-4f), r);
  const VF q = Horner(r, Splat(1.9875691500e-4f), 1.3981999507e-3f, 8.3334519073e-3f,
                      4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f);
  return {hn::ConvertTo(I32(), n), hn::MulAdd(hn::Mul(q, r), r, r)};
}

HWY_INLINE VF Exp(VF x) {
  x = AtMost(Splat(89.f), AtLeast(Splat(-104.f), x));
  const ExpParts parts = SplitExp(x);
  // Two factors: 2^n alone leaves the range before the result does.
  const VI half = hn::ShiftRight<1>(parts.n);
  const VF y = hn::Mul(hn::Add(parts.tail, Splat(1.f)), PowerOfTwo(half));
  return hn::Mul(y, PowerOfTwo(hn::Sub(parts.n, half)));
}

// e^x - 1 for x <= 80, without cancellation near 0.
HWY_INLINE VF Expm1UpTo80(VF x) {
  const ExpParts parts = SplitExp(AtLeast(Splat(-60.f), x));
  const VF scale = PowerOfTwo(parts.n);
  return hn::MulAdd(parts.tail, scale, hn::Sub(scale, Splat(1.f)));
}

HWY_INLINE VF Log(VF x) {
  const VF zero = hn::Zero(F32());
  const auto denormal = hn::Lt(x, Splat(1.17549435e-38f));
  const VI bits = hn::BitCast(I32(), hn::IfThenElse(denormal, hn::Mul(x, Splat(8388608.f)), x));
  // x = m · 2^e with m in [√½, √2): adding the difference of 1 and √½ to the bits carries into the
  // exponent exactly when the mantissa is above √2.
  const VI shifted = hn::Add(bits, hn::Set(I32(), 0x3f800000 - 0x3f3504f3));
  const VI exponent = hn::Sub(hn::ShiftRight<23>(shifted), hn::Set(I32(), 127));
  const VI mantissa =
      hn::Add(hn::And(shifted, hn::Set(I32(), 0x007fffff)), hn::Set(I32(), 0x3f3504f3));
  const VF e = hn::Sub(hn::ConvertTo(F32(), exponent), hn::IfThenElseZero(denormal, Splat(23.f)));
  const VF m = hn::Sub(hn::BitCast(F32(), mantissa), Splat(1.f));
  const VF square = hn::Mul(m, m);
  const VF q = Horner(m, Splat(7.0376836292e-2f), -1.1514610310e-1f, 1.1676998740e-1f,
                      -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f, 2.0000714765e-1f,
                      -2.4999993993e-1f, 3.3333331174e-1f);
  VF y = hn::Mul(hn::Mul(q, m), square);
  y = hn::MulAdd(e, Splat(-2.12194440e-4f), y);
  y = hn::NegMulAdd(square, Splat(0.5f), y);
  y = hn::MulAdd(e, Splat(0.693359375f), hn::Add(m, y));
  const VF infinity = Splat(HUGE_VALF);
  y = hn::IfThenElse(hn::Eq(x, infinity), infinity, y);
  y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), y);
  // Below zero, and NaN itself.
  return hn::IfThenElse(hn::Ge(x, zero), y, Splat(NAN));
}

HWY_INLINE VF Log1p(VF x) {
  const VF one = Splat(1.f);
  const VF u = hn::Add(one, x);
  // What 1 + x lost to rounding comes back through the derivative.
  const VF lost = hn::Div(hn::Sub(x, hn::Sub(u, one)), u);
  const VF y = Log(u);
  const auto finite = hn::And(hn::Ne(u, hn::Zero(F32())), hn::Lt(u, Splat(HUGE_VALF)));
  return hn::IfThenElse(finite, hn::Add(y, lost), y);
}

HWY_INLINE VF Tanh(VF x) {
  // tanh 10 rounds to 1.
  const VF t = AtMost(Splat(10.f), hn::Abs(x));
  const VF e = Expm1UpTo80(hn::Add(t, t));
  return hn::CopySignToAbs(hn::Div(e, hn::Add(e, Splat(2.f))), x);
}

HWY_INLINE VF Sigmoid(VF x) {
  const VF one = Splat(1.f);
  return hn::Div(one, hn::Add(one, Exp(hn::Neg(x))));
}

HWY_INLINE VF Erf(VF x) {
  const VF t = hn::Abs(x);
  const VF s = hn::Mul(x, x);
  const VF small = hn::MulAdd(Horner(s, Splat(-5.96761703e-4f), 4.99119423e-3f, -2.67681349e-2f,
                                     1.12819925e-1f, -3.76125336e-1f, 1.28379166e-1f),
                              x, x);
  // erf 4 rounds to 1; beyond, the polynomial would turn back.
  const VF c = AtMost(Splat(4.f), t);
  const VF q = Horner(c, Splat(-1.72853470e-5f), 3.83197126e-4f, -3.88396438e-3f, 2.42546219e-2f,
                      -1.06777877e-1f, -6.34846687e-1f, -1.28717512e-1f);
  const VF large = hn::Sub(Splat(1.f), Exp(hn::MulAdd(q, c, hn::Neg(c))));
  return hn::IfThenElse(hn::Gt(t, Splat(0.927734375f)), hn::CopySignToAbs(large, x), small);
}

// x/2 · erfc(-x/√2), the tail with relative accuracy: with z = |x|/√2, erfc z = e^(-z²) · t · q(t)
// for t = 1/(1 + z/2), q of least relative error on z in [0, 10]. e^(-x²/2) is taken of the whole
// square, its rounding error in a factor of its own: z² loses what matters far out.
HWY_INLINE VF Gelu(VF x) {
  const VF bound = AtMost(Splat(14.f), hn::Abs(x));
  const VF t = hn::Div(Splat(1.f), hn::MulAdd(bound, Splat(0.35355339059327376f), Splat(1.f)));
  const VF q = Horner(t, Splat(-0.0590700338f), 0.284580037f, -0.487210021f, 0.27807825f,
                      -0.0266329281f, 0.202689765f, 0.24310308f, 0.282375395f, 0.282086413f);
  const VF square = hn::Mul(bound, bound);
  const VF lost = hn::MulSub(bound, bound, square);
  const VF power = Exp(hn::Mul(square, Splat(-0.5f)));
  const VF corrected = hn::NegMulAdd(hn::Mul(lost, Splat(0.5f)), power, power);
  const VF tail = hn::Mul(hn::Mul(hn::Mul(t, q), corrected), hn::Mul(bound, Splat(0.5f)));
  // x/2 · (2 - erfc) = x - tail, and -tail; a comparison with NaN fails.
  return hn::IfThenElse(hn::Lt(x, hn::Zero(F32())), hn::Neg(tail), hn::Sub(x, tail));
}

HWY_INLINE VF Softplus(VF x) {
  return hn::Add(AtLeast(hn::Zero(F32()), x), Log1p(Exp(hn::Neg(hn::Abs(x)))));
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // guard
