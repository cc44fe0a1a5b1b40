// Quantized dtypes: integers that stand for evenly spaced numbers of a range.
#include <algorithm>

#include "import/node_context.h"
#include "ir/range_program.h"

namespace graft::importer {
namespace {

using ir::LargestOf;

// Its registers become values of the module.
class RangeProgram : public ir::RangeProgram {
 public:
  RangeProgram(NodeContext& ctx, ir::ValueId low, ir::ValueId high)
      : ir::RangeProgram(ctx.ValueOf(low).dtype), ctx_(ctx), ends_{low, high} {}

  Accepted<ir::ValueId> Value(int reg, std::string_view part) {
    return ctx_.EmitPointwise(HeadOf(reg), ends_, part);
  }

 private:
  NodeContext& ctx_;
  std::vector<ir::ValueId> ends_;
};

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
      const int rounded = p.Add(
          Op::kMul, RoundAway(p.program(), p.Add(Op::kDiv, RangeProgram::kLow, scale)), scale);
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

// The range that QuantizeV2 makes of the one given, and what numbers within it are multiplied by.
struct QuantizingRange {
  ir::ValueId low = -1;
  ir::ValueId high = -1;
  ir::ValueId scale = -1;
  ir::ValueId lowest = -1;  // MIN_FIRST: what is taken from a number times the scale
};

// In the order in which TensorFlow computes, in single and double precision.
Accepted<QuantizingRange> EmitRange(NodeContext& ctx, const QuantizedRanges& ranges,
                                    const Levels& levels, float least_width) {
  using Op = PointwiseOp;
  RangeProgram p(ctx, ranges.low(), ranges.high());
  // It holds zero and is no point.
  const int zero = p.Constant(0);
  int low = p.Add(Op::kMin, RangeProgram::kLow, zero);
  const int largest =
      p.Add(Op::kMax, p.Add(Op::kAbs, RangeProgram::kLow), p.Add(Op::kAbs, RangeProgram::kHigh));
  const int width =
      p.Add(Op::kMul, p.Add(Op::kMax, largest, p.Constant(1)), p.Constant(least_width));
  int high = p.Add(Op::kMax, RangeProgram::kHigh, p.Add(Op::kAdd, low, width));
  high = p.Add(Op::kMax, high, zero);
  int scale = -1;
  if (ranges.mode() == "SCALED") {
    const auto scale_of = [&](double level, int end) {
      const int level_reg = p.Constant(level);
      const int is_used = p.Ask(Op::kGreater, p.Add(Op::kMul, level_reg, end), zero);
      return p.Select(is_used, p.Add(Op::kDiv, level_reg, end),
                      p.Constant(LargestOf(DType::kFloat32)));
    };
    const double least = ranges.least(levels);
    scale = p.Add(Op::kMin, scale_of(least, low), scale_of(levels.most, high));
    low = p.Add(Op::kDiv, p.Constant(least), scale);
    high = p.Add(Op::kDiv, p.Constant(levels.most), scale);
  } else {
    scale = p.DivideDouble(levels.steps(), p.Add(Op::kSub, high, low));
    if (ranges.mode() == "MIN_FIRST") scale = p.Select(p.Ask(Op::kEqual, low, high), zero, scale);
  }
  QuantizingRange range;
  GRAFT_ASSIGN_OR_RETURN(range.low, p.Value(low, "output_min"));
  GRAFT_ASSIGN_OR_RETURN(range.high, p.Value(high, "output_max"));
  GRAFT_ASSIGN_OR_RETURN(range.scale, p.Value(scale, "scale"));
  if (ranges.mode() != "MIN_FIRST") return range;
  const int lowest = RoundAway(p.program(), p.Add(Op::kMul, low, scale));
  GRAFT_ASSIGN_OR_RETURN(range.lowest,
                         p.Value(p.Add(Op::kSub, lowest, p.Constant(levels.least)), "lowest"));
  return range;
}

// Of x, the scale and the lowest.
PointwiseProgram MinFirstProgram(const Levels& levels) {
  using Op = PointwiseOp;
  constexpr DType kType = DType::kFloat32;
  // The largest float that an int32 can hold.
  const double most = std::min(levels.most, 2147483520.0);
  PointwiseProgram y{.inputs = 3};
  const int x = y.Add(Op::kSub, kType, RoundAway(y, y.Add(Op::kMul, kType, 0, 1)), 2);
  y.Add(Op::kClamp, kType, x, -1, -1, levels.least, most);
  return y;
}

// Of x, the scale, and the ends of the range.
PointwiseProgram ClampingProgram(const Levels& levels, bool is_scaled, bool to_even) {
  using Op = PointwiseOp;
  constexpr DType kType = DType::kFloat32;
  PointwiseProgram y{.inputs = 4};
  const auto constant = [&](double v) { return y.Add(Op::kConstant, kType, -1, -1, -1, v); };
  int x = y.Add(Op::kMax, kType, y.Add(Op::kMin, kType, 0, 3), 2);
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
  WrapAround(y, x, levels);
  return y;
}

}  // namespace

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
  GRAFT_ASSIGN_OR_RETURN(const QuantizingRange range, EmitRange(ctx, ranges, levels, least_width));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(1, range.low));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(2, range.high));

  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scales, ranges.Spread(range.scale, "scales"));
  std::vector<ir::ValueId> operands = {ctx.operand(0), scales};
  PointwiseProgram y;
  if (ranges.mode() == "MIN_FIRST") {
    operands.push_back(range.lowest);
    y = MinFirstProgram(levels);
  } else {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId lows, ranges.Spread(range.low, "lows"));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId highs, ranges.Spread(range.high, "highs"));
    operands.insert(operands.end(), {lows, highs});
    y = ClampingProgram(levels, is_scaled, to_even);
  }
  y.Add(PointwiseOp::kCast, storage, y.result());
  return ctx.Output(ctx.EmitPointwise(std::move(y), std::move(operands)));
}

}  // namespace graft::importer
