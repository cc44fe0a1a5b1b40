#include "kernels/cpu/pointwise/requantize.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise/requantize.cc"
#include <hwy/foreach_target.h>
// After foreach_target, which includes this file again.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using I8 = hn::Rebind<int8_t, F32>;
constexpr int64_t kLanes = hn::MaxLanes(F32());

// One vector; bias, multiplier and residual are at its column.
template <bool kResidual>
HWY_INLINE hn::Vec<I8> OfVector(const Requantization& r, const int32_t* sums, const int32_t* bias,
                                const float* multiplier, const int8_t* residual) {
  const F32 d;
  const I32 i;
  auto sum = hn::LoadU(i, sums);
  if (bias != nullptr) sum = hn::Add(sum, hn::LoadU(i, bias));
  auto x = hn::Mul(hn::ConvertTo(d, sum), hn::LoadU(d, multiplier));
  if constexpr (kResidual) {
    const auto wide = hn::ConvertTo(d, hn::PromoteTo(i, hn::LoadU(I8(), residual)));
    x = hn::Add(x, hn::Mul(wide, hn::Set(d, r.residual_multiplier)));
  }
  // Bounds that are integers may come before the rounding: what lies between rounds between.
  x = hn::Min(hn::Max(x, hn::Set(d, r.low)), hn::Set(d, r.high));
  return hn::DemoteTo(I8(), hn::NearestInt(x));
}

template <bool kResidual>
void Rows(const Requantization& r, int64_t rows, int64_t columns, const int32_t* sums,
          int64_t sums_stride, int8_t* output, int64_t output_stride) {
  const int8_t* residual = r.residual;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) {
      const int32_t* bias = r.bias != nullptr ? r.bias + c : nullptr;
      hn::StoreU(OfVector<kResidual>(r, sums + c, bias, r.multiplier + c, residual + c), I8(),
                 output + c);
    }
    if (c < columns) {
      const auto left = static_cast<size_t>(columns - c);
      HWY_ALIGN int32_t rest_sums[kLanes] = {};
      HWY_ALIGN int32_t rest_bias[kLanes] = {};
      HWY_ALIGN float rest_multiplier[kLanes] = {};
      HWY_ALIGN int8_t rest_residual[kLanes] = {};
      HWY_ALIGN int8_t rest[kLanes];
      std::memcpy(rest_sums, sums + c, left * sizeof(int32_t));
      if (r.bias != nullptr) std::memcpy(rest_bias, r.bias + c, left * sizeof(int32_t));
      std::memcpy(rest_multiplier, r.multiplier + c, left * sizeof(float));
      if (kResidual) std::memcpy(rest_residual, residual + c, left);
      hn::StoreU(OfVector<kResidual>(r, rest_sums, rest_bias, rest_multiplier, rest_residual), I8(),
                 rest);
      std::memcpy(output + c, rest, left);
    }
    sums += sums_stride;
    output += output_stride;
    residual += r.residual_stride;
  }
}

}  // namespace

void RequantizeRows(const Requantization& r, int64_t rows, int64_t columns, const int32_t* sums,
                    int64_t sums_stride, int8_t* output, int64_t output_stride) {
  if (r.residual != nullptr) {
    Rows<true>(r, rows, columns, sums, sums_stride, output, output_stride);
  } else {
    Rows<false>(r, rows, columns, sums, sums_stride, output, output_stride);
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(RequantizeRows);

void Requantize(const Requantization& r, int64_t rows, int64_t columns, const int32_t* sums,
                int64_t sums_stride, int8_t* output, int64_t output_stride) {
  HWY_DYNAMIC_DISPATCH(RequantizeRows)(r, rows, columns, sums, sums_stride, output, output_stride);
}

namespace {

// Reads a program from its end.
class Matcher {
 public:
  Matcher(const PointwiseProgram& program, std::span<const DType> inputs)
      : program_(program), inputs_(inputs) {}

  std::optional<RequantizingProgram> Match() {
    RequantizingProgram found;
    int r = program_.result();
    if (!Operand(PointwiseOp::kCast, DType::kInt8, &r)) return std::nullopt;
    const auto* clamp = Instruction(PointwiseOp::kClamp, DType::kFloat32, r);
    if (clamp == nullptr) return std::nullopt;
    found.low = static_cast<float>(clamp->p);
    found.high = static_cast<float>(clamp->q);
    const bool integral = IsByte(clamp->p) && IsByte(clamp->q) && clamp->p <= clamp->q;
    r = clamp->operands[0];
    if (!integral || !Operand(PointwiseOp::kRound, DType::kFloat32, &r)) return std::nullopt;
    if (const auto* add = Instruction(PointwiseOp::kAdd, DType::kFloat32, r)) {
      const auto [a, b] = std::pair(add->operands[0], add->operands[1]);
      const bool matches = (MatchSum(a, &found) && MatchResidual(b, &found)) ||
                           (MatchSum(b, &found) && MatchResidual(a, &found));
      if (!matches) return std::nullopt;
    } else if (!MatchSum(r, &found)) {
      return std::nullopt;
    }
    return found;
  }

 private:
  static bool IsByte(double v) { return v >= -128 && v <= 127 && v == static_cast<int>(v); }
  bool IsInput(int r, DType dtype) const {
    return r > 0 && r < program_.inputs && inputs_[r] == dtype;
  }
  const PointwiseInstruction* Instruction(PointwiseOp op, DType dtype, int r) const {
    if (r < program_.inputs) return nullptr;
    const PointwiseInstruction& in = program_.instructions[r - program_.inputs];
    return in.op == op && in.dtype == dtype ? &in : nullptr;
  }
  bool Operand(PointwiseOp op, DType dtype, int* r) const {
    const PointwiseInstruction* in = Instruction(op, dtype, *r);
    if (in != nullptr) *r = in->operands[0];
    return in != nullptr;
  }
  // float(sum + bias) · m
  bool MatchSum(int r, RequantizingProgram* found) const {
    const auto* mul = Instruction(PointwiseOp::kMul, DType::kFloat32, r);
    if (mul == nullptr) return false;
    for (const int first : {0, 1}) {
      int sum = mul->operands[first];
      const int m = mul->operands[1 - first];
      if (!IsInput(m, DType::kFloat32) || !Operand(PointwiseOp::kCast, DType::kFloat32, &sum))
        continue;
      found->multiplier = m;
      found->bias = -1;
      if (sum == 0) return inputs_[0] == DType::kInt32;
      const auto* add = Instruction(PointwiseOp::kAdd, DType::kInt32, sum);
      if (add == nullptr) return false;
      const int own = add->operands[0] == 0 ? 0 : 1;
      found->bias = add->operands[1 - own];
      return add->operands[own] == 0 && IsInput(found->bias, DType::kInt32);
    }
    return false;
  }
  // float(r) · constant
  bool MatchResidual(int r, RequantizingProgram* found) const {
    const auto* mul = Instruction(PointwiseOp::kMul, DType::kFloat32, r);
    if (mul == nullptr) return false;
    for (const int first : {0, 1}) {
      int residual = mul->operands[first];
      const auto* m =
          Instruction(PointwiseOp::kConstant, DType::kFloat32, mul->operands[1 - first]);
      if (m == nullptr || !Operand(PointwiseOp::kCast, DType::kFloat32, &residual)) continue;
      found->residual = residual;
      found->residual_multiplier = static_cast<float>(m->p);
      return IsInput(residual, DType::kInt8);
    }
    return false;
  }

  const PointwiseProgram& program_;
  const std::span<const DType> inputs_;
};

}  // namespace

std::optional<RequantizingProgram> MatchRequantization(const PointwiseProgram& program,
                                                       std::span<const DType> inputs) {
  if (program.empty()) return std::nullopt;
  return Matcher(program, inputs).Match();
}

}  // namespace graft::cpu
#endif
