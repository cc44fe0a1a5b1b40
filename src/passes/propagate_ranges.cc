// Bounds of the elements of values, by interval arithmetic in the order of the nodes. They hold for
// the elements that are numbers, up to the rounding of sums: NaN lies outside of all bounds.
#include <algorithm>
#include <cmath>
#include <limits>

#include "passes/expression.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Range {
  double low = -kInfinity;
  double high = kInfinity;
};

// Bounds are kept in single precision, rounded outwards.
float RoundDown(double v) {
  const float rounded = static_cast<float>(v);
  return rounded <= v ? rounded : std::nextafterf(rounded, -HUGE_VALF);
}

Range Hull(const Range& a, const Range& b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}
Range Intersection(const Range& a, const Range& b) {
  return {std::max(a.low, b.low), std::min(a.high, b.high)};
}

// Infinity times zero is an element times zero: zero.
double Times(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

Range Multiply(const Range& a, const Range& b) {
  const auto [low, high] = std::minmax(
      {Times(a.low, b.low), Times(a.low, b.high), Times(a.high, b.low), Times(a.high, b.high)});
  return {low, high};
}

// Of instructions that never fall when their operand rises, and of such that have fixed bounds.
Range Unary(const PointwiseInstruction& in, const Range& x) {
  auto rising = [&](auto f) { return Range{f(x.low), f(x.high)}; };
  switch (in.op) {
    case PointwiseOp::kRelu:
      return rising([](double v) { return std::max(v, 0.0); });
    case PointwiseOp::kClamp:
      return rising([&](double v) { return std::min(std::max(v, in.p), in.q); });
    case PointwiseOp::kFloor:
      return rising([](double v) { return std::floor(v); });
    case PointwiseOp::kCeil:
      return rising([](double v) { return std::ceil(v); });
    case PointwiseOp::kNeg:
      return {-x.high, -x.low};
    case PointwiseOp::kAbs:
    case PointwiseOp::kSquare: {
      const double largest = std::max(std::abs(x.low), std::abs(x.high));
      const double least =
          x.low <= 0 && x.high >= 0 ? 0 : std::min(std::abs(x.low), std::abs(x.high));
      return in.op == PointwiseOp::kAbs ? Range{least, largest}
                                        : Range{least * least, largest * largest};
    }
    case PointwiseOp::kSqrt:
    case PointwiseOp::kRsqrt:
    case PointwiseOp::kExp:
    case PointwiseOp::kSoftplus:
      return {0, kInfinity};
    case PointwiseOp::kSigmoid:
      return {0, 1};
    case PointwiseOp::kTanh:
    case PointwiseOp::kErf:
    case PointwiseOp::kSin:
    case PointwiseOp::kCos:
    case PointwiseOp::kSoftsign:
      return {-1, 1};
    default:
      return {};
  }
}

Range Evaluate(const PointwiseInstruction& in, std::span<const Range> r) {
  // Integers wrap around; the result of a comparison has no order that matters.
  if (!IsFloating(in.dtype)) return {};
  auto x = [&](int i) -> const Range& { return r[in.operands[i]]; };
  switch (in.op) {
    case PointwiseOp::kConstant:
      return std::isnan(in.p) ? Range() : Range{in.p, in.p};
    case PointwiseOp::kAdd:
      return {x(0).low + x(1).low, x(0).high + x(1).high};
    case PointwiseOp::kSub:
      return {x(0).low - x(1).high, x(0).high - x(1).low};
    case PointwiseOp::kMul:
      return Multiply(x(0), x(1));
    case PointwiseOp::kMin:
      return {std::min(x(0).low, x(1).low), std::min(x(0).high, x(1).high)};
    case PointwiseOp::kMax:
      return {std::max(x(0).low, x(1).low), std::max(x(0).high, x(1).high)};
    case PointwiseOp::kSelect:
      return Hull(x(1), x(2));
    default:
      return OperandCount(in.op) == 1 ? Unary(in, x(0)) : Range();
  }
}

class Propagator {
 public:
  explicit Propagator(ir::Module& module) : module_(module) {}

  bool Run() {
    for (ir::ValueId id = 0; id < module_.value_count(); ++id) {
      if (module_.value(id).constant) Narrow(id, OfConstant(*module_.value(id).constant));
    }
    for (ir::NodeId id = 0; id < module_.node_count(); ++id) {
      if (module_.removed(id) || module_.node(id).outputs.empty()) continue;
      Narrow(module_.node(id).outputs[0], OfNode(module_.node(id)));
    }
    return changed_;
  }

 private:
  Range Of(ir::ValueId id) const {
    if (id == kOwnResult) return {};
    return {module_.value(id).low, module_.value(id).high};
  }

  // Large constants are weights, whose range nobody asks for.
  static Range OfConstant(const Tensor& tensor) {
    constexpr int64_t kMaxElements = 1 << 14;
    if (tensor.dtype() != DType::kFloat32 || tensor.elements() == 0 ||
        tensor.elements() > kMaxElements) {
      return {};
    }
    const auto [low, high] = std::ranges::minmax(tensor.data<float>());
    const bool finite =
        std::ranges::all_of(tensor.data<float>(), [](float v) { return std::isfinite(v); });
    return finite ? Range{low, high} : Range();
  }

  Range OfExpression(const Expression& e) const {
    std::vector<Range> registers;
    for (ir::ValueId id : e.operands) registers.push_back(Of(id));
    for (const PointwiseInstruction& in : e.program.instructions) {
      const Range range = Evaluate(in, registers);
      // Sums of opposite infinities say nothing.
      registers.push_back({std::isnan(range.low) ? -kInfinity : range.low,
                           std::isnan(range.high) ? kInfinity : range.high});
    }
    return e.program.empty() ? registers.at(0) : registers.back();
  }

  Range OfNode(const ir::Node& node) const {
    if (!IsFloating(module_.value(node.outputs[0]).dtype)) return {};
    if (node.get<ir::PointwiseAttributes>() || Epilogue(node)) {
      return OfExpression(ExpressionOf(node));
    }
    switch (node.kind()) {
      case ir::OpKind::kSoftmax:
        return node.get<ir::SoftmaxAttributes>()->log ? Range{-kInfinity, 0} : Range{0, 1};
      case ir::OpKind::kPad:
        return OfPad(*node.get<ir::PadAttributes>(), Of(node.inputs[0]));
      case ir::OpKind::kConcat: {
        Range range = Of(node.inputs[0]);
        for (ir::ValueId id : node.inputs) range = Hull(range, Of(id));
        return range;
      }
      case ir::OpKind::kReduce: {
        const ir::ReduceKind kind = node.get<ir::ReduceAttributes>()->kind;
        const bool within = kind == ir::ReduceKind::kMean || kind == ir::ReduceKind::kMax ||
                            kind == ir::ReduceKind::kMin;
        return within && !Empty(node.inputs[0]) ? Of(node.inputs[0]) : Range();
      }
      case ir::OpKind::kPool:
        return Hull(Of(node.inputs[0]), node.get<ir::PoolAttributes>()->count_padding
                                            ? Range{0, 0}
                                            : Of(node.inputs[0]));
      case ir::OpKind::kReshape:
      case ir::OpKind::kTranspose:
      case ir::OpKind::kSlice:
      case ir::OpKind::kBroadcast:
      case ir::OpKind::kTile:
      case ir::OpKind::kResize:
      case ir::OpKind::kDepthToSpace:
      case ir::OpKind::kTopK:
        return Of(node.inputs[0]);
      default:
        return {};
    }
  }

  static Range OfPad(const ir::PadAttributes& pad, const Range& x) {
    return pad.mode == ir::PadMode::kConstant ? Hull(x, {pad.value, pad.value}) : x;
  }

  // Whether a reduction of the value may be one of no elements.
  bool Empty(ir::ValueId id) const {
    return std::ranges::any_of(module_.value(id).shape, [](const ir::Dim& d) { return d == 0; });
  }

  void Narrow(ir::ValueId id, const Range& found) {
    ir::Value& value = module_.value(id);
    if (!IsFloating(value.dtype)) return;
    const Range range = Intersection({value.low, value.high}, found);
    if (!(range.low <= range.high)) return;
    const float new_low = RoundDown(range.low);
    const float new_high = -RoundDown(-range.high);
    changed_ |= new_low > value.low || new_high < value.high;
    value.low = std::max(value.low, new_low);
    value.high = std::min(value.high, new_high);
  }

  ir::Module& module_;
  bool changed_ = false;
};

}  // namespace

Result<bool> PropagateRanges(ir::Module& module, PassContext&) { return Propagator(module).Run(); }

}  // namespace graft::passes
