// Matrix products.
#include <algorithm>
#include <string>

#include "import/matrix.h"
#include "import/normalize.h"

namespace graft::importer {
namespace {

// Of the operands in `dtype`.
Accepted<ir::ValueId> EmitMatMul(NodeContext& ctx, DType dtype) {
  if (ctx.rank(0) != 2 || ctx.rank(1) != 2)
    return Refuse("operands {} and {}: must be matrices", ToString(ctx.shape(0)),
                  ToString(ctx.shape(1)));
  GRAFT_ASSIGN_OR_RETURN(const bool transpose_a, ctx.Attr<bool>("transpose_a"));
  GRAFT_ASSIGN_OR_RETURN(const bool transpose_b, ctx.Attr<bool>("transpose_b"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId a, ctx.Cast(ctx.operand(0), dtype, "a"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId b, ctx.Cast(ctx.operand(1), dtype, "b"));
  return ctx.Emit(ir::MatMulAttributes{.transpose_a = transpose_a, .transpose_b = transpose_b},
                  {a, b});
}

// ---- Einsum

// Each operand's axes, and the result's, by label: a letter, or, for an axis of an ellipsis, the
// digit that counts it from the last one, so that axes that broadcast have the same label.
struct Equation {
  std::vector<std::string> operands;
  std::string result;
};

constexpr std::string_view kEllipsis = "...";

bool Has(std::string_view labels, char label) {
  return labels.find(label) != std::string_view::npos;
}
bool IsOfEllipsis(char label) { return label >= '0' && label <= '9'; }

// `labels` with `count` digits for an ellipsis.
std::string Expanded(std::string labels, int count) {
  const size_t at = labels.find(kEllipsis);
  if (at == std::string::npos) return labels;
  std::string digits;
  for (int i = count; i-- > 0;) digits += static_cast<char>('0' + i);
  return labels.replace(at, kEllipsis.size(), digits);
}

Accepted<Equation> ParseEquation(const NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::string text, ctx.Attr<std::string>("equation"));
  std::erase(text, ' ');
  const size_t arrow = text.find("->");
  if (arrow == std::string::npos) return Refuse("equation {}: must have an output", text);
  Equation equation;
  std::string left = text.substr(0, arrow) + ",";
  for (size_t comma; (comma = left.find(',')) != std::string::npos; left.erase(0, comma + 1))
    equation.operands.push_back(left.substr(0, comma));
  if (static_cast<int>(equation.operands.size()) != ctx.operand_count())
    return Refuse("equation {}: has {} operands", text, ctx.operand_count());
  int most = 0;
  for (int i = 0; i < ctx.operand_count(); ++i) {
    std::string& labels = equation.operands[i];
    const bool open = labels.find(kEllipsis) != std::string::npos;
    const int named = static_cast<int>(labels.size() - (open ? kEllipsis.size() : 0));
    const int others = ctx.rank(i) - named;
    if (others < 0 || others > 9 || (others > 0 && !open))
      return Refuse("equation {}: operand {} has shape {}", text, i, ToString(ctx.shape(i)));
    labels = Expanded(std::move(labels), others);
    most = std::max(most, others);
  }
  equation.result = Expanded(text.substr(arrow + 2), most);
  std::string known;
  for (const std::string& labels : equation.operands) known += labels;
  for (char label : known + equation.result) {
    if (!Has(known, label)) return Refuse("equation {}: {} is in no operand", text, label);
    if (IsOfEllipsis(label) && !Has(equation.result, label))
      return Refuse("equation {}: an ellipsis that is not in the output", text);
  }
  return equation;
}

// x with its axes in the order that `to` says; `from` are its labels now.
Accepted<ir::ValueId> Arrange(NodeContext& ctx, ir::ValueId x, const std::string& from,
                              const std::string& to, std::string_view part) {
  std::vector<int64_t> permutation;
  for (char label : to) permutation.push_back(static_cast<int64_t>(from.find(label)));
  return ctx.Transpose(x, std::move(permutation), part);
}

Accepted<ir::ValueId> KeepDiagonal(NodeContext& ctx, ir::ValueId x, size_t p, size_t q) {
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId zero, ctx.Scalar(0, ctx.ValueOf(x).dtype, "zero"));
  return EmitOnDiagonal(ctx, x, p, q, zero);
}

// A label twice in an operand takes a diagonal.
Accepted<ir::ValueId> TakeDiagonals(NodeContext& ctx, ir::ValueId x, std::string* labels) {
  for (size_t q = 1; q < labels->size();) {
    const size_t p = labels->find((*labels)[q]);
    if (p == q) {
      ++q;
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(x, KeepDiagonal(ctx, x, p, q));
    GRAFT_ASSIGN_OR_RETURN(x, ctx.Emit(ir::ReduceAttributes{.kind = ir::ReduceKind::kSum,
                                                            .axes = {static_cast<int64_t>(q)}},
                                       {x}, "diagonal_sum"));
    labels->erase(q, 1);
  }
  return x;
}

// A label twice in the output spreads an axis over a diagonal; `result` has the labels in order.
Accepted<ir::ValueId> SpreadDiagonals(NodeContext& ctx, ir::ValueId x, const std::string& result) {
  for (size_t q = 1; q < result.size(); ++q) {
    const size_t p = result.find(result[q]);
    if (p == q) continue;
    ir::Shape shape = ctx.ValueOf(x).shape;
    shape.insert(shape.begin() + static_cast<int64_t>(q), 1);
    GRAFT_ASSIGN_OR_RETURN(x, ctx.Reshape(x, std::move(shape), "spread"));
    GRAFT_ASSIGN_OR_RETURN(x, KeepDiagonal(ctx, x, p, q));
  }
  return x;
}

// Sums x over the labels that nobody else has.
Accepted<ir::ValueId> SumUnshared(NodeContext& ctx, ir::ValueId x, std::string* labels,
                                  const std::string& others) {
  ir::ReduceAttributes sum{.kind = ir::ReduceKind::kSum};
  std::string kept;
  for (size_t axis = 0; axis < labels->size(); ++axis) {
    if (Has(others, (*labels)[axis])) {
      kept += (*labels)[axis];
    } else {
      sum.axes.push_back(static_cast<int64_t>(axis));
    }
  }
  if (sum.axes.empty()) return x;
  *labels = kept;
  return ctx.Emit(std::move(sum), {x}, "sum");
}

// An operand with its labels.
struct Labelled {
  ir::ValueId value;
  std::string labels;

  ir::Shape Sizes(const NodeContext& ctx, std::string_view of) const {
    ir::Shape dims;
    for (char label : of) dims.push_back(ctx.ValueOf(value).shape[labels.find(label)]);
    return dims;
  }
};

// The labels of two operands by what becomes of them.
struct Roles {
  std::string batch, rows, columns, sum;
};
Roles RolesOf(const std::string& a, const std::string& b, const std::string& result) {
  Roles r;
  for (char label : a) (!Has(b, label) ? r.rows : Has(result, label) ? r.batch : r.sum) += label;
  for (char label : b) {
    if (!Has(a, label)) r.columns += label;
  }
  return r;
}

// Nothing is summed: [batch…, rows…, 1…] · [batch…, 1…, columns…].
Accepted<Labelled> EmitOuter(NodeContext& ctx, const Labelled& a, const Labelled& b,
                             const Roles& r) {
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId x,
                         Arrange(ctx, a.value, a.labels, r.batch + r.rows, "transpose_0"));
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId y,
                         Arrange(ctx, b.value, b.labels, r.batch + r.columns, "transpose_1"));
  ir::Shape x_shape = ctx.ValueOf(x).shape;
  x_shape.insert(x_shape.end(), r.columns.size(), 1);
  ir::Shape y_shape = ctx.ValueOf(y).shape;
  y_shape.insert(y_shape.begin() + static_cast<int64_t>(r.batch.size()), r.rows.size(), 1);
  GRAFT_ASSIGN_OR_RETURN(x, ctx.Reshape(x, std::move(x_shape), "expand_0"));
  GRAFT_ASSIGN_OR_RETURN(y, ctx.Reshape(y, std::move(y_shape), "expand_1"));
  PointwiseProgram program{.inputs = 2};
  program.Add(PointwiseOp::kMul, ctx.ValueOf(x).dtype, 0, 1);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId product,
                         ctx.EmitPointwise(std::move(program), {x, y}, "product"));
  return Labelled{product, r.batch + r.rows + r.columns};
}

// As [batch…, rows, sum] x [batch…, sum, columns]; labels of each group merge into one axis. An
// operand that has its last two groups the other way round is left so.
Accepted<Labelled> EmitContraction(NodeContext& ctx, const Labelled& a, const Labelled& b,
                                   const Roles& r) {
  const bool transpose_a = a.labels == r.batch + r.sum + r.rows;
  const bool transpose_b = b.labels == r.batch + r.columns + r.sum;
  auto matrix = [&](const Labelled& of, const std::string& first, const std::string& second,
                    int i) -> Accepted<ir::ValueId> {
    ir::Shape shape = of.Sizes(ctx, r.batch);
    shape.push_back(ir::Product(of.Sizes(ctx, first)));
    shape.push_back(ir::Product(of.Sizes(ctx, second)));
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x,
                           Arrange(ctx, of.value, of.labels, r.batch + first + second,
                                   fmt::format("transpose_{}", i)));
    return ctx.Reshape(x, std::move(shape), fmt::format("matrix_{}", i));
  };
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x,
                         transpose_a ? matrix(a, r.sum, r.rows, 0) : matrix(a, r.rows, r.sum, 0));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y, transpose_b ? matrix(b, r.columns, r.sum, 1)
                                                          : matrix(b, r.sum, r.columns, 1));
  GRAFT_ASSIGN_OR_RETURN(
      ir::ValueId product,
      ctx.Emit(ir::MatMulAttributes{.transpose_a = transpose_a, .transpose_b = transpose_b}, {x, y},
               "matmul"));
  // The batch's dimensions as they were broadcast.
  ir::Shape shape = ctx.ValueOf(product).shape;
  shape.resize(r.batch.size());
  for (const ir::Dim& d : a.Sizes(ctx, r.rows)) shape.push_back(d);
  for (const ir::Dim& d : b.Sizes(ctx, r.columns)) shape.push_back(d);
  GRAFT_ASSIGN_OR_RETURN(product, ctx.Reshape(product, std::move(shape), "reshape"));
  return Labelled{product, r.batch + r.rows + r.columns};
}

}  // namespace

Outcome ImportMatMul(NodeContext& ctx) { return ctx.Output(EmitMatMul(ctx, ctx.dtype(0))); }

// The sparse kind computes the same: it only looks for zeros.
Outcome ImportSparseMatMul(NodeContext& ctx) {
  return ctx.Output(EmitMatMul(ctx, DType::kFloat32));
}

Outcome ImportFusedMatMul(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y, EmitMatMul(ctx, ctx.dtype(0)));
  return ctx.Output(EmitFusedOps(ctx, y));
}

Outcome ImportBatchMatMul(NodeContext& ctx) {
  if (ctx.rank(0) < 2 || ctx.rank(1) < 2)
    return Refuse("operands {} and {}: must be matrices", ToString(ctx.shape(0)),
                  ToString(ctx.shape(1)));
  GRAFT_ASSIGN_OR_RETURN(const bool adj_x, ctx.Attr<bool>("adj_x"));
  GRAFT_ASSIGN_OR_RETURN(const bool adj_y, ctx.Attr<bool>("adj_y"));
  ir::ValueId x = ctx.operand(0);
  ir::ValueId y = ctx.operand(1);
  if (ctx.node().op == "BatchMatMulV3") {
    // Bytes are multiplied as the integers that their products are summed in.
    GRAFT_ASSIGN_OR_RETURN(const DType to, ctx.Attr<DType>("Tout"));
    GRAFT_ASSIGN_OR_RETURN(x, ctx.Cast(x, to, "x"));
    GRAFT_ASSIGN_OR_RETURN(y, ctx.Cast(y, to, "y"));
  }
  return ctx.Output(
      ctx.Emit(ir::MatMulAttributes{.transpose_a = adj_x, .transpose_b = adj_y}, {x, y}));
}

Outcome ImportEinsum(NodeContext& ctx) {
  if (ctx.operand_count() > 2) return Refuse("{} operands: at most 2", ctx.operand_count());
  GRAFT_ASSIGN_OR_RETURN(const Equation e, ParseEquation(ctx));
  std::vector<Labelled> operands;
  for (int i = 0; i < ctx.operand_count(); ++i) {
    Labelled x{ctx.operand(i), e.operands[i]};
    std::string others = e.result;
    if (ctx.operand_count() == 2) others += e.operands[1 - i];
    GRAFT_ASSIGN_OR_RETURN(x.value, TakeDiagonals(ctx, x.value, &x.labels));
    GRAFT_ASSIGN_OR_RETURN(x.value, SumUnshared(ctx, x.value, &x.labels, others));
    operands.push_back(std::move(x));
  }
  Labelled y = operands[0];
  if (operands.size() == 2) {
    const Roles roles = RolesOf(operands[0].labels, operands[1].labels, e.result);
    GRAFT_ASSIGN_OR_RETURN(y, roles.sum.empty()
                                  ? EmitOuter(ctx, operands[0], operands[1], roles)
                                  : EmitContraction(ctx, operands[0], operands[1], roles));
  }
  std::string once;
  for (char label : e.result) {
    if (!Has(once, label)) once += label;
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x, Arrange(ctx, y.value, y.labels, once, "transpose"));
  return ctx.Output(SpreadDiagonals(ctx, x, e.result));
}

}  // namespace graft::importer
