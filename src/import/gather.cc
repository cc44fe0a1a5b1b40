// Elements chosen, or written, where indices say.
#include <algorithm>

#include "import/node_context.h"

namespace graft::importer {
namespace {

// Operand i in a dtype that indices have in an engine.
Accepted<ir::ValueId> Indices(NodeContext& ctx, int i) {
  if (ctx.dtype(i) == DType::kInt32 || ctx.dtype(i) == DType::kInt64) return ctx.operand(i);
  return ctx.Cast(ctx.operand(i), DType::kInt32, "indices");
}

Outcome EmitGather(NodeContext& ctx, int64_t axis, int64_t batch_dims) {
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices, Indices(ctx, 1));
  return ctx.Output(ctx.Emit(ir::GatherAttributes{.axis = axis, .batch_dims = batch_dims},
                             {ctx.operand(0), indices}));
}

// An index out of range fails the run, which is what TensorFlow does on a CPU by default.
Outcome CheckPolicy(const NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const std::string policy, ctx.Attr<std::string>("bad_indices_policy"));
  if (policy.empty() || policy == "DEFAULT" || policy == "ERROR") return kAccepted;
  return Refuse("bad_indices_policy {} is not supported", policy);
}

constexpr std::pair<std::string_view, ir::ScatterKind> kScatters[] = {
    {"ScatterNdNonAliasingAdd", ir::ScatterKind::kAdd},
    {"TensorScatterAdd", ir::ScatterKind::kAdd},
    {"TensorScatterMax", ir::ScatterKind::kMax},
    {"TensorScatterMin", ir::ScatterKind::kMin},
    {"TensorScatterSub", ir::ScatterKind::kSub},
    {"TensorScatterUpdate", ir::ScatterKind::kUpdate},
};

}  // namespace

Outcome ImportGather(NodeContext& ctx) { return EmitGather(ctx, 0, 0); }

Outcome ImportGatherV2(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, ctx.AxisOperand(2, ctx.rank(0)));
  GRAFT_ASSIGN_OR_RETURN(int64_t batch_dims, ctx.Attr<int64_t>("batch_dims"));
  if (batch_dims < 0) batch_dims += ctx.rank(1);
  return EmitGather(ctx, axis, batch_dims);
}

Outcome ImportGatherNd(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckPolicy(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices, Indices(ctx, 1));
  return ctx.Output(ctx.Emit(ir::GatherNdAttributes{.batch_dims = 0}, {ctx.operand(0), indices}));
}

// indices, updates, shape: a sum into zeros. True is the sum of trues.
Outcome ImportScatterNd(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckPolicy(ctx));
  GRAFT_ASSIGN_OR_RETURN(ir::Shape shape, ctx.Dims(2));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices, Indices(ctx, 0));
  const bool is_bool = ctx.dtype(1) == DType::kBool;
  const DType dtype = is_bool ? DType::kUint8 : ctx.dtype(1);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId updates, ctx.Cast(ctx.operand(1), dtype, "updates"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId zero, ctx.Scalar(0, dtype, "zero"));
  GRAFT_ASSIGN_OR_RETURN(
      const ir::ValueId zeros,
      ctx.Emit(ir::BroadcastAttributes{.shape = std::move(shape)}, {zero}, "zeros"));
  const auto kind = is_bool ? ir::ScatterKind::kMax : ir::ScatterKind::kAdd;
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId y,
                         ctx.Emit(ir::ScatterNdAttributes{.kind = kind}, {zeros, indices, updates},
                                  is_bool ? "scatter" : ""));
  return ctx.Output(ctx.Cast(y, ctx.dtype(1)));
}

// tensor, indices, updates
Outcome ImportTensorScatter(NodeContext& ctx) {
  GRAFT_RETURN_IF_REFUSED(CheckPolicy(ctx));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId indices, Indices(ctx, 1));
  const auto kind = std::find_if(std::begin(kScatters), std::end(kScatters),
                                 [&](const auto& row) { return row.first == ctx.node().op; });
  return ctx.Output(ctx.Emit(ir::ScatterNdAttributes{.kind = kind->second},
                             {ctx.operand(0), indices, ctx.operand(2)}));
}

// indices…, data…: rows of the result, from the operands that name them; the last one counts. Which
// rows these are is known now, so it is one gather.
Outcome ImportDynamicStitch(NodeContext& ctx) {
  const int count = ctx.operand_count() / 2;
  constexpr int64_t kMostRows = 1 << 24;
  std::vector<int32_t> rows;  // of the result: where in all the data each lies
  std::vector<ir::ValueId> data;
  int32_t next = 0;
  for (int i = 0; i < count; ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> indices, ctx.Integers(i));
    for (const int64_t to : indices) {
      if (to < 0 || to >= kMostRows) return Refuse("row {} of the result", to);
      if (to >= static_cast<int64_t>(rows.size())) rows.resize(to + 1, -1);
      rows[to] = next++;
    }
    const ir::Shape& shape = ctx.shape(count + i);
    if (ctx.rank(i) > ctx.rank(count + i))
      return Refuse("{} {} of {}", ctx.OperandName(i), ToString(ctx.shape(i)), ToString(shape));
    ir::Shape flat = {static_cast<int64_t>(indices.size())};
    flat.insert(flat.end(), shape.begin() + ctx.rank(i), shape.end());
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId part,
                           ctx.Reshape(ctx.operand(count + i), std::move(flat), "data"));
    data.push_back(part);
  }
  const auto missing = std::find(rows.begin(), rows.end(), -1);
  if (missing != rows.end())
    return Refuse("no operand gives row {} of the result", missing - rows.begin());
  if (data.empty()) return Refuse("no operands");
  ir::ValueId all = data[0];
  if (count > 1) {
    GRAFT_ASSIGN_OR_RETURN(all, ctx.Emit(ir::ConcatAttributes{.axis = 0}, std::move(data), "all"));
  }
  const auto size = static_cast<int64_t>(rows.size());
  return ctx.Output(ctx.Emit(ir::GatherAttributes{},
                             {all, ctx.AddConstant(Tensor::Of<int32_t>({size}, rows), "rows")}));
}

}  // namespace graft::importer
