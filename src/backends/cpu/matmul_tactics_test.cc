// The way from a node to a kernel's problem: transposes and broadcast stacks of matrices.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "backends/cpu/cpu_backend.h"
#include "base/aligned_buffer.h"

namespace graft {
namespace {

// a[2, 1, k, 3] (transposed) times b[4, k, 5], constant or not: y[2, 4, 3, 5].
TEST(MatMulTactics, BroadcastStacks) {
  constexpr int64_t kDepth = 6;
  std::vector<float> a(2 * kDepth * 3), b(4 * kDepth * 5);
  std::iota(a.begin(), a.end(), -7.0f);
  std::iota(b.begin(), b.end(), -31.0f);
  for (const bool constant : {false, true}) {
    ir::Module module;
    ir::MatMulAttributes matmul;
    matmul.transpose_a = true;
    const ir::ValueId left = module.AddInput("a", DType::kFloat32, {2, 1, kDepth, 3});
    const ir::ValueId right = constant
                                  ? module.AddConstant("b", Tensor::Of<float>({4, kDepth, 5}, b))
                                  : module.AddInput("b", DType::kFloat32, {4, kDepth, 5});
    const ir::Node& node = module.node(module.AddNode(matmul, {left, right}, "matmul").value());
    const BoundNode bound = BindNode(module, node, {}).value();
    int taken = 0;
    for (const Candidate& candidate : CpuBackend().Candidates(module, node)) {
      if (candidate.refusal) continue;
      ++taken;
      SCOPED_TRACE(std::string(candidate.tactic->name()));
      InlineExecutor executor;
      std::unique_ptr<PackedWeights> packed;
      if (!candidate.tactic->packing().empty()) {
        packed = candidate.tactic->Pack(module, node, executor).value();
      }
      const auto step = candidate.tactic->Bind(bound, packed.get(), "").value();
      AlignedBuffer workspace(step->workspace_bytes(1));
      std::vector<float> y(2 * 4 * 3 * 5);
      const void* inputs[] = {a.data(), b.data()};
      void* outputs[] = {y.data()};
      ASSERT_TRUE(step->Enqueue({inputs, outputs, workspace.data()}, {.executor = &executor}).ok());
      for (int64_t i = 0; i < 2 * 4 * 3 * 5; ++i) {
        const int64_t n = i % 5, r = i / 5 % 3, p = i / 15 % 4, q = i / 60;
        float sum = 0;
        for (int64_t k = 0; k < kDepth; ++k) {
          sum += a[(q * kDepth + k) * 3 + r] * b[(p * kDepth + k) * 5 + n];
        }
        EXPECT_FLOAT_EQ(y[i], sum) << i;
      }
    }
    EXPECT_GT(taken, 0);
  }
}

// One constant matrix serves a whole batch.
TEST(MatMulTactics, ConstantMatricesArePacked) {
  ir::Module module;
  const ir::ValueId a = module.AddInput("a", DType::kFloat32, {ir::Dim::Symbol(0), 8});
  const ir::ValueId b =
      module.AddConstant("b", Tensor::Of<float>({8, 3}, std::vector<float>(24, 1.0f)));
  const ir::Node& node =
      module.node(module.AddNode(ir::MatMulAttributes(), {a, b}, "matmul").value());
  const std::vector<Candidate> candidates = CpuBackend().Candidates(module, node);
  const auto first =
      std::ranges::find_if(candidates, [](const Candidate& c) { return !c.refusal; });
  ASSERT_NE(first, candidates.end());
  EXPECT_EQ(first->tactic->name(), "cpu.matmul.packed");
}

}  // namespace
}  // namespace graft
