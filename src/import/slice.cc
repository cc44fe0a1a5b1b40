// Parts of a tensor: Slice, StridedSlice, Split, Unpack, Reverse.
#include <algorithm>

#include "import/node_context.h"

namespace graft::importer {
namespace {

// A slice that takes everything, to be narrowed axis by axis.
ir::SliceAttributes Everything(const ir::Shape& shape) {
  return {.begin = ir::Shape(shape.size(), 0),
          .size = shape,
          .strides = std::vector<int64_t>(shape.size(), 1)};
}

Accepted<ir::ValueId> EmitSlice(NodeContext& ctx, ir::ValueId x, ir::SliceAttributes slice,
                                std::string_view part = "") {
  const ir::Shape& shape = ctx.ValueOf(x).shape;
  const ir::SliceAttributes all = Everything(shape);
  if (slice.begin == all.begin && slice.size == all.size && slice.strides == all.strides) return x;
  return ctx.Emit(std::move(slice), {x}, part);
}

// An index that counts from the end when it is negative: index < 0 ? index + size : index. What the
// sign is may depend on the shapes.
ir::Dim FromStart(const NodeContext& ctx, const ir::Dim& index, const ir::Dim& size) {
  if (index.is_constant()) return *index.constant() < 0 ? size + index : index;
  if (ctx.NonNegative(index)) return index;
  const ir::Dim is_negative = ir::Dim(0) - Max(Min(index, 0), -1);  // 1 or 0
  return index + size * is_negative;
}

ir::Dim Clamp(const ir::Dim& x, const ir::Dim& low, const ir::Dim& high) {
  return Max(Min(x, high), low);
}

// One axis of a strided slice; nullopt bounds are masked out.
struct Range {
  std::optional<ir::Dim> begin, end;
  int64_t stride = 1;
};

void Narrow(const NodeContext& ctx, const Range& range, const ir::Dim& axis_size, size_t axis,
            ir::SliceAttributes* slice) {
  const int64_t stride = range.stride;
  // Backwards, an index may stop at -1, before the first element.
  const ir::Dim low = stride > 0 ? 0 : -1;
  const ir::Dim high = stride > 0 ? axis_size : axis_size - 1;
  auto clamped = [&](const std::optional<ir::Dim>& bound, const ir::Dim& masked) {
    return bound ? Clamp(FromStart(ctx, *bound, axis_size), low, high) : masked;
  };
  const ir::Dim begin = clamped(range.begin, stride > 0 ? low : high);
  const ir::Dim end = clamped(range.end, stride > 0 ? high : low);
  const ir::Dim span = stride > 0 ? end - begin : begin - end;
  const ir::Dim size = CeilDiv(span, std::abs(stride));
  // A bound at the axis's own limit cannot cross the other one.
  const bool ordered = stride > 0 ? (begin == 0 || end == axis_size)
                                  : (begin == axis_size - 1 || end == ir::Dim(-1));
  slice->begin[axis] = begin;
  slice->size[axis] = ordered ? size : Max(size, 0);
  slice->strides[axis] = stride;
}

// The masks of StridedSlice: bit i speaks of entry i of begin, end and strides.
struct Masks {
  int64_t begin, end, ellipsis, new_axis, shrink;
};

Accepted<Masks> ReadMasks(const NodeContext& ctx) {
  Masks m;
  GRAFT_ASSIGN_OR_RETURN(m.begin, ctx.Attr<int64_t>("begin_mask"));
  GRAFT_ASSIGN_OR_RETURN(m.end, ctx.Attr<int64_t>("end_mask"));
  GRAFT_ASSIGN_OR_RETURN(m.ellipsis, ctx.Attr<int64_t>("ellipsis_mask"));
  GRAFT_ASSIGN_OR_RETURN(m.new_axis, ctx.Attr<int64_t>("new_axis_mask"));
  GRAFT_ASSIGN_OR_RETURN(m.shrink, ctx.Attr<int64_t>("shrink_axis_mask"));
  if ((m.ellipsis & (m.ellipsis - 1)) != 0) return Refuse("more than one ellipsis");
  return m;
}

bool Bit(int64_t mask, size_t i) { return i < 63 && ((mask >> i) & 1) != 0; }

Outcome SplitInto(NodeContext& ctx, int operand, int64_t axis, const std::vector<ir::Dim>& sizes) {
  ir::Dim begin = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    ir::SliceAttributes slice = Everything(ctx.shape(operand));
    slice.begin[axis] = begin;
    slice.size[axis] = sizes[i];
    begin += sizes[i];
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y,
                           EmitSlice(ctx, ctx.operand(operand), std::move(slice)));
    GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(static_cast<int>(i), y));
  }
  return kAccepted;
}

// `count` equal parts of an axis.
Accepted<std::vector<ir::Dim>> EqualParts(const ir::Dim& size, int64_t count) {
  if (count < 1) return Refuse("{} parts", count);
  if (size.is_constant() && *size.constant() % count != 0)
    return Refuse("an axis of {} into {} parts", *size.constant(), count);
  return std::vector<ir::Dim>(count, FloorDiv(size, count));
}

}  // namespace

Outcome ImportSlice(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> begin, ctx.Dims(1));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> size, ctx.Dims(2));
  const ir::Shape shape = ctx.shape(0);
  if (begin.size() != shape.size() || size.size() != shape.size())
    return Refuse("begin and size of {} and {} entries for input {}", begin.size(), size.size(),
                  ToString(shape));
  ir::SliceAttributes slice = Everything(shape);
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const ir::Dim rest = shape[axis] - begin[axis];
    slice.begin[axis] = begin[axis];
    // A size of -1 takes the rest.
    if (size[axis] == ir::Dim(-1)) {
      slice.size[axis] = rest;
    } else if (size[axis].is_constant() || ctx.NonNegative(size[axis])) {
      slice.size[axis] = size[axis];
    } else {
      const ir::Dim is_negative = ir::Dim(0) - Max(Min(size[axis], 0), -1);
      slice.size[axis] = size[axis] + is_negative * (rest + 1);
    }
  }
  return ctx.Output(EmitSlice(ctx, ctx.operand(0), std::move(slice)));
}

Outcome ImportStridedSlice(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> begin, ctx.Dims(1));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> end, ctx.Dims(2));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> strides, ctx.Integers(3));
  GRAFT_ASSIGN_OR_RETURN(const Masks masks, ReadMasks(ctx));
  const ir::Shape shape = ctx.shape(0);
  const size_t entries = begin.size();
  if (end.size() != entries || strides.size() != entries)
    return Refuse("begin, end and strides of {}, {} and {} entries", entries, end.size(),
                  strides.size());
  // Entries before the ellipsis speak of the first axes, those after it of the last ones. Without
  // one, there is one at the end.
  size_t consumed = 0;
  bool has_ellipsis = false;
  for (size_t i = 0; i < entries; ++i) {
    if (Bit(masks.ellipsis, i)) {
      has_ellipsis = true;
    } else if (!Bit(masks.new_axis, i)) {
      ++consumed;
    }
  }
  if (consumed > shape.size()) return Refuse("{} indices into input {}", consumed, ToString(shape));
  ir::SliceAttributes slice = Everything(shape);
  std::vector<bool> dropped(shape.size(), false);
  ir::Shape result;
  // The result's axes in order: a new one, or one of the input's.
  std::vector<std::optional<size_t>> kept;
  size_t axis = 0;
  auto take_whole = [&](size_t count) {
    for (size_t k = 0; k < count; ++k) kept.emplace_back(axis++);
  };
  for (size_t i = 0; i < entries; ++i) {
    if (Bit(masks.ellipsis, i)) {
      take_whole(shape.size() - consumed);
    } else if (Bit(masks.new_axis, i)) {
      kept.emplace_back(std::nullopt);
    } else if (Bit(masks.shrink, i)) {
      slice.begin[axis] = FromStart(ctx, begin[i], shape[axis]);
      slice.size[axis] = 1;
      ++axis;
    } else {
      if (strides[i] == 0) return Refuse("strides[{}] must not be 0", i);
      Range range{.stride = strides[i]};
      if (!Bit(masks.begin, i)) range.begin = begin[i];
      if (!Bit(masks.end, i)) range.end = end[i];
      Narrow(ctx, range, shape[axis], axis, &slice);
      kept.emplace_back(axis++);
    }
  }
  if (!has_ellipsis) take_whole(shape.size() - axis);
  for (const std::optional<size_t>& from : kept)
    result.push_back(from ? slice.size[*from] : ir::Dim(1));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y,
                         EmitSlice(ctx, ctx.operand(0), std::move(slice), "slice"));
  return ctx.Output(ctx.Reshape(y, std::move(result)));
}

// axis, value
Outcome ImportSplit(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t count, ctx.Attr<int64_t>("num_split"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.AxisOperand(0, ctx.rank(1)));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> sizes, EqualParts(ctx.shape(1)[axis], count));
  return SplitInto(ctx, 1, axis, sizes);
}

// value, size_splits, axis
Outcome ImportSplitV(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<ir::Dim> sizes, ctx.Dims(1));
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.AxisOperand(2, ctx.rank(0)));
  GRAFT_ASSIGN_OR_RETURN(const int64_t count, ctx.Attr<int64_t>("num_split"));
  if (static_cast<int64_t>(sizes.size()) != count)
    return Refuse("size_splits of {} entries for {} parts", sizes.size(), count);
  const auto rest = std::find(sizes.begin(), sizes.end(), ir::Dim(-1));
  if (rest != sizes.end()) {
    *rest = 0;
    ir::Dim others = 0;
    for (const ir::Dim& size : sizes) others += size;
    *rest = ctx.shape(0)[axis] - others;
  }
  return SplitInto(ctx, 0, axis, sizes);
}

Outcome ImportUnpack(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t count, ctx.Attr<int64_t>("num"));
  GRAFT_ASSIGN_OR_RETURN(int64_t axis, ctx.Attr<int64_t>("axis"));
  GRAFT_ASSIGN_OR_RETURN(axis, ctx.Axis(axis, ctx.rank(0)));
  const ir::Shape shape = ctx.shape(0);
  if (shape[axis].is_constant() && !(shape[axis] == count))
    return Refuse("axis {} of {} is not {} long", axis, ToString(shape), count);
  ir::Shape rest = shape;
  rest.erase(rest.begin() + axis);
  for (int64_t i = 0; i < count; ++i) {
    ir::SliceAttributes slice = Everything(shape);
    slice.begin[axis] = i;
    slice.size[axis] = 1;
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId part, EmitSlice(ctx, ctx.operand(0), std::move(slice),
                                                             fmt::format("slice_{}", i)));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y, ctx.Reshape(part, rest));
    GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(static_cast<int>(i), y));
  }
  return kAccepted;
}

Outcome ImportReverse(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, ctx.Integers(1));
  ir::SliceAttributes slice = Everything(ctx.shape(0));
  for (int64_t given : axes) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.Axis(given, ctx.rank(0)));
    Narrow(ctx, {.stride = -1}, ctx.shape(0)[axis], axis, &slice);
  }
  return ctx.Output(EmitSlice(ctx, ctx.operand(0), std::move(slice)));
}

// input, shift, axis: what leaves an axis at its end comes in at its beginning
Outcome ImportRoll(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> shifts, ctx.Integers(1));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, ctx.Integers(2));
  if (shifts.size() != axes.size())
    return Refuse("{} shifts along {} axes", shifts.size(), axes.size());
  const ir::Shape shape = ctx.shape(0);
  std::vector<int64_t> shift_of(shape.size(), 0);
  constexpr int64_t kMostShift = int64_t{1} << 40;
  for (size_t i = 0; i < axes.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.Axis(axes[i], ctx.rank(0)));
    if (std::abs(shifts[i] / 2) > kMostShift) return Refuse("a shift of {}", shifts[i]);
    shift_of[axis] += shifts[i];
  }
  ir::ValueId x = ctx.operand(0);
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shift_of[axis] == 0 || shape[axis] == 0) continue;
    ir::SliceAttributes tail = Everything(shape);
    tail.size[axis] = Mod(shift_of[axis], Max(shape[axis], 1));
    tail.begin[axis] = shape[axis] - tail.size[axis];
    if (tail.size[axis] == 0) continue;
    ir::SliceAttributes head = Everything(shape);
    head.size[axis] = tail.begin[axis];
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId first, ctx.Emit(std::move(tail), {x}, "tail"));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId second, ctx.Emit(std::move(head), {x}, "head"));
    GRAFT_ASSIGN_OR_RETURN(
        x, ctx.Emit(ir::ConcatAttributes{.axis = static_cast<int64_t>(axis)}, {first, second}));
  }
  return ctx.SetOutput(0, x);
}

// tensor, dims: true where it is reversed
Outcome ImportReverseV1(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> reversed, ctx.Integers(1));
  ir::SliceAttributes slice = Everything(ctx.shape(0));
  if (reversed.size() != slice.begin.size())
    return Refuse("dims of {} entries for input {}", reversed.size(), ToString(ctx.shape(0)));
  for (size_t axis = 0; axis < reversed.size(); ++axis) {
    if (reversed[axis] != 0) Narrow(ctx, {.stride = -1}, ctx.shape(0)[axis], axis, &slice);
  }
  return ctx.Output(EmitSlice(ctx, ctx.operand(0), std::move(slice)));
}

// input, seq_lengths: element t of a sequence is its element length - 1 - t, as far as it is long.
// A length out of range makes an index out of range.
Outcome ImportReverseSequence(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(int64_t sequence, ctx.Attr<int64_t>("seq_dim"));
  GRAFT_ASSIGN_OR_RETURN(int64_t batch, ctx.Attr<int64_t>("batch_dim"));
  GRAFT_ASSIGN_OR_RETURN(sequence, ctx.Axis(sequence, ctx.rank(0)));
  GRAFT_ASSIGN_OR_RETURN(batch, ctx.Axis(batch, ctx.rank(0)));
  if (sequence == batch || ctx.rank(1) != 1)
    return Refuse("seq_dim {} and batch_dim {} with lengths {}", sequence, batch,
                  ToString(ctx.shape(1)));
  // [batch, sequence, …], and back.
  std::vector<int64_t> order = {batch, sequence};
  for (int64_t axis = 0; axis < ctx.rank(0); ++axis) {
    if (axis != batch && axis != sequence) order.push_back(axis);
  }
  std::vector<int64_t> back(order.size());
  for (size_t i = 0; i < order.size(); ++i) back[order[i]] = static_cast<int64_t>(i);
  const ir::Dim count = ctx.shape(0)[sequence];
  const DType type = ctx.dtype(1);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x, ctx.Transpose(ctx.operand(0), order, "batches"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId lengths,
                         ctx.Reshape(ctx.operand(1), {ctx.shape(1)[0], 1}, "lengths"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId steps, ctx.Positions(count, 2, 1, type));
  PointwiseProgram program{.inputs = 2};
  const int mirrored =
      program.Add(PointwiseOp::kSub, type, program.Add(PointwiseOp::kSub, type, 0, 1),
                  program.Add(PointwiseOp::kConstant, type, -1, -1, -1, 1));
  const int zero = program.Add(PointwiseOp::kConstant, type);
  const int inside = program.Add(PointwiseOp::kLess, DType::kBool, 1, 0);
  const int index = program.Add(PointwiseOp::kSelect, type, inside, mirrored, 1);
  const int negative = program.Add(PointwiseOp::kLess, DType::kBool, 0, zero);
  program.Add(PointwiseOp::kSelect, type, negative, 0, index);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices,
                         ctx.EmitPointwise(std::move(program), {lengths, steps}, "indices"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y,
                         ctx.Emit(ir::GatherAttributes{.axis = 1, .batch_dims = 1}, {x, indices}));
  return ctx.Output(ctx.Transpose(y, std::move(back)));
}

}  // namespace graft::importer
