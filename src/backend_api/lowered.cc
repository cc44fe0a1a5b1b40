#include "backend_api/lowered.h"

#include <limits>
#include <utility>

#include "base/dtype_visit.h"
#include "ir/range_program.h"

namespace graft {
namespace {

using ir::RangeProgram;
using Op = PointwiseOp;

class Lowering {
 public:
  Lowering(ir::Module& module, const ir::Node& node) : module_(module), node_(node) {}

  Result<ir::ValueId> Emit() {
    if (const auto* a = node_.get<ir::QuantizeAttributes>()) return Quantize(*a);
    if (const auto* a = node_.get<ir::DequantizeAttributes>()) return Dequantize(*a);
    const auto* a = node_.get<ir::FakeQuantizeAttributes>();
    if (a == nullptr) return InternalError("{} has no lowered form", ir::Name(node_.kind()));
    return a->arithmetic == ir::FakeQuantizeArithmetic::kScaled ? Scaled(*a) : Nudged(*a);
  }

 private:
  const ir::Value& operand(int i) const { return module_.value(node_.inputs[i]); }

  Result<ir::ValueId> Emit(ir::Attributes attributes, std::vector<ir::ValueId> operands,
                           std::string_view part) {
    std::string name = part.empty() ? node_.name : fmt::format("{}/{}", node_.name, part);
    GRAFT_ASSIGN_OR_RETURN(
        const ir::NodeId id,
        module_.AddNode(std::move(attributes), std::move(operands), std::move(name)));
    return module_.node(id).outputs[0];
  }
  Result<ir::ValueId> Pointwise(PointwiseProgram program, std::vector<ir::ValueId> operands,
                                std::string_view part = "") {
    return Emit(ir::PointwiseAttributes{std::move(program)}, std::move(operands), part);
  }

  // Operand i, one number or one for each index along the axis, in a shape that broadcasts to x's.
  Result<ir::ValueId> Spread(int i, int64_t axis, std::string_view part) {
    ir::Shape shape;
    if (axis >= 0) {
      shape.assign(operand(0).shape.size(), 1);
      shape[axis] = operand(0).shape[axis];
    }
    // The last axis is where broadcasting puts a vector anyway.
    const bool is_last = axis >= 0 && axis + 1 == static_cast<int64_t>(shape.size());
    const ir::Shape& own = operand(i).shape;
    if (own == shape || (is_last && own == ir::Shape{shape.back()})) return node_.inputs[i];
    return Emit(ir::ReshapeAttributes{std::move(shape)}, {node_.inputs[i]}, part);
  }

  // A program over the ends of a range whose registers become values.
  struct Range {
    Lowering& lowering;
    std::vector<ir::ValueId> ends;
    RangeProgram program;
    Result<ir::ValueId> Value(int reg, std::string_view part) {
      return lowering.Pointwise(program.HeadOf(reg), ends, part);
    }
  };

  Result<ir::ValueId> Quantize(const ir::QuantizeAttributes& a) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale, Spread(1, a.axis, "scale"));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId zero, Spread(2, a.axis, "zero"));
    constexpr DType kType = DType::kFloat32;
    double least = 0;
    double most = 0;
    TryVisitDType(kIntegerTypes, a.dtype, [&]<class T>(T) {
      least = static_cast<double>(std::numeric_limits<T>::min());
      most = static_cast<double>(std::numeric_limits<T>::max());
    });
    PointwiseProgram y{.inputs = 3};
    int x = operand(0).dtype == kType ? 0 : y.Add(Op::kCast, kType, 0);
    x = y.Add(Op::kRound, kType, y.Add(Op::kMul, kType, x, 1));
    x = y.Add(Op::kAdd, kType, x, y.Add(Op::kCast, kType, 2));
    const int low = y.Add(Op::kConstant, kType, -1, -1, -1, least);
    // Not so for NaN.
    const int is_above = y.Add(Op::kGreaterEqual, DType::kBool, x, low);
    x = y.Add(Op::kSelect, kType, is_above, x, low);
    x = y.Add(Op::kClamp, kType, x, -1, -1, least, most);
    y.Add(Op::kCast, a.dtype, x);
    return Pointwise(std::move(y), {node_.inputs[0], scale, zero});
  }

  Result<ir::ValueId> Dequantize(const ir::DequantizeAttributes& a) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale, Spread(1, a.axis, "scale"));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId zero, Spread(2, a.axis, "zero"));
    constexpr DType kWide = DType::kInt32;
    PointwiseProgram y{.inputs = 3};
    const bool is_wide = operand(0).dtype == kWide;
    const int q = is_wide ? 0 : y.Add(Op::kCast, kWide, 0);
    const int z = is_wide ? 2 : y.Add(Op::kCast, kWide, 2);
    const int x = y.Add(Op::kCast, DType::kFloat32, y.Add(Op::kSub, kWide, q, z));
    y.Add(Op::kMul, DType::kFloat32, x, 1);
    return Pointwise(std::move(y), {node_.inputs[0], scale, zero});
  }

  // An end of the range: what the node gives, or that of the data.
  Result<ir::ValueId> End(const ir::FakeQuantizeAttributes& a, int i) {
    const std::string part = fmt::format("range_{}", i);
    if (a.range_given) return Spread(i, a.axis, part);
    ir::ReduceAttributes end{.kind = i == 1 ? ir::ReduceKind::kMin : ir::ReduceKind::kMax,
                             .keep_dims = a.axis >= 0};
    for (int64_t axis = 0; axis < static_cast<int64_t>(operand(0).shape.size()); ++axis) {
      if (axis != a.axis) end.axes.push_back(axis);
    }
    return Emit(std::move(end), {node_.inputs[0]}, part);
  }

  // QuantizeAndDequantize: round(clamp(x, min, max) * scale) / scale, where the range grows so that
  // both of its ends fit. A range of the data needs no clamp. In the order in which TensorFlow
  // computes: the constants must be its own, bit for bit.
  Result<ir::ValueId> Scaled(const ir::FakeQuantizeAttributes& a) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low, End(a, 1));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high, End(a, 2));
    const DType dtype = operand(0).dtype;
    const auto levels = static_cast<double>(int64_t{1} << (a.is_signed ? a.bits - 1 : a.bits));
    Range range{*this, {low, high}, RangeProgram(dtype)};
    RangeProgram& p = range.program;
    const int least = p.Constant(a.is_signed ? (a.narrow_range ? 1 - levels : -levels) : 0);
    const int most = p.Constant(levels - 1);
    const int zero = p.Constant(0);
    const int none = p.Constant(ir::LargestOf(dtype));
    auto scale_of = [&](int quantized, int end) {
      const int is_used = p.Ask(Op::kGreater, p.Add(Op::kMul, quantized, end), zero);
      return p.Select(is_used, p.Add(Op::kDiv, quantized, end), none);
    };
    const int scale_of_low = scale_of(least, RangeProgram::kLow);
    const int scale_of_high = scale_of(most, RangeProgram::kHigh);
    const int by_low = p.Ask(Op::kLess, scale_of_low, scale_of_high);
    const int scale = p.Select(by_low, scale_of_low, scale_of_high);
    const int inverse = p.Select(by_low, p.Add(Op::kDiv, RangeProgram::kLow, least),
                                 p.Add(Op::kDiv, RangeProgram::kHigh, most));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale_value, range.Value(scale, "scale"));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId inverse_value, range.Value(inverse, "inverse"));
    std::vector<ir::ValueId> operands = {node_.inputs[0], scale_value, inverse_value};
    PointwiseProgram y{.inputs = a.range_given ? 5 : 3};
    int x = 0;
    if (a.range_given) {
      const int least_end = p.Select(by_low, RangeProgram::kLow, p.Add(Op::kMul, least, inverse));
      GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low_value, range.Value(least_end, "low"));
      const int most_end = p.Select(by_low, p.Add(Op::kMul, most, inverse), RangeProgram::kHigh);
      GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high_value, range.Value(most_end, "high"));
      operands.insert(operands.end(), {low_value, high_value});
      x = y.Add(Op::kMax, dtype, y.Add(Op::kMin, dtype, 0, 4), 3);
    }
    x = y.Add(Op::kMul, dtype, x, 1);
    if (a.rounding == ir::Rounding::kHalfUp) {
      const int half = y.Add(Op::kConstant, dtype, -1, -1, -1, 0.5);
      x = y.Add(Op::kFloor, dtype, y.Add(Op::kAdd, dtype, x, half));
    } else {
      x = y.Add(Op::kRound, dtype, x);
    }
    y.Add(Op::kMul, dtype, x, 2);
    return Pointwise(std::move(y), std::move(operands));
  }

  // Whether min and max may both be zero: a range of nothing.
  bool MayBeEmpty() const {
    const std::optional<Tensor>& low = operand(1).constant;
    const std::optional<Tensor>& high = operand(2).constant;
    if (!low || !high) return true;
    for (int64_t i = 0; i < low->elements(); ++i) {
      if (low->data<float>()[i] == 0 && high->data<float>()[i] == 0) return true;
    }
    return false;
  }

  // FakeQuant: round(shift / scale) · scale with the range moved so that zero is one of the values.
  // All in the order in which TensorFlow computes, which decides where halves go.
  Result<ir::ValueId> Nudged(const ir::FakeQuantizeAttributes& a) {
    const bool divides = a.arithmetic == ir::FakeQuantizeArithmetic::kNudgedDividing;
    const double least = a.narrow_range ? 1 : 0;
    const auto most = static_cast<double>((int64_t{1} << a.bits) - 1);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low, Spread(1, a.axis, "min"));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high, Spread(2, a.axis, "max"));
    constexpr DType kType = DType::kFloat32;
    Range range{*this, {low, high}, RangeProgram(kType)};
    RangeProgram& p = range.program;
    const int zero = p.Constant(0);
    const int one = p.Constant(1);
    const int half = p.Constant(0.5);
    const int least_reg = p.Constant(least);
    const int most_reg = p.Constant(most);
    const int steps = p.Constant(most - least);
    // A range of nothing gives zeros.
    const int is_empty = p.Ask(Op::kAnd, p.Ask(Op::kEqual, RangeProgram::kLow, zero),
                               p.Ask(Op::kEqual, RangeProgram::kHigh, zero));
    const int width = p.Add(Op::kSub, RangeProgram::kHigh, RangeProgram::kLow);
    const int scale = p.Add(Op::kDiv, width, steps);
    const int inverse = p.Add(Op::kDiv, steps, width);
    // The value that stands for zero, rounded with halves up.
    const int exact = p.Add(Op::kSub, least_reg, p.Add(Op::kDiv, RangeProgram::kLow, scale));
    const int floor = p.Add(Op::kFloor, exact);
    const int is_up = p.Ask(Op::kGreaterEqual, p.Add(Op::kSub, exact, floor), half);
    const int rounded = p.Select(is_up, p.Add(Op::kAdd, floor, one), floor);
    const int point = p.Add(Op::kMin, p.Add(Op::kMax, rounded, least_reg), most_reg);
    const int nudged_low = p.Add(Op::kMul, p.Add(Op::kSub, least_reg, point), scale);
    const int nudged_high = p.Add(Op::kMul, p.Add(Op::kSub, most_reg, point), scale);
    const int shift = p.Add(
        Op::kFloor, p.Add(Op::kAdd, p.Add(Op::kMul, p.Add(Op::kNeg, nudged_low), inverse), half));
    std::vector<ir::ValueId> operands = {node_.inputs[0]};
    const std::pair<int, std::string_view> parts[] = {
        {p.Select(is_empty, zero, nudged_low), "low"},
        {p.Select(is_empty, zero, nudged_high), "high"},
        {p.Select(is_empty, one, scale), "scale"},
        {p.Select(is_empty, one, divides ? scale : inverse), "factor"},
        {p.Select(is_empty, zero, shift), "zero"}};
    for (const auto& [reg, part] : parts) {
      GRAFT_ASSIGN_OR_RETURN(const ir::ValueId value, range.Value(reg, part));
      operands.push_back(value);
    }
    // x, low, high, scale, factor, shift
    PointwiseProgram y{.inputs = 6};
    const int clamped = y.Add(Op::kMax, kType, y.Add(Op::kMin, kType, 0, 2), 1);
    const int offset = y.Add(Op::kSub, kType, clamped, 1);
    const int scaled = y.Add(divides ? Op::kDiv : Op::kMul, kType, offset, 4);
    const int shifted = y.Add(Op::kSub, kType, scaled, 5);
    const int upward = y.Add(Op::kConstant, kType, -1, -1, -1, 0.5);
    const int whole = y.Add(Op::kFloor, kType, y.Add(Op::kAdd, kType, shifted, upward));
    const int result = y.Add(Op::kMul, kType, whole, 3);
    if (MayBeEmpty()) {  // zeros, even of NaN
      // Any other single number has no shift.
      const int is_point = y.Add(Op::kEqual, DType::kBool, 1, 2);
      const int has_shift = y.Add(Op::kEqual, DType::kBool, 5, 5);
      const int is_nothing = y.Add(Op::kAnd, DType::kBool, is_point, has_shift);
      const int nothing = y.Add(Op::kConstant, kType, -1, -1, -1, 0);
      y.Add(Op::kSelect, kType, is_nothing, nothing, result);
    }
    return Pointwise(std::move(y), std::move(operands));
  }

  ir::Module& module_;
  const ir::Node node_;  // a copy: the module's nodes move when it grows
};

}  // namespace

bool CanLower(const ir::Node& node) {
  return node.kind() == ir::OpKind::kQuantize || node.kind() == ir::OpKind::kDequantize ||
         node.kind() == ir::OpKind::kFakeQuantize;
}

Result<ir::ValueId> EmitLowered(ir::Module& module, const ir::Node& node) {
  return Lowering(module, node).Emit();
}

}  // namespace graft
