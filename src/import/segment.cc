// Elements that are added up, counted, written or parted by the numbers that data gives them.
#include <limits>

#include "base/dtype_visit.h"
#include "import/node_context.h"

namespace graft::importer {
namespace {

// Joins updates with rows of `initial`: the result has `shape`, and one row more along the last
// axis that indices count along, for those that count for nothing.
struct Rows {
  ir::ScatterKind kind = ir::ScatterKind::kAdd;
  ir::ValueId initial;  // a scalar
  ir::Shape shape;
  size_t axis = 0;
};

Accepted<ir::ValueId> EmitRows(NodeContext& ctx, Rows rows, ir::ValueId indices,
                               ir::ValueId updates) {
  ir::SliceAttributes all_but_one{.begin = ir::Shape(rows.shape.size(), 0),
                                  .size = rows.shape,
                                  .strides = std::vector<int64_t>(rows.shape.size(), 1)};
  rows.shape[rows.axis] += 1;
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId initial,
      ctx.Emit(ir::BroadcastAttributes{.shape = std::move(rows.shape)}, {rows.initial}, "initial"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y, ctx.Emit(ir::ScatterNdAttributes{.kind = rows.kind},
                                                       {initial, indices, updates}, "rows"));
  return ctx.Emit(std::move(all_but_one), {y});
}

// The least or greatest number of a dtype.
Accepted<ir::ValueId> Limit(NodeContext& ctx, DType dtype, bool least) {
  std::optional<Tensor> limit;
  TryVisitDType(kNumberTypes, dtype, [&]<class T>(T) {
    using Limits = std::numeric_limits<T>;
    limit = Tensor::Of<T>({}, {least ? Limits::lowest() : Limits::max()});
  });
  if (!limit) return Refuse("{} of type {}", ctx.OperandName(0), TensorFlowName(dtype));
  return ctx.AddConstant(*std::move(limit), "limit");
}

// Operand i, flat, as indices along one axis.
Accepted<ir::ValueId> FlatIndices(NodeContext& ctx, ir::ValueId x) {
  return ctx.Reshape(x, {Product(ctx.ValueOf(x).shape), 1}, "indices");
}

// min(operand i, `size`): what lies beyond falls into the row that counts for nothing.
Accepted<ir::ValueId> CutAt(NodeContext& ctx, int i, int size) {
  PointwiseProgram program{.inputs = 2};
  program.Add(PointwiseOp::kMin, ctx.dtype(i), 0, 1);
  return ctx.EmitPointwise(std::move(program), {ctx.operand(i), ctx.operand(size)}, "cut");
}

// The weights of counted elements of the shape `counted`: operand i, or, where it is empty, ones.
Accepted<ir::ValueId> Weights(NodeContext& ctx, int i, const ir::Shape& counted, bool given) {
  if (given) return ctx.operand(i);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId one, ctx.Scalar(1, ctx.dtype(i), "one"));
  return ctx.Emit(ir::BroadcastAttributes{.shape = counted}, {one}, "ones");
}

// Whether operand i has elements. It has as many as operand 0, or none.
Accepted<bool> HasWeights(const NodeContext& ctx, int i) {
  const ir::Dim count = Product(ctx.shape(i));
  if (count == 0) return false;
  if (count.is_constant() || count == Product(ctx.shape(0))) return true;
  return Refuse("whether weights {} are empty is not known", ToString(ctx.shape(i)));
}

}  // namespace

// data, segment_ids, num_segments. A negative segment counts for nothing.
Outcome ImportUnsortedSegment(NodeContext& ctx) {
  const std::string& op = ctx.node().op;
  Rows rows;
  if (op == "UnsortedSegmentSum") {
    GRAFT_ASSIGN_OR_RETURN(rows.initial, ctx.Scalar(0, ctx.dtype(0), "zero"));
  } else {
    const bool is_max = op == "UnsortedSegmentMax";
    rows.kind = is_max ? ir::ScatterKind::kMax : ir::ScatterKind::kMin;
    GRAFT_ASSIGN_OR_RETURN(rows.initial, Limit(ctx, ctx.dtype(0), is_max));
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::Dim segments, ctx.Size(2));
  const ir::Shape data = ctx.shape(0);
  if (ctx.rank(1) > ctx.rank(0))
    return Refuse("{} {} of {}", ctx.OperandName(1), ToString(ctx.shape(1)), ToString(data));
  const auto rest = data.begin() + ctx.rank(1);
  rows.shape = {segments};
  rows.shape.insert(rows.shape.end(), rest, data.end());

  // One past the last is the row that is dropped; an id that is too large stays out of range.
  const DType dtype = ctx.dtype(1);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId count, ctx.Cast(ctx.operand(2), dtype, "segments"));
  PointwiseProgram program{.inputs = 2};
  const int zero = program.Add(PointwiseOp::kConstant, dtype);
  const int is_past = program.Add(PointwiseOp::kGreaterEqual, DType::kBool, 0, 1);
  const int past = program.Add(PointwiseOp::kCast, dtype, is_past);
  const int moved = program.Add(PointwiseOp::kAdd, dtype, 0, past);
  const int is_negative = program.Add(PointwiseOp::kLess, DType::kBool, 0, zero);
  program.Add(PointwiseOp::kSelect, dtype, is_negative, 1, moved);
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId ids,
                         ctx.EmitPointwise(std::move(program), {ctx.operand(1), count}, "ids"));
  GRAFT_ASSIGN_OR_RETURN(ids, FlatIndices(ctx, ids));

  ir::Shape flat = {Product(ir::Shape(data.begin(), rest))};
  flat.insert(flat.end(), rest, data.end());
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId updates,
                         ctx.Reshape(ctx.operand(0), std::move(flat), "data"));
  return ctx.Output(EmitRows(ctx, std::move(rows), ids, updates));
}

// arr, size, weights
Outcome ImportBincount(NodeContext& ctx) {
  Rows rows;
  GRAFT_ASSIGN_OR_RETURN(const ir::Dim size, ctx.Size(1));
  GRAFT_ASSIGN_OR_RETURN(bool weighted, HasWeights(ctx, 2));
  GRAFT_ASSIGN_OR_RETURN(rows.initial, ctx.Scalar(0, ctx.dtype(2), "zero"));
  // Whether a value occurs, instead of how often.
  bool binary = false;
  if (ctx.node().op == "DenseBincount") {
    GRAFT_ASSIGN_OR_RETURN(binary, ctx.Attr<bool>("binary_output"));
  }
  if (binary) {
    rows.kind = ir::ScatterKind::kUpdate;
    weighted = false;
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId values, CutAt(ctx, 0, 1));
  const bool batched = ctx.node().op == "DenseBincount" && ctx.rank(0) == 2;
  if (!batched) {
    const ir::Dim count = Product(ctx.shape(0));
    rows.shape = {size};
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices, FlatIndices(ctx, values));
    GRAFT_ASSIGN_OR_RETURN(ir::ValueId weights, Weights(ctx, 2, {count}, weighted));
    GRAFT_ASSIGN_OR_RETURN(weights, ctx.Reshape(weights, {count}, "weights"));
    return ctx.Output(EmitRows(ctx, std::move(rows), indices, weights));
  }
  // Each row of values has bins of its own.
  const ir::Shape shape = ctx.shape(0);
  rows.shape = {shape[0], size};
  rows.axis = 1;
  ir::Shape one_more = shape;
  one_more.emplace_back(1);
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId batch, ctx.Positions(shape[0], 3, 0, ctx.dtype(0)));
  GRAFT_ASSIGN_OR_RETURN(batch,
                         ctx.Emit(ir::BroadcastAttributes{.shape = one_more}, {batch}, "batch"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId bins, ctx.Reshape(values, one_more, "bins"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices,
                         ctx.Emit(ir::ConcatAttributes{.axis = 2}, {batch, bins}, "indices"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId weights, Weights(ctx, 2, shape, weighted));
  return ctx.Output(EmitRows(ctx, std::move(rows), indices, weights));
}

// sparse_indices, output_shape, sparse_values, default_value
Outcome ImportSparseToDense(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(ir::Shape shape, ctx.Dims(1));
  const ir::Shape indices_shape = ctx.shape(0);
  if (indices_shape.size() > 2 || ctx.rank(2) > 1 || ctx.rank(3) != 0)
    return Refuse("{} {} with values {}", ctx.OperandName(0), ToString(indices_shape),
                  ToString(ctx.shape(2)));
  // Of a vector, a scalar says one element and a vector several.
  const ir::Dim count = indices_shape.empty() ? ir::Dim(1) : indices_shape[0];
  const ir::Dim depth = indices_shape.size() == 2 ? indices_shape[1] : ir::Dim(1);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices,
                         ctx.Reshape(ctx.operand(0), {count, depth}, "indices"));
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId values,
      ctx.Emit(ir::BroadcastAttributes{.shape = {count}}, {ctx.operand(2)}, "values"));
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId initial,
      ctx.Emit(ir::BroadcastAttributes{.shape = std::move(shape)}, {ctx.operand(3)}, "initial"));
  return ctx.Output(ctx.Emit(ir::ScatterNdAttributes{.kind = ir::ScatterKind::kUpdate},
                             {initial, indices, values}));
}

// data, partitions: for each partition the elements of data that belong to it, in their order.
Outcome ImportDynamicPartition(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t count, ctx.Attr<int64_t>("num_partitions"));
  const ir::Shape shape = ctx.shape(1);
  if (shape.empty() || shape.size() > ctx.shape(0).size())
    return Refuse("partitions {} of {}", ToString(shape), ToString(ctx.shape(0)));
  // A partition that does not exist fails the run.
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId known, ctx.Positions(count, 1, 0, DType::kInt32));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId partitions,
                         ctx.Emit(ir::GatherAttributes{}, {known, ctx.operand(1)}, "partitions"));
  for (int i = 0; i < static_cast<int>(count); ++i) {
    PointwiseProgram program{.inputs = 1};
    const int number = program.Add(PointwiseOp::kConstant, DType::kInt32, -1, -1, -1, i);
    program.Add(PointwiseOp::kEqual, DType::kBool, 0, number);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId belongs,
                           ctx.EmitPointwise(std::move(program), {partitions}, "belongs"));
    GRAFT_ASSIGN_OR_RETURN(
        const std::vector<ir::ValueId> where,
        ctx.EmitWithResultDim(ir::WhereAttributes(), Product(shape), {belongs}, "where"));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y,
                           ctx.Emit(ir::GatherNdAttributes{}, {ctx.operand(0), where[0]}));
    GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(i, y));
  }
  return kAccepted;
}

}  // namespace graft::importer
