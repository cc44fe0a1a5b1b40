// Diagonals and bands of matrices, in the last two axes.
#include "import/matrix.h"

namespace graft::importer {
namespace {

// Of MatrixDiagV2 and its like: the one diagonal that is supported, with nothing left of it or
// below it. Operand `k` says which, operands `rest` must all be -1.
Outcome CheckMainDiagonal(const NodeContext& ctx, int k, std::initializer_list<int> rest) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> diagonals, ctx.Integers(k));
  for (int64_t d : diagonals) {
    if (d != 0) return Refuse("diagonal {}: only the main one is supported", d);
  }
  for (int i : rest) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t size, ctx.Integer(i));
    if (size != -1) return Refuse("{} {}: only the least is supported", ctx.OperandName(i), size);
  }
  return kAccepted;
}

Outcome EmitDiag(NodeContext& ctx, ir::ValueId padding) {
  if (ctx.rank(0) < 1) return Refuse("{} {}: must be a vector", ctx.OperandName(0), "[]");
  ir::Shape shape = ctx.shape(0);
  const size_t rows = shape.size() - 1;
  shape.emplace_back(1);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x,
                         ctx.Reshape(ctx.operand(0), std::move(shape), "rows"));
  return ctx.Output(EmitOnDiagonal(ctx, x, rows, rows + 1, padding));
}

Outcome EmitDiagPart(NodeContext& ctx) {
  const ir::Shape& shape = ctx.shape(0);
  if (shape.size() < 2) return Refuse("input {}: must be a matrix", ToString(shape));
  const size_t rows = shape.size() - 2;
  ir::SliceAttributes square{.begin = ir::Shape(shape.size(), 0),
                             .size = shape,
                             .strides = std::vector<int64_t>(shape.size(), 1)};
  square.size[rows] = square.size[rows + 1] = Min(shape[rows], shape[rows + 1]);
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId x, ctx.Emit(std::move(square), {ctx.operand(0)}, "square"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId zero, ctx.Scalar(0, ctx.dtype(0), "zero"));
  GRAFT_ASSIGN_OR_RETURN(x, EmitOnDiagonal(ctx, x, rows, rows + 1, zero));
  const auto kind = ctx.dtype(0) == DType::kBool ? ir::ReduceKind::kAny : ir::ReduceKind::kSum;
  return ctx.Output(
      ctx.Emit(ir::ReduceAttributes{.kind = kind, .axes = {static_cast<int64_t>(rows + 1)}}, {x}));
}

}  // namespace

Accepted<ir::ValueId> EmitOnDiagonal(NodeContext& ctx, ir::ValueId x, size_t p, size_t q,
                                     ir::ValueId otherwise) {
  const ir::Shape shape = ctx.ValueOf(x).shape;
  const int rank = static_cast<int>(shape.size());
  std::vector<ir::ValueId> operands = {x};
  for (size_t axis : {p, q}) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId positions,
                           ctx.Positions(shape[p], rank, axis, DType::kInt32));
    operands.push_back(positions);
  }
  operands.push_back(otherwise);
  PointwiseProgram program{.inputs = 4};
  const int same = program.Add(PointwiseOp::kEqual, DType::kBool, 1, 2);
  program.Add(PointwiseOp::kSelect, ctx.ValueOf(x).dtype, same, 0, 3);
  return ctx.EmitPointwise(std::move(program), std::move(operands), "diagonal");
}

// input, num_lower, num_upper; below zero: all of that side
Outcome ImportMatrixBandPart(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t lower, ctx.Integer(1));
  GRAFT_ASSIGN_OR_RETURN(const int64_t upper, ctx.Integer(2));
  const ir::Shape shape = ctx.shape(0);
  const int rank = ctx.rank(0);
  if (rank < 2) return Refuse("input {}: must be a matrix", ToString(shape));
  for (const auto& [count, size] : {std::pair(lower, shape[rank - 2]), {upper, shape[rank - 1]}}) {
    if (size.is_constant() && count > *size.constant())
      return Refuse("{} diagonals of {}", count, ToString(shape));
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId row,
                         ctx.Positions(shape[rank - 2], rank, rank - 2, DType::kInt64));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId column,
                         ctx.Positions(shape[rank - 1], rank, rank - 1, DType::kInt64));
  PointwiseProgram program{.inputs = 3};
  auto constant = [&](DType dtype, int64_t v) {
    return program.Add(PointwiseOp::kConstant, dtype, -1, -1, -1, static_cast<double>(v));
  };
  const int below = program.Add(PointwiseOp::kSub, DType::kInt64, 1, 2);
  int kept = 0;
  if (lower >= 0) {
    kept =
        program.Add(PointwiseOp::kLessEqual, DType::kBool, below, constant(DType::kInt64, lower));
    const int zero = constant(ctx.dtype(0), 0);
    kept = program.Add(PointwiseOp::kSelect, ctx.dtype(0), kept, 0, zero);
  }
  if (upper >= 0) {
    const int inside = program.Add(PointwiseOp::kGreaterEqual, DType::kBool, below,
                                   constant(DType::kInt64, -upper));
    const int zero = constant(ctx.dtype(0), 0);
    kept = program.Add(PointwiseOp::kSelect, ctx.dtype(0), inside, kept, zero);
  }
  if (kept == 0) return ctx.SetOutput(0, ctx.operand(0));
  return ctx.Output(ctx.EmitPointwise(std::move(program), {ctx.operand(0), row, column}));
}

Outcome ImportMatrixDiag(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId zero, ctx.Scalar(0, ctx.dtype(0), "zero"));
  return EmitDiag(ctx, zero);
}

// diagonal, k, num_rows, num_cols, padding_value
Outcome ImportMatrixDiagV2(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckMainDiagonal(ctx, 1, {2, 3}));
  return EmitDiag(ctx, ctx.operand(4));
}

Outcome ImportMatrixDiagPart(NodeContext& ctx) { return EmitDiagPart(ctx); }

// input, k, padding_value
Outcome ImportMatrixDiagPartV2(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckMainDiagonal(ctx, 1, {}));
  return EmitDiagPart(ctx);
}

// input, diagonal
Outcome ImportMatrixSetDiag(NodeContext& ctx) {
  const ir::Shape shape = ctx.shape(0);
  const int rank = ctx.rank(0);
  if (rank < 2 || ctx.rank(1) != rank - 1)
    return Refuse("diagonal {} of {}", ToString(ctx.shape(1)), ToString(shape));
  // The diagonal is as long as the shorter side.
  const ir::Dim longer = shape[rank - 1] - shape[rank - 2];
  if (!longer.is_constant())
    return Refuse("input {}: must have sides that are known", ToString(shape));
  const bool is_tall = *longer.constant() < 0;
  ir::Shape along = ctx.shape(1);
  along.insert(is_tall ? along.end() - 1 : along.end(), 1);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId diagonal,
                         ctx.Reshape(ctx.operand(1), std::move(along), "values"));
  std::vector<ir::ValueId> operands = {ctx.operand(0), diagonal};
  for (int axis : {rank - 2, rank - 1}) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId positions,
                           ctx.Positions(shape[axis], rank, axis, DType::kInt32));
    operands.push_back(positions);
  }
  PointwiseProgram program{.inputs = 4};
  const int same = program.Add(PointwiseOp::kEqual, DType::kBool, 2, 3);
  program.Add(PointwiseOp::kSelect, ctx.dtype(0), same, 1, 0);
  return ctx.Output(ctx.EmitPointwise(std::move(program), std::move(operands)));
}

// input, diagonal, k
Outcome ImportMatrixSetDiagV2(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckMainDiagonal(ctx, 2, {}));
  return ImportMatrixSetDiag(ctx);
}

}  // namespace graft::importer
