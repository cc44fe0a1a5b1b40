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
    Result<std::unique_ptr<BoundStep>> step = entry.tactic->Bind(*bound, nullptr, "");
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

TEST(DataTactics, RunBoundNodes) {
  ir::Module module;
  const ir::ValueId x = module.AddConstant("x", Tensor::Of<int32_t>({2, 3}, {1, 2, 3, 4, 5, 6}));
  const ir::ValueId y = module.AddConstant("y", Tensor::Of<int32_t>({2, 1}, {7, 8}));
  const auto run = [&](ir::Attributes attributes, std::vector<ir::ValueId> inputs,
                       std::string_view tactic) {
    Result<ir::NodeId> node = module.AddNode(std::move(attributes), std::move(inputs), "n");
    GRAFT_CHECK(node.ok(), "{}", node.status().ToString());
    return RunNode(module, *node, tactic)[0];
  };
  const auto i32 = [](Dims dims, std::initializer_list<int32_t> values) {
    return Tensor::Of<int32_t>(std::move(dims), values);
  };
  EXPECT_TRUE(BitwiseEqual(run(ir::ReshapeAttributes{{3, 2}}, {x}, "cpu.reshape.copy"),
                           i32({3, 2}, {1, 2, 3, 4, 5, 6})));
  EXPECT_TRUE(BitwiseEqual(run(ir::TransposeAttributes{{1, 0}}, {x}, "cpu.transpose.blocks"),
                           i32({3, 2}, {1, 4, 2, 5, 3, 6})));
  EXPECT_TRUE(BitwiseEqual(run(ir::ConcatAttributes{1}, {x, y}, "cpu.concat.copies"),
                           i32({2, 4}, {1, 2, 3, 7, 4, 5, 6, 8})));
  EXPECT_TRUE(BitwiseEqual(run(ir::SliceAttributes{{0, 2}, {2, 2}, {1, -1}}, {x}, "cpu.slice.copy"),
                           i32({2, 2}, {3, 2, 6, 5})));
  EXPECT_TRUE(BitwiseEqual(run(ir::BroadcastAttributes{{2, 2}}, {y}, "cpu.broadcast.copy"),
                           i32({2, 2}, {7, 7, 8, 8})));
  EXPECT_TRUE(BitwiseEqual(run(ir::TileAttributes{{1, 3}}, {y}, "cpu.tile.copy"),
                           i32({2, 3}, {7, 7, 7, 8, 8, 8})));
  EXPECT_TRUE(BitwiseEqual(
      run(ir::PadAttributes{ir::PadMode::kConstant, {0, 1}, {0, 0}, 9}, {y}, "cpu.pad.tables"),
      i32({2, 2}, {9, 7, 9, 8})));
  const ir::ValueId index = module.AddConstant("i", Tensor::Of<int64_t>({2}, {2, 0}));
  EXPECT_TRUE(BitwiseEqual(run(ir::GatherAttributes{1, 0}, {x, index}, "cpu.gather.slices"),
                           i32({2, 2}, {3, 1, 6, 4})));
  const ir::ValueId tuple = module.AddConstant("t", Tensor::Of<int64_t>({1, 2}, {1, 2}));
  EXPECT_TRUE(BitwiseEqual(run(ir::GatherNdAttributes{0}, {x, tuple}, "cpu.gather_nd.slices"),
                           i32({1}, {6})));
  EXPECT_TRUE(
      BitwiseEqual(run(ir::DimsAttributes{{-1, 5}, DType::kInt32, 1}, {}, "cpu.dims.constant"),
                   i32({2}, {-1, 5})));
}

TEST(PoolTactic, RunsABoundNode) {
  ir::Module module;
  const ir::ValueId x =
      module.AddConstant("x", Tensor::Of<float>({1, 2, 3, 1}, {1, 2, 3, 4, 5, 6}));
  ir::PoolAttributes pool{ir::PoolKind::kMax, {2, 2}, {1, 1}, {0, 0}, {0, 1}, false};
  const ir::NodeId max = module.AddNode(pool, {x}, "max").value();
  EXPECT_TRUE(BitwiseEqual(RunNode(module, max, "cpu.pool.windows")[0],
                           Tensor::Of<float>({1, 1, 3, 1}, {5, 6, 6})));
  pool.kind = ir::PoolKind::kAverage;
  const ir::NodeId average = module.AddNode(pool, {x}, "average").value();
  EXPECT_TRUE(BitwiseEqual(RunNode(module, average, "cpu.pool.windows")[0],
                           Tensor::Of<float>({1, 1, 3, 1}, {3, 4, 4.5})));
}

TEST(SoftmaxTactic, RunsABoundNode) {
  ir::Module module;
  const ir::ValueId x = module.AddConstant("x", Tensor::Of<float>({2, 2}, {0, 0, 5, 5}));
  const ir::NodeId node = module.AddNode(ir::SoftmaxAttributes{false}, {x}, "n").value();
  EXPECT_TRUE(BitwiseEqual(RunNode(module, node, "cpu.softmax.rows")[0],
                           Tensor::Of<float>({2, 2}, {0.5, 0.5, 0.5, 0.5})));
}

TEST(ReduceTactics, RunBoundNodes) {
  ir::Module module;
  const ir::ValueId x = module.AddConstant("x", Tensor::Of<float>({2, 1, 3}, {1, 2, 6, 4, 8, 4}));
  ir::ReduceAttributes reduce{ir::ReduceKind::kMean, {1, 2}, false};
  const ir::NodeId mean = module.AddNode(reduce, {x}, "mean").value();
  EXPECT_TRUE(BitwiseEqual(RunNode(module, mean, "cpu.reduce.passes")[0],
                           Tensor::Of<float>({2}, {3, 16.f / 3})));
  const ir::ArgReduceAttributes arg{ir::ArgReduceKind::kMax, 2, DType::kInt64};
  const ir::NodeId argmax = module.AddNode(arg, {x}, "argmax").value();
  EXPECT_TRUE(BitwiseEqual(RunNode(module, argmax, "cpu.arg_reduce.lines")[0],
                           Tensor::Of<int64_t>({2, 1}, {2, 1})));
  const ir::NodeId top = module.AddNode(ir::TopKAttributes{2}, {x}, "top").value();
  const std::vector<Tensor> best = RunNode(module, top, "cpu.top_k.rows");
  EXPECT_TRUE(BitwiseEqual(best[0], Tensor::Of<float>({2, 1, 2}, {6, 2, 8, 4})));
  EXPECT_TRUE(BitwiseEqual(best[1], Tensor::Of<int32_t>({2, 1, 2}, {2, 1, 1, 0})));
}

TEST(ReduceTactics, RefuseByName) {
  ir::Module module;
  const ir::ValueId x = module.AddInput("x", DType::kFloat16, {2, 3});
  const ir::ReduceAttributes mean{ir::ReduceKind::kMean, {1}, false};
  const ir::NodeId node = module.AddNode(mean, {x}, "n").value();
  TacticTable table;
  AddTableTactics(table);
  for (const TacticEntry& entry : table) {
    if (entry.op != ir::OpKind::kReduce) continue;
    EXPECT_EQ(entry.tactic->Accepts(module, module.node(node))->reason,
              "no mean of f16 on the CPU");
  }
}

TEST(ResizeTactic, RunsABoundNode) {
  ir::Module module;
  const ir::ValueId x = module.AddConstant("x", Tensor::Of<float>({1, 1, 2, 1}, {0, 8}));
  ir::ResizeAttributes resize{ir::ResizeMode::kBilinear, {1, 4}, false, true};
  const ir::NodeId node = module.AddNode(resize, {x}, "n").value();
  EXPECT_TRUE(BitwiseEqual(RunNode(module, node, "cpu.resize.taps")[0],
                           Tensor::Of<float>({1, 1, 4, 1}, {0, 2, 6, 8})));
}

}  // namespace
}  // namespace graft::cpu
