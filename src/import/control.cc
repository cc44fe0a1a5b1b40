// Ops that compute nothing.
#include "import/node_context.h"

namespace graft::importer {

Outcome ImportConst(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const tf::TensorValue value, ctx.Attr<tf::TensorValue>("value"));
  if (!IsHeld(value.dtype()))
    return Refuse("Unsupported tensorflow data type {}", TensorFlowName(value.dtype()));
  GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Accepted<Tensor>(value.Decode()));
  return ctx.SetOutput(0, ctx.module().AddConstant(ctx.node().name, std::move(tensor)));
}

Outcome ImportIdentity(NodeContext& ctx) {
  for (int i = 0; i < ctx.operand_count(); ++i)
    GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(i, ctx.operand(i)));
  return kAccepted;
}

}  // namespace graft::importer
