// Matrix products.
#include <algorithm>
#include <numeric>
#include <string>

#include "import/normalize.h"

namespace graft::importer {
namespace {

Accepted<ir::ValueId> EmitMatMul(NodeContext& ctx) {
  if (ctx.rank(0) != 2 || ctx.rank(1) != 2)
    return Refuse("operands {} and {}: must be matrices", ToString(ctx.shape(0)),
                  ToString(ctx.shape(1)));
  GRAFT_ASSIGN_OR_RETURN(const bool transpose_a, ctx.Attr<bool>("transpose_a"));
  GRAFT_ASSIGN_OR_RETURN(const bool transpose_b, ctx.Attr<bool>("transpose_b"));
  return ctx.Emit(ir::MatMulAttributes{.transpose_a = transpose_a, .transpose_b = transpose_b},
                  {ctx.operand(0), ctx.operand(1)});
}

// ---- Einsum

struct Equation {
  std::string operands[2];
  std::string result;
};

Accepted<Equation> ParseEquation(const NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(std::string text, ctx.Attr<std::string>("equation"));
  std::erase(text, ' ');
  const size_t arrow = text.find("->");
  if (arrow == std::string::npos) return Refuse("equation {}: must have an output", text);
  if (text.find('.') != std::string::npos)
    return Refuse("equation {}: ellipsis is not supported", text);
  Equation equation;
  equation.result = text.substr(arrow + 2);
  const std::string left = text.substr(0, arrow);
  const size_t comma = left.find(',');
  equation.operands[0] = left.substr(0, comma);
  if (comma != std::string::npos) equation.operands[1] = left.substr(comma + 1);
  for (int i = 0; i < ctx.operand_count(); ++i) {
    if (static_cast<int>(equation.operands[i].size()) != ctx.rank(i))
      return Refuse("equation {}: operand {} has shape {}", text, i, ToString(ctx.shape(i)));
  }
  for (std::string labels : {equation.operands[0], equation.operands[1], equation.result}) {
    std::sort(labels.begin(), labels.end());
    if (std::adjacent_find(labels.begin(), labels.end()) != labels.end())
      return Refuse("equation {}: a label twice in one operand is not supported", text);
  }
  for (char label : equation.result) {
    if (equation.operands[0].find(label) == std::string::npos &&
        equation.operands[1].find(label) == std::string::npos)
      return Refuse("equation {}: {} is in no operand", text, label);
  }
  return equation;
}

bool Has(const std::string& labels, char label) { return labels.find(label) != std::string::npos; }

// x with its axes in the order that `to` says; `from` are its labels now.
Accepted<ir::ValueId> Arrange(NodeContext& ctx, ir::ValueId x, const std::string& from,
                              const std::string& to, std::string_view part) {
  std::vector<int64_t> permutation;
  for (char label : to) permutation.push_back(static_cast<int64_t>(from.find(label)));
  return ctx.Transpose(x, std::move(permutation), part);
}

// Sums operand `i` over the labels that nobody else has.
Accepted<ir::ValueId> SumUnshared(NodeContext& ctx, int i, std::string* labels,
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
  if (sum.axes.empty()) return ctx.operand(i);
  *labels = kept;
  return ctx.Emit(std::move(sum), {ctx.operand(i)}, fmt::format("sum_{}", i));
}

}  // namespace

Outcome ImportMatMul(NodeContext& ctx) { return ctx.Output(EmitMatMul(ctx)); }

Outcome ImportFusedMatMul(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y, EmitMatMul(ctx));
  return ctx.Output(EmitFusedOps(ctx, y));
}

Outcome ImportBatchMatMul(NodeContext& ctx) {
  if (ctx.rank(0) < 2 || ctx.rank(1) < 2)
    return Refuse("operands {} and {}: must be matrices", ToString(ctx.shape(0)),
                  ToString(ctx.shape(1)));
  GRAFT_ASSIGN_OR_RETURN(const bool adj_x, ctx.Attr<bool>("adj_x"));
  GRAFT_ASSIGN_OR_RETURN(const bool adj_y, ctx.Attr<bool>("adj_y"));
  return ctx.Output(ctx.Emit(ir::MatMulAttributes{.transpose_a = adj_x, .transpose_b = adj_y},
                             {ctx.operand(0), ctx.operand(1)}));
}

Outcome ImportEinsum(NodeContext& ctx) {
  if (ctx.operand_count() > 2) return Refuse("{} operands: at most 2", ctx.operand_count());
  GRAFT_ASSIGN_OR_RETURN(Equation e, ParseEquation(ctx));
  if (ctx.operand_count() == 1) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId x, SumUnshared(ctx, 0, &e.operands[0], e.result));
    return ctx.Output(Arrange(ctx, x, e.operands[0], e.result, ""));
  }
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId a,
                         SumUnshared(ctx, 0, &e.operands[0], e.operands[1] + e.result));
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId b,
                         SumUnshared(ctx, 1, &e.operands[1], e.operands[0] + e.result));
  // As [batch…, rows, sum] x [batch…, sum, columns]; labels of each group merge into one axis.
  std::string batch, rows, columns, sum;
  for (char label : e.operands[0]) {
    if (!Has(e.operands[1], label)) {
      rows += label;
    } else if (Has(e.result, label)) {
      batch += label;
    } else {
      sum += label;
    }
  }
  for (char label : e.operands[1]) {
    if (!Has(e.operands[0], label)) columns += label;
  }
  auto size = [&](char label) {
    const size_t axis = e.operands[0].find(label);
    return axis != std::string::npos ? ctx.ValueOf(a).shape[axis]
                                     : ctx.ValueOf(b).shape[e.operands[1].find(label)];
  };
  auto sizes = [&](const std::string& labels) {
    ir::Shape dims;
    for (char label : labels) dims.push_back(size(label));
    return dims;
  };
  const ir::Shape batch_dims = sizes(batch);
  auto matrix = [&](const std::string& first, const std::string& second) {
    ir::Shape shape = batch_dims;
    shape.push_back(ir::Product(sizes(first)));
    shape.push_back(ir::Product(sizes(second)));
    return shape;
  };
  const ir::Shape a_shape = matrix(rows, sum);
  const ir::Shape b_shape = matrix(sum, columns);
  const ir::Shape y_shape = sizes(batch + rows + columns);
  GRAFT_ASSIGN_OR_RETURN(a, Arrange(ctx, a, e.operands[0], batch + rows + sum, "transpose_0"));
  GRAFT_ASSIGN_OR_RETURN(a, ctx.Reshape(a, a_shape, "matrix_0"));
  GRAFT_ASSIGN_OR_RETURN(b, Arrange(ctx, b, e.operands[1], batch + sum + columns, "transpose_1"));
  GRAFT_ASSIGN_OR_RETURN(b, ctx.Reshape(b, b_shape, "matrix_1"));
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId y, ctx.Emit(ir::MatMulAttributes{}, {a, b}, "matmul"));
  GRAFT_ASSIGN_OR_RETURN(y, ctx.Reshape(y, y_shape, "reshape"));
  return ctx.Output(Arrange(ctx, y, batch + rows + columns, e.result, "transpose"));
}

}  // namespace graft::importer
