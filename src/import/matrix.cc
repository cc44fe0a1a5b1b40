// Diagonals and bands of matrices, in the last two axes.
#include "import/matrix.h"

namespace graft::importer {
namespace {

// The diagonals `lower` to `upper` of matrices, 0 being the main one and 1 the one above it.
// Packed, each is a row, the uppermost first; a shorter one lies at the left or the right end of
// its row.
struct Band {
  int64_t lower = 0;
  int64_t upper = 0;
  bool left_above = true;  // of diagonals above the main one; that one is left where either is
  bool left_below = true;
  ir::Dim rows, columns;  // of a matrix
  ir::Dim length;         // of the longest diagonal

  int64_t count() const { return upper - lower + 1; }
};

// Operand k, and where V3 aligns.
Accepted<Band> ReadBand(const NodeContext& ctx, int k) {
  Band band;
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> diagonals, ctx.Integers(k));
  if (diagonals.empty() || diagonals.size() > 2 || diagonals.front() > diagonals.back())
    return Refuse("diagonals {}", ToString(ir::MakeShape(diagonals)));
  band.lower = diagonals.front();
  band.upper = diagonals.back();
  if (ctx.node().op.ends_with("V3")) {
    GRAFT_ASSIGN_OR_RETURN(const std::string align, ctx.Attr<std::string>("align"));
    band.left_above = align.starts_with("LEFT");
    band.left_below = align.ends_with("LEFT");
  }
  return band;
}

// The main diagonal in the first ops, which have no operand for it.
Accepted<Band> BandOf(const NodeContext& ctx, int k) {
  return k < ctx.operand_count() ? ReadBand(ctx, k) : Band();
}

Outcome CheckBand(const Band& band) {
  for (const int64_t k : {band.lower, band.upper}) {
    const ir::Dim& side = k < 0 ? band.rows : band.columns;
    if (k != 0 && side.is_constant() && std::abs(k) >= *side.constant())
      return Refuse("diagonal {} of {}", k, ToString(ir::Shape{band.rows, band.columns}));
  }
  return kAccepted;
}

// Element-wise arithmetic on the positions (i, j) of a result [height, width].
class PositionProgram {
 public:
  enum Operand { kRow, kColumn, kRows, kColumns, kLength, kOperands };

  PositionProgram() { program_.inputs = kOperands; }
  int Constant(int64_t v) {
    return program_.Add(PointwiseOp::kConstant, DType::kInt64, -1, -1, -1, static_cast<double>(v));
  }
  int Compute(PointwiseOp op, int a, int b) { return program_.Add(op, DType::kInt64, a, b); }
  int Is(PointwiseOp op, int a, int b) { return program_.Add(op, DType::kBool, a, b); }
  int Select(int condition, int a, int b) {
    return program_.Add(PointwiseOp::kSelect, DType::kInt64, condition, a, b);
  }
  int Above(int k) { return Compute(PointwiseOp::kMax, k, Constant(0)); }
  int Below(int k) { return Compute(PointwiseOp::kMin, k, Constant(0)); }
  // Of diagonal k.
  int Length(int k) {
    return Compute(PointwiseOp::kMin, Compute(PointwiseOp::kAdd, kRows, Below(k)),
                   Compute(PointwiseOp::kSub, kColumns, Above(k)));
  }
  // Where diagonal k begins in its row.
  int Begin(const Band& band, int k) {
    const int zero = Constant(0);
    if (band.left_above && band.left_below) return zero;
    const int right = Compute(PointwiseOp::kSub, kLength, Length(k));
    if (!band.left_above && !band.left_below) return right;
    const auto is_left = band.left_above ? PointwiseOp::kGreaterEqual : PointwiseOp::kLessEqual;
    return Select(Is(is_left, k, zero), zero, right);
  }

  Accepted<ir::ValueId> Emit(NodeContext& ctx, const Band& band, const ir::Dim& height,
                             const ir::Dim& width, std::string_view part) {
    std::vector<ir::ValueId> operands(kOperands);
    GRAFT_ASSIGN_OR_RETURN(operands[kRow], ctx.Positions(height, 2, 0, DType::kInt64));
    GRAFT_ASSIGN_OR_RETURN(operands[kColumn], ctx.Positions(width, 2, 1, DType::kInt64));
    for (const auto& [i, dim] : {std::pair(kRows, band.rows), std::pair(kColumns, band.columns),
                                 std::pair(kLength, band.length)}) {
      GRAFT_ASSIGN_OR_RETURN(operands[i], ctx.EmitDim(dim, DType::kInt64, "side"));
    }
    return ctx.EmitPointwise(std::move(program_), std::move(operands), part);
  }

 private:
  PointwiseProgram program_;
};

// Which elements of `x`, whose last axes are taken as one, make up a result [height, width], and
// which of the result's positions have one.
struct Moved {
  ir::ValueId elements, there;
};

// `write(program, as_index)` adds the instructions of either and gives the last.
template <class Write>
Accepted<Moved> Move(NodeContext& ctx, ir::ValueId x, const Band& band, const ir::Dim& height,
                     const ir::Dim& width, Write write) {
  PositionProgram index, there;
  write(index, true);
  write(there, false);
  Moved moved;
  GRAFT_ASSIGN_OR_RETURN(moved.there, there.Emit(ctx, band, height, width, "there"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices,
                         index.Emit(ctx, band, height, width, "indices"));
  const ir::Shape shape = ctx.ValueOf(x).shape;
  const auto axis = static_cast<int64_t>(shape.size()) - 1;
  // Positions that have no element read the first one, so there must be one.
  if (const ir::Dim& size = shape.back(); !size.is_constant() || size == 0) {
    ir::PadAttributes pad{.before = ir::Shape(shape.size(), 0),
                          .after = ir::Shape(shape.size(), 0)};
    pad.after.back() = 1;
    GRAFT_ASSIGN_OR_RETURN(x, ctx.Emit(std::move(pad), {x}, "padded"));
  }
  GRAFT_ASSIGN_OR_RETURN(moved.elements,
                         ctx.Emit(ir::GatherAttributes{.axis = axis}, {x, indices}, "moved"));
  return moved;
}

// From packed diagonals [batch, count * length] to matrices.
Accepted<Moved> Unpack(NodeContext& ctx, ir::ValueId packed, const Band& band) {
  using P = PositionProgram;
  return Move(ctx, packed, band, band.rows, band.columns, [&](P& p, bool as_index) {
    const int k = p.Compute(PointwiseOp::kSub, P::kColumn, P::kRow);
    const int not_below = p.Is(PointwiseOp::kGreaterEqual, k, p.Constant(band.lower));
    const int not_above = p.Is(PointwiseOp::kLessEqual, k, p.Constant(band.upper));
    const int inside = p.Is(PointwiseOp::kAnd, not_below, not_above);
    if (!as_index) return;
    const int row = p.Compute(PointwiseOp::kSub, p.Constant(band.upper), k);
    const int first = p.Compute(PointwiseOp::kAdd, p.Begin(band, k), p.Below(k));
    const int at = p.Compute(PointwiseOp::kAdd, first, P::kRow);
    const int index =
        p.Compute(PointwiseOp::kAdd, p.Compute(PointwiseOp::kMul, row, P::kLength), at);
    p.Select(inside, index, p.Constant(0));
  });
}

// From matrices [batch, rows * columns] to packed diagonals [batch, count, length].
Accepted<Moved> Pack(NodeContext& ctx, ir::ValueId matrices, const Band& band) {
  using P = PositionProgram;
  return Move(ctx, matrices, band, band.count(), band.length, [&](P& p, bool as_index) {
    const int k = p.Compute(PointwiseOp::kSub, p.Constant(band.upper), P::kRow);
    const int at = p.Compute(PointwiseOp::kSub, P::kColumn, p.Begin(band, k));
    const int begun = p.Is(PointwiseOp::kGreaterEqual, at, p.Constant(0));
    const int inside = p.Is(PointwiseOp::kAnd, begun, p.Is(PointwiseOp::kLess, at, p.Length(k)));
    if (!as_index) return;
    const int row = p.Compute(PointwiseOp::kSub, at, p.Below(k));
    const int column = p.Compute(PointwiseOp::kAdd, at, p.Above(k));
    const int index =
        p.Compute(PointwiseOp::kAdd, p.Compute(PointwiseOp::kMul, row, P::kColumns), column);
    p.Select(inside, index, p.Constant(0));
  });
}

Accepted<ir::ValueId> Choose(NodeContext& ctx, const Moved& moved, ir::ValueId otherwise) {
  PointwiseProgram program{.inputs = 3};
  program.Add(PointwiseOp::kSelect, ctx.ValueOf(moved.elements).dtype, 0, 1, 2);
  return ctx.EmitPointwise(std::move(program), {moved.there, moved.elements, otherwise});
}

// x with the axes from `axis` on as one of `size` elements.
Accepted<ir::ValueId> Flatten(NodeContext& ctx, ir::ValueId x, size_t axis, ir::Dim size) {
  ir::Shape shape = ctx.ValueOf(x).shape;
  shape.resize(axis);
  shape.push_back(std::move(size));
  return ctx.Reshape(x, std::move(shape), "flat");
}

// Operands 2 and 3 of MatrixDiag, the sides of its result: -1 stands for what the diagonals need,
// and both for a square.
Outcome ReadSides(const NodeContext& ctx, Band* band) {
  const ir::Dim rows = band->length - std::min<int64_t>(band->upper, 0);
  const ir::Dim columns = band->length + std::max<int64_t>(band->lower, 0);
  int64_t given_rows = -1;
  int64_t given_columns = -1;
  if (ctx.operand_count() > 3) {
    GRAFT_ASSIGN_OR_RETURN(given_rows, ctx.Integer(2));
    GRAFT_ASSIGN_OR_RETURN(given_columns, ctx.Integer(3));
  }
  band->rows = given_rows == -1 ? rows : given_rows;
  band->columns = given_columns == -1 ? columns : given_columns;
  if (given_rows == -1 && given_columns == -1)
    band->rows = band->columns = band->upper < 0 ? rows : columns;
  // One side ends where the longest diagonal does, the other not before it.
  const ir::Dim more_rows = band->rows - rows;
  const ir::Dim more_columns = band->columns - columns;
  for (const ir::Dim& more : {more_rows, more_columns}) {
    const bool both = !(more_rows == 0) && !(more_columns == 0);
    if (more.is_constant() && (*more.constant() < 0 || both))
      return Refuse("{} rows and {} columns for diagonals of {}", given_rows, given_columns,
                    band->length.ToString());
  }
  return kAccepted;
}

// Operand 0, the matrices.
Outcome ReadMatrix(const NodeContext& ctx, Band* band) {
  const ir::Shape& shape = ctx.shape(0);
  if (shape.size() < 2) return Refuse("input {}: must be a matrix", ToString(shape));
  band->rows = shape[shape.size() - 2];
  band->columns = shape.back();
  band->length = Min(band->rows + std::min<int64_t>(band->upper, 0),
                     band->columns - std::max<int64_t>(band->lower, 0));
  return CheckBand(*band);
}

// The axes of packed diagonals: one alone has no axis to count it.
size_t PackedAxes(const Band& band) { return band.lower == band.upper ? 1 : 2; }

// A scalar operand, 0 where the op has none.
Accepted<ir::ValueId> Padding(NodeContext& ctx, int i) {
  if (i < ctx.operand_count()) return ctx.operand(i);
  return ctx.Scalar(0, ctx.dtype(0), "zero");
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

// diagonal; from V2 on k, num_rows, num_cols, padding_value
Outcome ImportMatrixDiag(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(Band band, BandOf(ctx, 1));
  const ir::Shape shape = ctx.shape(0);
  const size_t axes = PackedAxes(band);
  if (shape.size() < axes) return Refuse("{} {}: must be a vector", ctx.OperandName(0), "[]");
  const size_t batch = shape.size() - axes;
  band.length = shape.back();
  GRAFT_RETURN_IF_REFUSED(ReadSides(ctx, &band));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId packed,
                         Flatten(ctx, ctx.operand(0), batch, band.length * band.count()));
  GRAFT_ASSIGN_OR_RETURN(const Moved moved, Unpack(ctx, packed, band));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId padding, Padding(ctx, 4));
  return ctx.Output(Choose(ctx, moved, padding));
}

// input; from V2 on k, padding_value
Outcome ImportMatrixDiagPart(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(Band band, BandOf(ctx, 1));
  GRAFT_RETURN_IF_REFUSED(ReadMatrix(ctx, &band));
  const size_t batch = ctx.shape(0).size() - 2;
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId matrices,
                         Flatten(ctx, ctx.operand(0), batch, band.rows * band.columns));
  GRAFT_ASSIGN_OR_RETURN(const Moved moved, Pack(ctx, matrices, band));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId padding, Padding(ctx, 2));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId packed, Choose(ctx, moved, padding));
  if (PackedAxes(band) == 2) return ctx.SetOutput(0, packed);
  return ctx.Output(Flatten(ctx, packed, batch, band.length));
}

// input, diagonal; from V2 on k
Outcome ImportMatrixSetDiag(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(Band band, BandOf(ctx, 2));
  GRAFT_RETURN_IF_REFUSED(ReadMatrix(ctx, &band));
  const size_t batch = ctx.shape(0).size() - 2;
  ir::Shape packed(ctx.shape(0).begin(), ctx.shape(0).end() - 2);
  if (PackedAxes(band) == 2) packed.emplace_back(band.count());
  packed.push_back(band.length);
  bool fits = packed.size() == ctx.shape(1).size();
  for (size_t i = 0; fits && i < packed.size(); ++i) {
    const ir::Dim difference = packed[i] - ctx.shape(1)[i];
    fits = !difference.is_constant() || difference == 0;
  }
  if (!fits) return Refuse("diagonal {} of {}", ToString(ctx.shape(1)), ToString(ctx.shape(0)));
  packed.resize(batch);
  packed.push_back(band.length * band.count());
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId diagonals,
                         ctx.Reshape(ctx.operand(1), std::move(packed), "flat"));
  GRAFT_ASSIGN_OR_RETURN(const Moved moved, Unpack(ctx, diagonals, band));
  return ctx.Output(Choose(ctx, moved, ctx.operand(0)));
}

}  // namespace graft::importer
