// The way from a node to a kernel's problem: attributes, epilogues, windows of wider buffers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend_api/widened.h"
#include "backends/cpu/cpu_backend.h"
#include "base/aligned_buffer.h"
#include "base/half.h"
#include "kernels/cpu/test_util.h"

namespace graft {
namespace {

using cpu::RandomFloats;

// x[n, 9, 8, 6] * w[3, 2, 6, 5], stride 2, padded by 1 above and 0, 1 at the sides.
struct Example {
  ir::Module module;
  ir::NodeId node;
  std::vector<float> weights = RandomFloats(3 * 2 * 6 * 5, 1);
  std::vector<float> bias = RandomFloats(5, 2);

  explicit Example(const std::string& epilogue, const ir::Dim& batch = 2) {
    ir::ConvAttributes conv;
    conv.strides = {2, 2};
    conv.dilations = {1, 1};
    conv.pads_before = {1, 0};
    conv.pads_after = {0, 1};
    std::vector<ir::ValueId> inputs = {
        module.AddInput("x", DType::kFloat32, {batch, 9, 8, 6}),
        module.AddConstant("w", Tensor::Of<float>({3, 2, 6, 5}, weights))};
    if (!epilogue.empty()) {
      conv.epilogue = ParsePointwise(epilogue).value();
      if (conv.epilogue.inputs > 1) {
        inputs.push_back(module.AddConstant("bias", Tensor::Of<float>({5}, bias)));
      }
      if (conv.epilogue.inputs > 2) {
        inputs.push_back(module.AddInput("residual", DType::kFloat32, {batch, 4, 4, 5}));
      }
    }
    const Result<ir::NodeId> added = module.AddNode(conv, inputs, "conv");
    EXPECT_TRUE(added.ok()) << added.status().ToString();
    node = added.value();
  }
};

TEST(ConvTactics, RunANodeInWindowsOfWiderBuffers) {
  Example example("3:r3=add.f32(r0,r1);r4=add.f32(r2,r3);r5=relu.f32(r4)");
  const auto x = RandomFloats(2 * 9 * 8 * 10, 3);
  const auto residual = RandomFloats(2 * 4 * 4 * 5, 4);
  int taken = 0;
  for (const Candidate& candidate :
       CpuBackend().Candidates(example.module, example.module.node(example.node))) {
    if (candidate.refusal) continue;
    ++taken;
    SCOPED_TRACE(std::string(candidate.tactic->name()));
    const ir::Node& node = example.module.node(example.node);
    BoundNode bound = BindNode(example.module, node, {}).value();
    bound.inputs[0].row_stride = 10;
    bound.outputs[0].row_stride = 7;
    InlineExecutor executor;
    const auto packed = candidate.tactic->Pack(example.module, node, executor).value();
    const auto binding = candidate.tactic->Bind(bound, packed.get(), "");
    if (!candidate.tactic->Traits(example.module, node).any_shape && !binding.ok()) continue;
    const auto& step = binding.value();
    std::vector<float> y(2 * 4 * 4 * 7, -1.0f);
    AlignedBuffer workspace(step->workspace_bytes(1));
    const void* inputs[] = {x.data(), nullptr, example.bias.data(), residual.data()};
    void* outputs[] = {y.data()};
    const Status status =
        step->Enqueue({inputs, outputs, workspace.data()}, {.executor = &executor});
    ASSERT_TRUE(status.ok()) << status.ToString();
    for (int64_t row = 0; row < 2 * 4 * 4; ++row) {
      const int64_t n = row / 16, oy = row / 4 % 4, ox = row % 4;
      for (int64_t m = 0; m < 5; ++m) {
        float sum = example.bias[m] + residual[row * 5 + m];
        for (int64_t ky = 0; ky < 3; ++ky) {
          for (int64_t kx = 0; kx < 2; ++kx) {
            const int64_t iy = oy * 2 + ky - 1, ix = ox * 2 + kx;
            if (iy < 0 || iy >= 9 || ix >= 8) continue;
            for (int64_t c = 0; c < 6; ++c) {
              sum += x[((n * 9 + iy) * 8 + ix) * 10 + c] *
                     example.weights[((ky * 2 + kx) * 6 + c) * 5 + m];
            }
          }
        }
        EXPECT_NEAR(y[row * 7 + m], std::max(sum, 0.0f), 1e-4) << row << " " << m;
      }
      EXPECT_EQ(y[row * 7 + 5], -1.0f);
    }
  }
  EXPECT_GT(taken, 0);
}

// A program that no kernel knows: of the result, one value for each image and channel, and one for
// each column of the image.
TEST(ConvTactics, RunAnyEpilogue) {
  Example plain("");
  ir::Module& module = plain.module;
  ir::ConvAttributes conv = *module.node(plain.node).get<ir::ConvAttributes>();
  conv.epilogue = ParsePointwise("3:r3=mul.f32(r0,r1);r4=add.f32(r3,r2);r5=abs.f32(r4)").value();
  const std::vector<ir::ValueId> inputs = {module.node(plain.node).inputs[0],
                                           module.node(plain.node).inputs[1],
                                           module.AddInput("scale", DType::kFloat32, {2, 1, 1, 5}),
                                           module.AddInput("column", DType::kFloat32, {4, 1})};
  const ir::Node plain_node = module.node(plain.node);
  const ir::Node node = module.node(module.AddNode(conv, inputs, "fused").value());
  const auto x = RandomFloats(2 * 9 * 8 * 6, 3);
  const auto scale = RandomFloats(2 * 5, 4);
  const auto column = RandomFloats(4, 5);
  for (const Candidate& candidate : CpuBackend().Candidates(module, node)) {
    if (candidate.refusal) continue;
    SCOPED_TRACE(std::string(candidate.tactic->name()));
    const std::unique_ptr<Executor> executor = MakeTbbExecutor(2);
    if (!candidate.tactic->Traits(module, node).any_shape) continue;
    std::vector<float> results[2];
    for (const ir::Node* n : {&plain_node, &node}) {
      const auto packed = candidate.tactic->Pack(module, *n, *executor).value();
      const auto step =
          candidate.tactic->Bind(BindNode(module, *n, {}).value(), packed.get(), "").value();
      AlignedBuffer workspace(step->workspace_bytes(executor->width()));
      std::vector<float>& y = results[n == &node];
      y.resize(2 * 4 * 4 * 5);
      const void* pointers[] = {x.data(), nullptr, scale.data(), column.data()};
      void* outputs[] = {y.data()};
      ASSERT_TRUE(
          step->Enqueue({pointers, outputs, workspace.data()}, {.executor = executor.get()}).ok());
    }
    for (int64_t i = 0; i < 2 * 4 * 4 * 5; ++i) {
      const float value = results[0][i] * scale[i / 80 * 5 + i % 5] + column[i / 5 % 4];
      EXPECT_FLOAT_EQ(results[1][i], std::abs(value)) << i;
    }
  }
}

TEST(ConvTactics, SymbolicBatchIsAccepted) {
  Example example("3:r3=add.f32(r0,r1);r4=add.f32(r2,r3);r5=relu.f32(r4)", ir::Dim::Symbol(0));
  EXPECT_FALSE(
      CpuBackend().Supports(example.module, example.module.node(example.node)).has_value());
}

// What is chosen when nothing is timed, where one algorithm is far ahead: estimates are rough.
TEST(ConvTactics, CostRanksTheAlgorithms) {
  struct Choice {
    int64_t size, channels, kernel, outputs;
    std::string_view best;
  };
  const Choice choices[] = {
      {56, 64, 3, 64, "cpu.conv.winograd4"}, {56, 64, 1, 64, "cpu.conv.igemm"},
      {88, 32, 7, 1, "cpu.conv.dots"},       {64, 8, 5, 1, "cpu.conv.dots"},
      {40, 33, 3, 1, "cpu.conv.dots"},       {28, 256, 1, 4, "cpu.conv.dots"},
      {99, 1, 9, 1, "cpu.conv.igemm"},
  };
  for (const Choice& choice : choices) {
    SCOPED_TRACE(testing::Message() << choice.kernel << "x" << choice.kernel << ", "
                                    << choice.channels << " to " << choice.outputs);
    ir::Module module;
    ir::ConvAttributes conv;
    conv.strides = conv.dilations = {1, 1};
    conv.pads_before = conv.pads_after = {choice.kernel / 2, choice.kernel / 2};
    const Dims filter = {choice.kernel, choice.kernel, choice.channels, choice.outputs};
    const std::vector<float> weights = RandomFloats(CountElements(filter), 1);
    const ir::ValueId x =
        module.AddInput("x", DType::kFloat32, {1, choice.size, choice.size, choice.channels});
    const ir::ValueId w = module.AddConstant("w", Tensor::Of<float>(filter, weights));
    const ir::Node node = module.node(module.AddNode(conv, {x, w}, "conv").value());
    const BoundNode bound = BindNode(module, node, {}).value();
    std::string_view best;
    double least = std::numeric_limits<double>::infinity();
    for (const Candidate& candidate : CpuBackend().Candidates(module, node)) {
      if (candidate.refusal) continue;
      const double cost = candidate.tactic->Cost(bound);
      if (cost < least) least = cost, best = candidate.tactic->name();
    }
    EXPECT_EQ(best, choice.best);
  }
}

TEST(ConvTactics, FoundByName) {
  ASSERT_NE(CpuBackend().FindTactic("cpu.conv.igemm"), nullptr);
  EXPECT_EQ(CpuBackend().FindTactic("cpu.conv.nothing"), nullptr);
}

// The tactics that take the convolution x * w of such dtypes, w a constant.
std::vector<std::string> TacticsOf(DType x, DType w, DType accumulator) {
  ir::Module module;
  ir::ConvAttributes conv;
  conv.strides = conv.dilations = {1, 1};
  conv.pads_before = conv.pads_after = {1, 1};
  conv.accumulator = accumulator;
  Tensor filter = Tensor::Allocate(w, {3, 3, 8, 16}).value();
  std::memset(filter.mutable_raw(), 0, filter.bytes());
  const ir::ValueId input = module.AddInput("x", x, {1, 9, 8, 8});
  const ir::ValueId weights = module.AddConstant("w", std::move(filter));
  const ir::NodeId node = module.AddNode(conv, {input, weights}, "conv").value();
  std::vector<std::string> names;
  for (const Candidate& c : CpuBackend().Candidates(module, module.node(node))) {
    if (!c.refusal) names.emplace_back(c.tactic->name());
  }
  return names;
}

TEST(ConvTactics, TypesChooseAmongThem) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(TacticsOf(DType::kInt8, DType::kInt8, DType::kInt32), Names{"cpu.conv.igemm.s8"});
  EXPECT_EQ(TacticsOf(DType::kUint8, DType::kInt8, DType::kInt32), Names{"cpu.conv.igemm.u8s8"});
  EXPECT_EQ(TacticsOf(DType::kInt8, DType::kUint8, DType::kInt32), Names{});
  EXPECT_EQ(TacticsOf(DType::kInt8, DType::kInt8, DType::kInvalid), Names{"cpu.conv.plain"});
  EXPECT_EQ(TacticsOf(DType::kFloat16, DType::kFloat16, DType::kInvalid), Names{});
  // Weights in 16 bits reach the kernel that packs them so, and every other that sums in f32.
  const Names floats = TacticsOf(DType::kFloat32, DType::kFloat32, DType::kInvalid);
  Names halves = TacticsOf(DType::kFloat32, DType::kFloat16, DType::kFloat32);
  EXPECT_EQ(std::erase(halves, "cpu.conv.igemm.f16"), 1u);
  EXPECT_EQ(halves, floats);
}

TEST(ConvTactics, StoredWeightsAreAskedForBeforeTheyAreWidened) {
  ir::Module module;
  ir::MatMulAttributes product;
  product.epilogue = ParsePointwise("1:r1=relu.f16(r0)").value();
  const ir::ValueId x = module.AddInput("x", DType::kFloat16, {4, 8});
  const ir::ValueId w =
      module.AddConstant("w", Tensor::Of<Float16>({8, 3}, std::vector<Float16>(24, Float16(0.5f))));
  const ir::NodeId id = module.AddNode(product, {x, w}, "product").value();
  EXPECT_EQ(CpuBackend().Supports(module, module.node(id)), std::nullopt);
  const auto form = ChooseWidened(
      module, module.node(id),
      [](const ir::Module& m, const ir::Node& n) { return !CpuBackend().SupportsAsIs(m, n); });
  EXPECT_EQ(form, WidenedWeights::kAsStored);
  const auto results = EmitWidened(module, module.node(id), *form).value();
  const ir::Node& widened = module.node(module.value(results[0]).producer);
  EXPECT_EQ(widened.inputs[1], w);
  EXPECT_EQ(ir::AttributesToString(widened.attributes),
            "matmul transpose_a=false transpose_b=false accumulator=f32 "
            "epilogue={1:r1=cast.f16(r0);r2=relu.f16(r1)}");
  // A backend of f32 alone gets constants of f32.
  const auto floats =
      ChooseWidened(module, module.node(id),
                    [](const ir::Module& m, const ir::Node& n) { return !CanWiden(m, n); });
  EXPECT_EQ(floats, WidenedWeights::kWidened);
}

}  // namespace
}  // namespace graft
