// Quantisation: integers of a few bits that stand for evenly spaced numbers of a range, and tensors
// that are rounded to such numbers.
#include <limits>

#include "base/dtype_visit.h"
#include "import/node_context.h"

namespace graft::importer {
namespace {

// A program over the two ends of a range (registers 0 and 1), one of whose registers after another
// becomes a value. Where the ends are constant, so are all of these.
class RangeProgram {
 public:
  RangeProgram(NodeContext& ctx, ir::ValueId low, ir::ValueId high)
      : ctx_(ctx), operands_{low, high}, dtype_(ctx.ValueOf(low).dtype) {}

  static constexpr int kLow = 0;
  static constexpr int kHigh = 1;
  int Constant(double v) { return program_.Add(PointwiseOp::kConstant, dtype_, -1, -1, -1, v); }
  int Add(PointwiseOp op, int x, int y = -1) { return program_.Add(op, dtype_, x, y); }
  // x / y in double precision, of which one is a constant.
  int DivideDouble(int x, double y) { return InDouble(x, y, false); }
  int DivideDouble(double x, int y) { return InDouble(y, x, true); }
  int Ask(PointwiseOp op, int x, int y) { return program_.Add(op, DType::kBool, x, y); }
  int Select(int condition, int x, int y) {
    return program_.Add(PointwiseOp::kSelect, dtype_, condition, x, y);
  }
  Accepted<ir::ValueId> Value(int reg, std::string_view part) {
    PointwiseProgram head = program_;
    head.instructions.resize(reg - head.inputs + 1);
    return ctx_.EmitPointwise(std::move(head), operands_, part);
  }

 private:
  int InDouble(int reg, double constant, bool constant_first) {
    constexpr DType kDouble = DType::kFloat64;
    int x = program_.Add(PointwiseOp::kCast, kDouble, reg);
    int y = program_.Add(PointwiseOp::kConstant, kDouble, -1, -1, -1, constant);
    if (constant_first) std::swap(x, y);
    return program_.Add(PointwiseOp::kCast, dtype_, program_.Add(PointwiseOp::kDiv, kDouble, x, y));
  }

  NodeContext& ctx_;
  std::vector<ir::ValueId> operands_;
  DType dtype_;
  PointwiseProgram program_{.inputs = 2};
};

double LargestOf(DType dtype) {
  return TryVisitDType(kFloatTypes, dtype,
                       []<class T>(T) { return double{std::numeric_limits<T>::max()}; });
}

// ---- FakeQuant

// round(shift / scale) · scale with the range moved so that zero is one of the values. All in the
// order in which TensorFlow computes, which decides where halves go.
Outcome EmitFakeQuant(NodeContext& ctx, ir::ValueId low, ir::ValueId high, bool divides) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t bits, ctx.Attr<int64_t>("num_bits"));
  GRAFT_ASSIGN_OR_RETURN(const bool narrow_range, ctx.Attr<bool>("narrow_range"));
  if (bits < 2 || bits > 16) return Refuse("num_bits {}", bits);
  const double least = narrow_range ? 1 : 0;
  const auto most = static_cast<double>((int64_t{1} << bits) - 1);
  using Op = PointwiseOp;
  RangeProgram p(ctx, low, high);
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
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low_value,
                         p.Value(p.Select(is_empty, zero, nudged_low), "low"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high_value,
                         p.Value(p.Select(is_empty, zero, nudged_high), "high"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale_value,
                         p.Value(p.Select(is_empty, one, scale), "scale"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId factor,
                         p.Value(p.Select(is_empty, one, divides ? scale : inverse), "factor"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId shift_value,
                         p.Value(p.Select(is_empty, zero, shift), "zero"));
  // x, low, high, scale, factor, shift
  constexpr DType kType = DType::kFloat32;
  PointwiseProgram y{.inputs = 6};
  const int clamped = y.Add(Op::kMax, kType, y.Add(Op::kMin, kType, 0, 2), 1);
  const int offset = y.Add(Op::kSub, kType, clamped, 1);
  const int scaled = y.Add(divides ? Op::kDiv : Op::kMul, kType, offset, 4);
  const int shifted = y.Add(Op::kSub, kType, scaled, 5);
  const int upward = y.Add(Op::kConstant, kType, -1, -1, -1, 0.5);
  const int whole = y.Add(Op::kFloor, kType, y.Add(Op::kAdd, kType, shifted, upward));
  y.Add(Op::kMul, kType, whole, 3);
  return ctx.Output(ctx.EmitPointwise(
      std::move(y), {ctx.operand(0), low_value, high_value, scale_value, factor, shift_value}));
}

// ---- QuantizeAndDequantize

struct Quantizer {
  bool is_signed = true;
  bool narrow_range = false;
  bool range_given = false;
  bool half_up = false;
  int64_t bits = 8;
  int64_t axis = -1;  // that of the ranges; -1: one range for all

  bool HasBits() const { return bits >= 1 && bits <= (is_signed ? 61 : 62); }
};

Accepted<Quantizer> ReadQuantizer(const NodeContext& ctx) {
  const bool is_v3 = ctx.node().op == "QuantizeAndDequantizeV3";
  Quantizer q;
  GRAFT_ASSIGN_OR_RETURN(q.range_given, ctx.Attr<bool>("range_given"));
  GRAFT_ASSIGN_OR_RETURN(q.is_signed, ctx.Attr<bool>("signed_input"));
  if (ctx.node().op == "QuantizeAndDequantize") {
    GRAFT_ASSIGN_OR_RETURN(q.bits, ctx.Attr<int64_t>("num_bits"));
    if (!q.HasBits()) return Refuse("num_bits {}", q.bits);
    return q;
  }
  GRAFT_ASSIGN_OR_RETURN(q.narrow_range, ctx.Attr<bool>("narrow_range"));
  GRAFT_ASSIGN_OR_RETURN(q.axis, ctx.Attr<int64_t>("axis"));
  GRAFT_ASSIGN_OR_RETURN(q.bits, is_v3 ? ctx.Integer(3) : ctx.Attr<int64_t>("num_bits"));
  if (!is_v3) {
    GRAFT_ASSIGN_OR_RETURN(const std::string mode, ctx.Attr<std::string>("round_mode"));
    if (mode != "HALF_TO_EVEN" && mode != "HALF_UP")
      return Refuse("round_mode {} is not supported", mode);
    q.half_up = mode == "HALF_UP";
  }
  if (!q.HasBits()) return Refuse("num_bits {}", q.bits);
  if (q.axis < -1 || q.axis >= ctx.rank(0))
    return Refuse("axis {} of rank {}", q.axis, ctx.rank(0));
  return q;
}

// The end of the range that operand i gives, or else that of the data, to broadcast to the input.
Accepted<ir::ValueId> RangeEnd(NodeContext& ctx, const Quantizer& q, int i) {
  if (q.range_given && ctx.operand_count() == 1) {  // the first version has attributes
    GRAFT_ASSIGN_OR_RETURN(const float end, ctx.Attr<float>(i == 1 ? "input_min" : "input_max"));
    return ctx.Scalar(end, ctx.dtype(0), fmt::format("range_{}", i));
  }
  ir::Shape shape;
  if (q.axis >= 0) {
    shape.assign(ctx.rank(0), 1);
    shape[q.axis] = ctx.shape(0)[q.axis];
  }
  if (q.range_given) {
    if (ctx.rank(i) != (q.axis < 0 ? 0 : 1) && ctx.shape(i) != ir::Shape{1})
      return Refuse("{} {} with axis {}", ctx.OperandName(i), ToString(ctx.shape(i)), q.axis);
    return ctx.Reshape(ctx.operand(i), std::move(shape), fmt::format("range_{}", i));
  }
  ir::ReduceAttributes end{.kind = i == 1 ? ir::ReduceKind::kMin : ir::ReduceKind::kMax,
                           .keep_dims = q.axis >= 0};
  for (int64_t axis = 0; axis < ctx.rank(0); ++axis) {
    if (axis != q.axis) end.axes.push_back(axis);
  }
  return ctx.Emit(std::move(end), {ctx.operand(0)}, fmt::format("range_{}", i));
}

// ---- Quantized dtypes

// The integers of a dtype.
struct Levels {
  double least;
  double most;
  double steps() const { return most - least; }
};

Levels LevelsOf(DType storage) {
  return TryVisitDType(kIntegerTypes, storage, []<class T>(T) {
    return Levels{static_cast<double>(std::numeric_limits<T>::min()),
                  static_cast<double>(std::numeric_limits<T>::max())};
  });
}

// What Dequantize and QuantizeV2 say of their ranges: operands 1 and 2 hold their ends.
class QuantizedRanges {
 public:
  static Accepted<QuantizedRanges> Read(NodeContext& ctx) {
    QuantizedRanges r(ctx);
    GRAFT_ASSIGN_OR_RETURN(r.mode_, ctx.Attr<std::string>("mode"));
    GRAFT_ASSIGN_OR_RETURN(r.axis_, ctx.Attr<int64_t>("axis"));
    GRAFT_ASSIGN_OR_RETURN(r.narrow_range_, ctx.Attr<bool>("narrow_range"));
    if (r.mode_ != "MIN_COMBINED" && r.mode_ != "MIN_FIRST" && r.mode_ != "SCALED")
      return Refuse("mode {} is not supported", r.mode_);
    if (r.axis_ < -1 || r.axis_ >= ctx.rank(0))
      return Refuse("axis {} of rank {}", r.axis_, ctx.rank(0));
    GRAFT_RETURN_IF_REFUSED(r.FindCount());
    GRAFT_ASSIGN_OR_RETURN(r.low_, ctx.Reshape(ctx.operand(1), r.shape(), "low"));
    GRAFT_ASSIGN_OR_RETURN(r.high_, ctx.Reshape(ctx.operand(2), r.shape(), "high"));
    return r;
  }

  const std::string& mode() const { return mode_; }
  ir::ValueId low() const { return low_; }
  ir::ValueId high() const { return high_; }
  // Of a scale: min_range's and max_range's integers.
  double least(const Levels& levels) const { return levels.least + (narrow_range_ ? 1 : 0); }
  bool is_one() const { return count_ == ir::Dim(1); }
  // One range is a scalar, even along an axis.
  ir::Shape shape() const { return is_one() ? ir::Shape{} : ir::Shape{count_}; }
  // A value of the ranges' shape, to broadcast to the input.
  Accepted<ir::ValueId> Spread(ir::ValueId x, std::string_view part) const {
    if (is_one()) return x;
    ir::Shape shape(ctx_->rank(0), 1);
    shape[axis_] = count_;
    return ctx_->Reshape(x, std::move(shape), part);
  }

 private:
  explicit QuantizedRanges(NodeContext& ctx) : ctx_(&ctx) {}

  Outcome FindCount() {
    if (axis_ >= 0) count_ = ctx_->shape(0)[axis_];
    for (int i : {1, 2}) {
      const ir::Shape& shape = ctx_->shape(i);
      const std::optional<Dims> dims = ir::ConstantDims(shape);
      const bool is_vector = shape.size() == 1;
      // The ranges know how many there are where the input does not.
      if (is_vector && !count_.is_constant() && shape[0].is_constant()) count_ = shape[0];
      const bool fits =
          count_.is_constant() && dims ? CountElements(*dims) == *count_.constant() : is_vector;
      if (!fits) return Refuse("{} {} with axis {}", ctx_->OperandName(i), ToString(shape), axis_);
    }
    // One range along an axis gives results of another rank than several.
    if (!count_.is_constant())
      return Refuse("axis {} of input {}: how many ranges there are must be known", axis_,
                    ToString(ctx_->shape(0)));
    if (mode_ == "MIN_FIRST" && !is_one())
      return Refuse("mode MIN_FIRST with {} ranges", *count_.constant());
    return kAccepted;
  }

  NodeContext* ctx_;
  std::string mode_;
  int64_t axis_ = -1;
  bool narrow_range_ = false;
  ir::Dim count_ = 1;
  ir::ValueId low_ = -1;
  ir::ValueId high_ = -1;
};

// Halves away from zero. Adding a bit less than a half leaves what is a bit less than a half below
// one.
constexpr double kAlmostHalf = 0x1.fffffep-2;
int RoundAway(RangeProgram& p, int x) {
  return p.Add(PointwiseOp::kTrunc, p.Add(PointwiseOp::kAdd, x,
                                          p.Add(PointwiseOp::kMul, p.Add(PointwiseOp::kSign, x),
                                                p.Constant(kAlmostHalf))));
}
int RoundAway(PointwiseProgram& p, int x) {
  using Op = PointwiseOp;
  constexpr DType kType = DType::kFloat32;
  const int half = p.Add(Op::kConstant, kType, -1, -1, -1, kAlmostHalf);
  const int step = p.Add(Op::kMul, kType, p.Add(Op::kSign, kType, x), half);
  return p.Add(Op::kTrunc, kType, p.Add(Op::kAdd, kType, x, step));
}

// Processors make the least int32 of a float that is too large for one, and floats near 2^31 are
// that far apart that all of them are.
int WrapAround(PointwiseProgram& p, int x, const Levels& levels) {
  using Op = PointwiseOp;
  constexpr DType kType = DType::kFloat32;
  if (RoundTo(kType, levels.most) == levels.most) return x;
  const int above = p.Add(Op::kConstant, kType, -1, -1, -1, levels.most + 1);
  const int fits = p.Add(Op::kLess, DType::kBool, x, above);
  const int least = p.Add(Op::kConstant, kType, -1, -1, -1, levels.least);
  return p.Add(Op::kSelect, kType, fits, x, least);
}

// y = (x + shift) · scale + offset
struct Line {
  double shift = 0;
  ir::ValueId scale = -1;
  std::optional<ir::ValueId> offset;
};

Accepted<Line> DequantizingLine(NodeContext& ctx, const QuantizedRanges& ranges) {
  using Op = PointwiseOp;
  const Levels levels = LevelsOf(ctx.dtype(0));
  RangeProgram p(ctx, ranges.low(), ranges.high());
  Line line;
  int scale = -1;
  int offset = -1;
  if (ranges.mode() == "SCALED") {
    scale = p.Add(Op::kDiv, RangeProgram::kHigh, p.Constant(levels.most));
    if (levels.least < 0) {
      const int by_low = p.Add(Op::kDiv, RangeProgram::kLow, p.Constant(ranges.least(levels)));
      scale = p.Add(Op::kMax, by_low, scale);
    }
  } else {
    const int width = p.Add(Op::kSub, RangeProgram::kHigh, RangeProgram::kLow);
    if (ranges.mode() == "MIN_COMBINED") {
      if (levels.least < 0) line.shift = (levels.steps() + 1) / 2;
      scale =
          p.Add(Op::kDiv, width, p.Constant(RoundTo(DType::kFloat32, levels.most) - levels.least));
      offset = RangeProgram::kLow;
    } else {
      scale = p.DivideDouble(width, levels.steps());
      const int rounded =
          p.Add(Op::kMul, RoundAway(p, p.Add(Op::kDiv, RangeProgram::kLow, scale)), scale);
      const int is_point = p.Ask(Op::kEqual, RangeProgram::kLow, RangeProgram::kHigh);
      const int low = p.Select(is_point, RangeProgram::kLow, rounded);
      offset = p.Add(Op::kSub, low, p.Add(Op::kMul, p.Constant(levels.least), scale));
    }
  }
  GRAFT_ASSIGN_OR_RETURN(line.scale, p.Value(scale, "scale"));
  GRAFT_ASSIGN_OR_RETURN(line.scale, ranges.Spread(line.scale, "scales"));
  if (offset < 0) return line;
  ir::ValueId end = ranges.low();
  if (offset != RangeProgram::kLow) {
    GRAFT_ASSIGN_OR_RETURN(end, p.Value(offset, "offset"));
  }
  GRAFT_ASSIGN_OR_RETURN(line.offset, ranges.Spread(end, "offsets"));
  return line;
}

// The range that QuantizeV2 makes of the one given, so that it holds zero and is no point.
struct WidenedRange {
  int low;
  int high;
};
WidenedRange Widen(RangeProgram& p, float least_width) {
  using Op = PointwiseOp;
  const int zero = p.Constant(0);
  const int low = p.Add(Op::kMin, RangeProgram::kLow, zero);
  const int largest =
      p.Add(Op::kMax, p.Add(Op::kAbs, RangeProgram::kLow), p.Add(Op::kAbs, RangeProgram::kHigh));
  const int width =
      p.Add(Op::kMul, p.Add(Op::kMax, largest, p.Constant(1)), p.Constant(least_width));
  const int high = p.Add(Op::kMax, RangeProgram::kHigh, p.Add(Op::kAdd, low, width));
  return {low, p.Add(Op::kMax, high, zero)};
}

}  // namespace

Outcome ImportFakeQuantArgs(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const float low, ctx.Attr<float>("min"));
  GRAFT_ASSIGN_OR_RETURN(const float high, ctx.Attr<float>("max"));
  if (!(low < high)) return Refuse("the range [{}, {}]", low, high);
  return EmitFakeQuant(ctx, ctx.AddConstant(Tensor::Scalar(low), "min"),
                       ctx.AddConstant(Tensor::Scalar(high), "max"), false);
}

// inputs, min, max; scalars, or vectors over the last axis
Outcome ImportFakeQuantVars(NodeContext& ctx) {
  const bool per_channel = ctx.node().op == "FakeQuantWithMinMaxVarsPerChannel";
  for (int i : {1, 2}) {
    bool fits = ctx.rank(i) == (per_channel ? 1 : 0);
    if (fits && per_channel) {
      fits = ctx.rank(0) > 0;
      if (fits && ctx.shape(i)[0].is_constant() && ctx.shape(0).back().is_constant())
        fits = ctx.shape(i)[0] == ctx.shape(0).back();
    }
    if (!fits) {
      return Refuse("{} {} for input {}", ctx.OperandName(i), ToString(ctx.shape(i)),
                    ToString(ctx.shape(0)));
    }
  }
  return EmitFakeQuant(ctx, ctx.operand(1), ctx.operand(2), !per_channel);
}

// input, input_min, input_max, (num_bits: V3): round(clamp(x, min, max) * scale) / scale, where the
// range grows so that both of its ends fit. A range of the data needs no clamp.
Outcome ImportQuantizeAndDequantize(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const Quantizer q, ReadQuantizer(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low, RangeEnd(ctx, q, 1));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high, RangeEnd(ctx, q, 2));
  const DType dtype = ctx.dtype(0);
  const auto levels = static_cast<double>(int64_t{1} << (q.is_signed ? q.bits - 1 : q.bits));
  using Op = PointwiseOp;
  // In the order in which TensorFlow computes: the constants must be its own, bit for bit.
  RangeProgram p(ctx, low, high);
  const int least = p.Constant(q.is_signed ? (q.narrow_range ? 1 - levels : -levels) : 0);
  const int most = p.Constant(levels - 1);
  const int zero = p.Constant(0);
  const int none = p.Constant(LargestOf(dtype));
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
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale_value, p.Value(scale, "scale"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId inverse_value, p.Value(inverse, "inverse"));
  std::vector<ir::ValueId> operands = {ctx.operand(0), scale_value, inverse_value};
  PointwiseProgram y{.inputs = q.range_given ? 5 : 3};
  int x = 0;
  if (q.range_given) {
    const int least_end = p.Select(by_low, RangeProgram::kLow, p.Add(Op::kMul, least, inverse));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low_value, p.Value(least_end, "low"));
    const int most_end = p.Select(by_low, p.Add(Op::kMul, most, inverse), RangeProgram::kHigh);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high_value, p.Value(most_end, "high"));
    operands.insert(operands.end(), {low_value, high_value});
    x = y.Add(Op::kMax, dtype, y.Add(Op::kMin, dtype, 0, 4), 3);
  }
  x = y.Add(Op::kMul, dtype, x, 1);
  if (q.half_up) {
    const int half = y.Add(Op::kConstant, dtype, -1, -1, -1, 0.5);
    x = y.Add(Op::kFloor, dtype, y.Add(Op::kAdd, dtype, x, half));
  } else {
    x = y.Add(Op::kRound, dtype, x);
  }
  y.Add(Op::kMul, dtype, x, 2);
  return ctx.Output(ctx.EmitPointwise(std::move(y), std::move(operands)));
}

// input, min_range, max_range
Outcome ImportDequantize(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const DType quantized, ctx.Attr<DType>("T"));
  GRAFT_ASSIGN_OR_RETURN(const DType to, ctx.Attr<DType>("dtype"));
  if (!IsQuantized(quantized)) return Refuse("{} is not quantized", TensorFlowName(quantized));
  GRAFT_ASSIGN_OR_RETURN(const QuantizedRanges ranges, QuantizedRanges::Read(ctx));
  if (to != DType::kFloat32 && (to != DType::kBFloat16 || ranges.mode() != "MIN_COMBINED"))
    return Refuse("mode {} of dtype {}", ranges.mode(), TensorFlowName(to));
  GRAFT_ASSIGN_OR_RETURN(const Line line, DequantizingLine(ctx, ranges));
  using Op = PointwiseOp;
  constexpr DType kType = DType::kFloat32;
  std::vector<ir::ValueId> operands = {ctx.operand(0), line.scale};
  if (line.offset) operands.push_back(*line.offset);
  PointwiseProgram y{.inputs = static_cast<int>(operands.size())};
  int x = y.Add(Op::kCast, kType, 0);
  // TensorFlow's integers pass through floats on their way when there is one range.
  if (ranges.mode() == "SCALED" && ranges.is_one()) x = WrapAround(y, x, LevelsOf(ctx.dtype(0)));
  if (line.shift != 0)
    x = y.Add(Op::kAdd, kType, x, y.Add(Op::kConstant, kType, -1, -1, -1, line.shift));
  x = y.Add(Op::kMul, kType, x, 1);
  if (line.offset) x = y.Add(Op::kAdd, kType, x, 2);
  if (to != kType) y.Add(Op::kCast, to, x);
  return ctx.Output(ctx.EmitPointwise(std::move(y), std::move(operands)));
}

// input, min_range, max_range: output, output_min, output_max
Outcome ImportQuantize(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const DType quantized, ctx.Attr<DType>("T"));
  GRAFT_ASSIGN_OR_RETURN(const std::string round_mode, ctx.Attr<std::string>("round_mode"));
  GRAFT_ASSIGN_OR_RETURN(const float least_width, ctx.Attr<float>("ensure_minimum_range"));
  if (!IsQuantized(quantized)) return Refuse("{} is not quantized", TensorFlowName(quantized));
  GRAFT_ASSIGN_OR_RETURN(const QuantizedRanges ranges, QuantizedRanges::Read(ctx));
  const bool is_scaled = ranges.mode() == "SCALED";
  const bool to_even = round_mode == "HALF_TO_EVEN";
  if (to_even ? !is_scaled : round_mode != "HALF_AWAY_FROM_ZERO")
    return Refuse("round_mode {} with mode {}", round_mode, ranges.mode());
  const DType storage = StorageOf(quantized);
  const Levels levels = LevelsOf(storage);
  using Op = PointwiseOp;

  // In the order in which TensorFlow computes, in single and double precision.
  RangeProgram p(ctx, ranges.low(), ranges.high());
  auto [low, high] = Widen(p, least_width);
  int scale = -1;
  if (is_scaled) {
    const auto scale_of = [&](double level, int end) {
      const int level_reg = p.Constant(level);
      const int is_used = p.Ask(Op::kGreater, p.Add(Op::kMul, level_reg, end), p.Constant(0));
      return p.Select(is_used, p.Add(Op::kDiv, level_reg, end),
                      p.Constant(LargestOf(DType::kFloat32)));
    };
    const double least = ranges.least(levels);
    scale = p.Add(Op::kMin, scale_of(least, low), scale_of(levels.most, high));
    low = p.Add(Op::kDiv, p.Constant(least), scale);
    high = p.Add(Op::kDiv, p.Constant(levels.most), scale);
  } else {
    scale = p.DivideDouble(levels.steps(), p.Add(Op::kSub, high, low));
    if (ranges.mode() == "MIN_FIRST")
      scale = p.Select(p.Ask(Op::kEqual, low, high), p.Constant(0), scale);
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId low_value, p.Value(low, "output_min"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId high_value, p.Value(high, "output_max"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scale_value, p.Value(scale, "scale"));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(1, low_value));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(2, high_value));

  constexpr DType kType = DType::kFloat32;
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scales, ranges.Spread(scale_value, "scales"));
  std::vector<ir::ValueId> operands = {ctx.operand(0), scales};
  PointwiseProgram y;
  const auto constant = [&](double v) { return y.Add(Op::kConstant, kType, -1, -1, -1, v); };
  int x = 0;
  if (ranges.mode() == "MIN_FIRST") {
    const int lowest =
        p.Add(Op::kSub, RoundAway(p, p.Add(Op::kMul, low, scale)), p.Constant(levels.least));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId lowest_value, p.Value(lowest, "lowest"));
    operands.push_back(lowest_value);
    y.inputs = 3;
    x = y.Add(Op::kSub, kType, RoundAway(y, y.Add(Op::kMul, kType, 0, 1)), 2);
    // The largest float that an int32 can hold.
    x = y.Add(Op::kMax, kType, x, constant(levels.least));
    x = y.Add(Op::kMin, kType, x, constant(std::min(levels.most, 2147483520.0)));
  } else {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId lows, ranges.Spread(low_value, "lows"));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId highs, ranges.Spread(high_value, "highs"));
    operands.insert(operands.end(), {lows, highs});
    y.inputs = 4;
    x = y.Add(Op::kMax, kType, y.Add(Op::kMin, kType, 0, 3), 2);
    if (!is_scaled) x = y.Add(Op::kSub, kType, x, 2);
    x = y.Add(Op::kMul, kType, x, 1);
    if (to_even) {
      x = y.Add(Op::kRound, kType, x);
    } else if (is_scaled) {
      x = RoundAway(y, x);
    } else if (levels.least < 0) {
      x = RoundAway(y, y.Add(Op::kSub, kType, x, constant((levels.steps() + 1) / 2)));
    } else {
      x = y.Add(Op::kAdd, kType, x, constant(0.5));  // the cast truncates
    }
    x = WrapAround(y, x, levels);
  }
  y.Add(Op::kCast, storage, x);
  return ctx.Output(ctx.EmitPointwise(std::move(y), std::move(operands)));
}

}  // namespace graft::importer
