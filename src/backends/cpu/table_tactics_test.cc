#include "backends/cpu/table_tactics.h"

#include <gtest/gtest.h>

#include "base/aligned_buffer.h"

namespace graft::cpu {
namespace {

// Runs the node, whose operands are all constants, by the named tactic on dense buffers.
std::vector<Tensor> RunNode(const ir::Module& module, ir::NodeId id, std::string_view tactic_name) {
  TacticTable table;
  AddTableTactics(table);
  for (const TacticEntry& entry : table) {
    if (entry.tactic->name() != tactic_name) continue;
    const ir::Node& node = module.node(id);
    EXPECT_EQ(entry.op, node.kind());
    const std::optional<Refusal> refusal = entry.tactic->Accepts(module, node);
    GRAFT_CHECK(!refusal, "{}", refusal ? refusal->reason : "");
    Result<BoundNode> bound = BindNode(module, node, {});
    GRAFT_CHECK(bound.ok(), "{}", bound.status().ToString());
    Result<std::unique_ptr<BoundStep>> step = entry.tactic->Bind(*bound, nullptr);
    GRAFT_CHECK(step.ok(), "{}", step.status().ToString());
    EXPECT_GE(entry.tactic->Cost(*bound), 0);
    std::vector<const void*> inputs;
    for (const BoundValue& v : bound->inputs) inputs.push_back(v.constant->raw());
    std::vector<Tensor> results;
    std::vector<void*> outputs;
    for (const BoundValue& v : bound->outputs) {
      results.push_back(Tensor::Allocate(v.dtype, v.dims).value());
      outputs.push_back(results.back().mutable_raw());
    }
    InlineExecutor executor;
    AlignedBuffer workspace((*step)->workspace_bytes(executor.width()));
    const Status status =
        (*step)->Enqueue({inputs, outputs, workspace.data()}, Queue{&executor, nullptr});
    GRAFT_CHECK(status.ok(), "{}", status.ToString());
    return results;
  }
  GRAFT_CHECK(false, "no tactic {}", tactic_name);
  return {};
}

TEST(PointwiseTactic, RunsABoundNode) {
  ir::Module module;
  const ir::ValueId x = module.AddConstant("x", Tensor::Of<float>({2, 3}, {1, -2, 3, -4, 5, -6}));
  const ir::ValueId y = module.AddConstant("y", Tensor::Of<float>({3}, {10, 20, 30}));
  PointwiseProgram program;
  program.inputs = 2;
  program.Add(PointwiseOp::kMul, DType::kFloat32, 0, 1);
  program.Add(PointwiseOp::kRelu, DType::kFloat32, 2);
  const ir::NodeId node = module.AddNode(ir::PointwiseAttributes{program}, {x, y}, "n").value();
  EXPECT_TRUE(BitwiseEqual(RunNode(module, node, "cpu.pointwise.blocks")[0],
                           Tensor::Of<float>({2, 3}, {10, 0, 90, 0, 100, 0})));
}

TEST(PointwiseTactic, RefusesByName) {
  ir::Module module;
  const ir::ValueId x = module.AddInput("x", DType::kFloat16, {2});
  PointwiseProgram program;
  program.inputs = 1;
  program.Add(PointwiseOp::kExp, DType::kFloat16, 0);
  const ir::NodeId node = module.AddNode(ir::PointwiseAttributes{program}, {x}, "n").value();
  TacticTable table;
  AddTableTactics(table);
  for (const TacticEntry& entry : table) {
    if (entry.op != ir::OpKind::kPointwise) continue;
    EXPECT_EQ(entry.tactic->Accepts(module, module.node(node))->reason, "no exp of f16 on the CPU");
  }
}

}  // namespace
}  // namespace graft::cpu
