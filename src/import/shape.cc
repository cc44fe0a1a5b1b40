// Shapes as data, and tensors made from shapes.
#include <algorithm>
#include <cmath>

#include "import/node_context.h"

namespace graft::importer {
namespace {

// Integers as a tensor of the graph: a constant where all are known.
Accepted<ir::ValueId> EmitIntegers(NodeContext& ctx, std::vector<ir::Dim> values, DType dtype,
                                   int64_t rank) {
  if (dtype != DType::kInt32 && dtype != DType::kInt64)
    return Refuse("Unsupported tensorflow data type {}", TensorFlowName(dtype));
  const auto known = ir::ConstantDims(values);
  if (!known)
    return ctx.Emit(ir::DimsAttributes{.values = std::move(values), .dtype = dtype, .rank = rank},
                    {});
  ::graft::Dims dims;
  if (rank == 1) dims.push_back(static_cast<int64_t>(known->size()));
  if (dtype == DType::kInt64) return ctx.AddConstant(Tensor::Of<int64_t>(dims, *known), "value");
  for (int64_t v : *known) {
    if (v != static_cast<int32_t>(v)) return Refuse("{} is outside the range of int32", v);
  }
  return ctx.AddConstant(
      Tensor::Of<int32_t>(dims, std::vector<int32_t>(known->begin(), known->end())), "value");
}

Outcome FilledLike(NodeContext& ctx, double value) {
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId scalar, ctx.Scalar(value, ctx.dtype(0), "scalar"));
  return ctx.Output(ctx.Emit(ir::BroadcastAttributes{.shape = ctx.shape(0)}, {scalar}));
}

template <class T>
Outcome FloatRange(NodeContext& ctx) {
  for (int i = 0; i < 3; ++i) {
    if (!ctx.value(i).constant)
      return Refuse("The input \"{}\" for {} must be a constant", ctx.OperandName(i),
                    ctx.node().op);
  }
  const T start = ctx.value(0).constant->data<T>()[0];
  const T limit = ctx.value(1).constant->data<T>()[0];
  const T delta = ctx.value(2).constant->data<T>()[0];
  const double count = std::ceil(std::abs((double{limit} - start) / delta));
  constexpr double kMaxCount = 1 << 24;  // it becomes a constant
  const bool empty = delta > 0 ? start >= limit : start <= limit;
  if (!(delta != 0) || !(count <= kMaxCount)) return Refuse("a range of {} elements", count);
  std::vector<T> values(empty ? 0 : static_cast<size_t>(count));
  // As TensorFlow rounds: the product, then the sum.
  for (size_t i = 0; i < values.size(); ++i) {
    const T offset = static_cast<T>(i) * delta;
    values[i] = start + offset;
  }
  return ctx.SetOutput(
      0, ctx.AddConstant(Tensor::Of<T>({static_cast<int64_t>(values.size())}, values), "value"));
}

}  // namespace

Outcome ImportReshape(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(ir::Shape shape, ctx.Dims(1));
  if (ctx.rank(1) != 1) return Refuse("shape {}: must be a vector", ToString(ctx.shape(1)));
  if (std::count(shape.begin(), shape.end(), ir::Dim(-1)) > 1)
    return Refuse("shape {}: more than one dimension is -1", ToString(shape));
  // An entry that may be -1 at run time: shape = entry, or what is left when entry is -1. With
  // is_open being 1 or 0, every form below is exact in both cases.
  const ir::Dim total = Product(ctx.shape(0));
  std::vector<ir::Dim> is_open(shape.size(), 0);
  ir::Dim others = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == ir::Dim(-1)) {
      is_open[i] = 1;
    } else if (!ctx.NonNegative(shape[i])) {
      is_open[i] = ir::Dim(0) - Max(Min(shape[i], 0), -1);
    }
    others *= shape[i] + is_open[i] * 2;
  }
  if (std::all_of(is_open.begin(), is_open.end(), [](const ir::Dim& d) { return d == 0; }))
    return ctx.Output(ctx.Reshape(ctx.operand(0), std::move(shape)));
  if (others == 0) return Refuse("shape {}: -1 beside a dimension of 0", ToString(shape));
  // Entries that the caller feeds may hold a 0 and no -1: what is left is not asked for then, but
  // must not divide by 0.
  const bool fed = std::any_of(is_open.begin(), is_open.end(),
                               [](const ir::Dim& d) { return !d.is_constant(); });
  const ir::Dim rest = FloorDiv(total, fed ? Max(others, 1) : others);
  for (size_t i = 0; i < shape.size(); ++i) shape[i] += is_open[i] * (rest + 1);
  return ctx.Output(ctx.Reshape(ctx.operand(0), std::move(shape)));
}

Outcome ImportExpandDims(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.AxisOperand(1, ctx.rank(0) + 1));
  ir::Shape shape = ctx.shape(0);
  shape.insert(shape.begin() + axis, 1);
  return ctx.Output(ctx.Reshape(ctx.operand(0), std::move(shape)));
}

Outcome ImportSqueeze(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> axes, ctx.AttrList<int64_t>("squeeze_dims"));
  const ir::Shape& shape = ctx.shape(0);
  std::vector<bool> dropped(shape.size(), false);
  for (int64_t given : axes) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.Axis(given, ctx.rank(0)));
    if (shape[axis].is_constant() && !(shape[axis] == 1))
      return Refuse("dimension {} of {} is not 1", axis, ToString(shape));
    dropped[axis] = true;
  }
  ir::Shape result;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (axes.empty()) {
      if (!shape[axis].is_constant())
        return Refuse("squeeze_dims is empty and dimension {} of {} is not known", axis,
                      ToString(shape));
      dropped[axis] = shape[axis] == 1;
    }
    if (!dropped[axis]) result.push_back(shape[axis]);
  }
  return ctx.Output(ctx.Reshape(ctx.operand(0), std::move(result)));
}

Outcome ImportShape(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const DType dtype, ctx.Attr<DType>("out_type"));
  for (int i = 0; i < ctx.operand_count(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y, EmitIntegers(ctx, ctx.shape(i), dtype, 1));
    GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(i, y));
  }
  return kAccepted;
}

Outcome ImportSize(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const DType dtype, ctx.Attr<DType>("out_type"));
  return ctx.Output(EmitIntegers(ctx, {Product(ctx.shape(0))}, dtype, 0));
}

Outcome ImportRank(NodeContext& ctx) {
  return ctx.Output(EmitIntegers(ctx, {ctx.rank(0)}, DType::kInt32, 0));
}

// dims, value
Outcome ImportFill(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(ir::Shape shape, ctx.Dims(0));
  if (ctx.rank(1) != 0) return Refuse("value {}: must be a scalar", ToString(ctx.shape(1)));
  return ctx.Output(ctx.Emit(ir::BroadcastAttributes{.shape = std::move(shape)}, {ctx.operand(1)}));
}

Outcome ImportBroadcastTo(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(ir::Shape shape, ctx.Dims(1));
  return ctx.Output(ctx.Emit(ir::BroadcastAttributes{.shape = std::move(shape)}, {ctx.operand(0)}));
}

// A dimension that must have a size, and has one that is not known, is held to it by a reshape: the
// number of elements would differ. That is so for one of them.
Outcome ImportEnsureShape(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const tf::Shape wanted, ctx.Attr<tf::Shape>("shape"));
  if (wanted.unknown_rank) return ctx.SetOutput(0, ctx.operand(0));
  ir::Shape shape = ctx.shape(0);
  if (wanted.dims.size() != shape.size())
    return Refuse("input {} must have the shape {}", ToString(shape), ToString(wanted));
  int open = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const int64_t size = wanted.dims[axis];
    if (size < 0 || shape[axis] == size) continue;
    if (shape[axis].is_constant())
      return Refuse("input {} must have the shape {}", ToString(shape), ToString(wanted));
    shape[axis] = size;
    ++open;
  }
  if (open > 1)
    return Refuse("whether {} has the shape {} is not known", ToString(ctx.shape(0)),
                  ToString(wanted));
  return ctx.Output(ctx.Reshape(ctx.operand(0), std::move(shape)));
}

// The shape that two broadcast to.
Outcome ImportBroadcastArgs(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> a, ctx.Dims(0));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> b, ctx.Dims(1));
  std::vector<ir::Dim> joined(std::max(a.size(), b.size()), 1);
  for (const std::vector<ir::Dim>& shape : {a, b}) {
    const size_t first = joined.size() - shape.size();
    for (size_t i = 0; i < shape.size(); ++i)
      joined[first + i] = BroadcastDim(joined[first + i], shape[i]);
  }
  return ctx.Output(EmitIntegers(ctx, std::move(joined), ctx.dtype(0), 1));
}

Outcome ImportZerosLike(NodeContext& ctx) { return FilledLike(ctx, 0); }
Outcome ImportOnesLike(NodeContext& ctx) { return FilledLike(ctx, 1); }

// start, limit, delta
Outcome ImportRange(NodeContext& ctx) {
  for (int i = 0; i < 3; ++i) {
    if (ctx.rank(i) != 0)
      return Refuse("{} {}: must be a scalar", ctx.OperandName(i), ToString(ctx.shape(i)));
  }
  if (ctx.dtype(0) == DType::kFloat32) return FloatRange<float>(ctx);
  if (ctx.dtype(0) == DType::kFloat64) return FloatRange<double>(ctx);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> start, ctx.Dims(0));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> limit, ctx.Dims(1));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> delta, ctx.Dims(2));
  if (delta[0] == 0) return Refuse("delta must not be 0");
  // Rounded up, for a delta of either sign.
  const ir::Dim count = ir::Dim(0) - FloorDiv(start[0] - limit[0], delta[0]);
  if (count.is_constant() && *count.constant() < 0)
    return Refuse("a range of {} elements", *count.constant());
  // Few integers are shapes and indices, whose values are followed.
  constexpr int64_t kFew = 64;
  const DType dtype = ctx.dtype(0);
  if (count.is_constant() && *count.constant() <= kFew) {
    std::vector<ir::Dim> values;
    for (int64_t i = 0; i < *count.constant(); ++i) values.push_back(start[0] + delta[0] * i);
    return ctx.Output(EmitIntegers(ctx, std::move(values), dtype, 1));
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId steps,
                         ctx.Emit(ir::IotaAttributes{.count = count, .dtype = dtype}, {}, "steps"));
  if (start[0] == 0 && delta[0] == 1) return ctx.SetOutput(0, steps);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId first, EmitIntegers(ctx, {start[0]}, dtype, 0));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId step, EmitIntegers(ctx, {delta[0]}, dtype, 0));
  PointwiseProgram program{.inputs = 3};
  program.Add(PointwiseOp::kAdd, dtype, program.Add(PointwiseOp::kMul, dtype, 0, 1), 2);
  return ctx.Output(ctx.EmitPointwise(std::move(program), {steps, step, first}));
}

// start, stop, num: the ends themselves, and between them multiples of a step.
Outcome ImportLinSpace(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const ir::Dim count, ctx.Size(2));
  const DType dtype = ctx.dtype(0);
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId steps, ctx.Positions(count, 1, 0, DType::kInt32));
  GRAFT_ASSIGN_OR_RETURN(steps, ctx.Cast(steps, dtype, "steps"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId number, ctx.Cast(ctx.operand(2), dtype, "number"));
  PointwiseProgram program{.inputs = 4};  // start, stop, number, steps
  const int one = program.Add(PointwiseOp::kConstant, dtype, -1, -1, -1, 1);
  const int zero = program.Add(PointwiseOp::kConstant, dtype);
  const int last = program.Add(PointwiseOp::kSub, dtype, 2, one);
  const int span = program.Add(PointwiseOp::kSub, dtype, 1, 0);
  const int delta = program.Add(PointwiseOp::kDiv, dtype, span, last);
  const int offset = program.Add(PointwiseOp::kMul, dtype, delta, 3);
  const int between = program.Add(PointwiseOp::kAdd, dtype, 0, offset);
  const int is_last = program.Add(PointwiseOp::kEqual, DType::kBool, 3, last);
  const int tail = program.Add(PointwiseOp::kSelect, dtype, is_last, 1, between);
  const int is_first = program.Add(PointwiseOp::kEqual, DType::kBool, 3, zero);
  program.Add(PointwiseOp::kSelect, dtype, is_first, 0, tail);
  return ctx.Output(
      ctx.EmitPointwise(std::move(program), {ctx.operand(0), ctx.operand(1), number, steps}));
}

// Axes of one format as axes of another.
Outcome ImportDataFormatDimMap(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::string from, ctx.Attr<std::string>("src_format"));
  GRAFT_ASSIGN_OR_RETURN(const std::string to, ctx.Attr<std::string>("dst_format"));
  // An axis may count from the end: twice the axes, from the lowest on.
  const auto rank = static_cast<int64_t>(from.size());
  std::vector<int32_t> axes;
  for (int64_t i = 0; i < 2 * rank; ++i) {
    const size_t at = to.find(from[i % rank]);
    if (at == std::string::npos) return Refuse("src_format {} and dst_format {}", from, to);
    axes.push_back(static_cast<int32_t>(at));
  }
  const DType dtype = ctx.dtype(0);
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId table,
      ctx.Cast(ctx.AddConstant(Tensor::Of<int32_t>({2 * rank}, axes), "axes"), dtype, "table"));
  PointwiseProgram program{.inputs = 1};
  const int lowest =
      program.Add(PointwiseOp::kConstant, dtype, -1, -1, -1, static_cast<double>(rank));
  program.Add(PointwiseOp::kAdd, dtype, 0, lowest);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId at,
                         ctx.EmitPointwise(std::move(program), {ctx.operand(0)}, "at"));
  return ctx.Output(ctx.Emit(ir::GatherAttributes{}, {table, at}));
}

Outcome ImportDataFormatVecPermute(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::string from, ctx.Attr<std::string>("src_format"));
  GRAFT_ASSIGN_OR_RETURN(const std::string to, ctx.Attr<std::string>("dst_format"));
  if (ctx.rank(0) < 1 || ctx.rank(0) > 2 || !ctx.shape(0)[0].is_constant() ||
      from.size() != to.size())
    return Refuse("input {} from {} to {}", ToString(ctx.shape(0)), from, to);
  const auto entries = static_cast<size_t>(*ctx.shape(0)[0].constant());
  // A vector without N and C holds the spatial dimensions alone.
  auto labels = [&](std::string format) {
    if (entries + 2 == format.size())
      std::erase_if(format, [](char c) { return c == 'N' || c == 'C'; });
    return format;
  };
  const std::string source = labels(from);
  std::vector<int32_t> indices;
  for (char label : labels(to)) {
    const size_t at = source.find(label);
    if (at == std::string::npos) return Refuse("src_format {} and dst_format {}", from, to);
    indices.push_back(static_cast<int32_t>(at));
  }
  if (indices.size() != entries)
    return Refuse("input {} for format {}", ToString(ctx.shape(0)), from);
  const auto count = static_cast<int64_t>(entries);
  return ctx.Output(
      ctx.Emit(ir::GatherAttributes{},
               {ctx.operand(0), ctx.AddConstant(Tensor::Of<int32_t>({count}, indices), "order")}));
}

}  // namespace graft::importer
