// oneDNN's tactics against our own on shapes that both take, and that no OpenMP team appears.
#include <gtest/gtest.h>

#include <filesystem>

#include "backends/cpu/cpu_backend.h"
#include "base/aligned_buffer.h"
#include "kernels/cpu/test_util.h"

namespace graft {
namespace {

using cpu::RandomFloats;

std::vector<float> RunTactic(const std::string& tactic_name, const ir::Module& module,
                             const ir::Node& node, std::span<const void* const> inputs,
                             Executor& executor) {
  const Tactic* tactic = CpuBackend().FindTactic(tactic_name);
  const std::optional<Refusal> refusal = tactic->Accepts(module, node);
  EXPECT_FALSE(refusal) << refusal->reason;
  const BoundNode bound = BindNode(module, node, {}).value();
  const auto packed = tactic->Pack(module, node, executor).value();
  const auto step = tactic->Bind(bound, packed.get(), "");
  EXPECT_TRUE(step.ok()) << step.status().ToString();
  AlignedBuffer workspace((*step)->workspace_bytes(executor.width()));
  std::vector<float> y(CountElements(bound.outputs[0].dims));
  void* outputs[] = {y.data()};
  const Status status =
      (*step)->Enqueue({inputs, outputs, workspace.data()}, {.executor = &executor});
  EXPECT_TRUE(status.ok()) << status.ToString();
  return y;
}

void ExpectNear(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 2e-3) << i;
}

struct Case {
  int64_t batch;
  int64_t groups;
  int64_t output_channels;
  int64_t stride;
  int64_t dilation;
  std::string epilogue;
};

TEST(OnednnTactics, ConvolutionsAgree) {
  const std::string residual = "3:r3=add.f32(r0,r1);r4=add.f32(r2,r3);r5=relu.f32(r4)";
  const std::string bounds = "2:r2=add.f32(r0,r1);r3=clamp.f32(r2|0,6)";
  const std::string swish = "2:r2=add.f32(r0,r1);r3=swish.f32(r2)";
  for (const Case& c :
       {Case{1, 1, 48, 1, 1, residual}, Case{3, 1, 16, 2, 1, bounds}, Case{5, 1, 32, 1, 2, swish},
        Case{1, 32, 32, 1, 1, bounds}, Case{2, 2, 32, 2, 1, residual}, Case{1, 1, 32, 1, 1, ""}}) {
    ir::Module module;
    ir::ConvAttributes conv;
    conv.strides = {c.stride, c.stride};
    conv.dilations = {c.dilation, c.dilation};
    conv.pads_before = {1, 1};
    conv.pads_after = {1, 0};
    conv.groups = c.groups;
    const auto x = RandomFloats(c.batch * 14 * 13 * 32, 1);
    const auto bias = RandomFloats(c.output_channels, 3);
    const auto other = RandomFloats(c.batch * 14 * 13 * c.output_channels, 4);
    std::vector<ir::ValueId> operands = {
        module.AddInput("x", DType::kFloat32, {c.batch, 14, 13, 32}),
        module.AddConstant(
            "w", Tensor::Of<float>({3, 3, 32 / c.groups, c.output_channels},
                                   RandomFloats(9 * 32 / c.groups * c.output_channels, 2)))};
    if (!c.epilogue.empty()) {
      ir::ConvAttributes plain = conv;
      const ir::Node node = module.node(module.AddNode(plain, operands, "plain").value());
      conv.epilogue = ParsePointwise(c.epilogue).value();
      operands.push_back(module.AddConstant("b", Tensor::Of<float>({c.output_channels}, bias)));
      if (conv.epilogue.inputs > 2) {
        operands.push_back(
            module.AddInput("residual", DType::kFloat32, module.value(node.outputs[0]).shape));
      }
    }
    const ir::Node node = module.node(module.AddNode(conv, operands, "conv").value());
    const void* inputs[] = {x.data(), nullptr, bias.data(), other.data()};
    const bool depthwise = c.groups == 32 && c.output_channels == 32;
    const std::string ours = depthwise ? "cpu.conv.depthwise" : "cpu.conv.igemm";
    for (int threads : {1, 3}) {
      SCOPED_TRACE(testing::Message()
                   << ir::AttributesToString(node.attributes) << ", " << threads << " threads");
      const std::unique_ptr<Executor> executor = MakeTbbExecutor(threads);
      ExpectNear(RunTactic("cpu.conv.onednn", module, node, inputs, *executor),
                 RunTactic(ours, module, node, inputs, *executor));
    }
  }
}

TEST(OnednnTactics, ProductsAgree) {
  for (const bool transpose : {false, true}) {
    for (const int64_t rows : {1, 37}) {
      ir::Module module;
      ir::MatMulAttributes matmul;
      matmul.transpose_b = transpose;
      const auto a = RandomFloats(rows * 96, 1);
      const Dims dims = transpose ? Dims{80, 96} : Dims{96, 80};
      const ir::ValueId left = module.AddInput("a", DType::kFloat32, {rows, 96});
      const ir::ValueId right =
          module.AddConstant("b", Tensor::Of<float>(dims, RandomFloats(96 * 80, 2)));
      const ir::Node node = module.node(module.AddNode(matmul, {left, right}, "matmul").value());
      const void* inputs[] = {a.data(), nullptr};
      for (int threads : {1, 3}) {
        const std::unique_ptr<Executor> executor = MakeTbbExecutor(threads);
        ExpectNear(RunTactic("cpu.matmul.onednn", module, node, inputs, *executor),
                   RunTactic("cpu.matmul.packed", module, node, inputs, *executor));
      }
    }
  }
}

int ThreadCount() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

TEST(OnednnTactics, StartNoThreads) {
  ir::Module module;
  ir::ConvAttributes conv;
  conv.strides = {1, 1};
  conv.dilations = {1, 1};
  conv.pads_before = {1, 1};
  conv.pads_after = {1, 1};
  const ir::ValueId x = module.AddInput("x", DType::kFloat32, {4, 28, 28, 64});
  const ir::ValueId w =
      module.AddConstant("w", Tensor::Of<float>({3, 3, 64, 64}, RandomFloats(9 * 64 * 64, 1)));
  const ir::Node node = module.node(module.AddNode(conv, {x, w}, "conv").value());
  const auto image = RandomFloats(4 * 28 * 28 * 64, 2);
  const void* inputs[] = {image.data(), nullptr};
  const int before = ThreadCount();
  InlineExecutor executor;
  RunTactic("cpu.conv.onednn", module, node, inputs, executor);
  EXPECT_EQ(ThreadCount(), before);
}

}  // namespace
}  // namespace graft
