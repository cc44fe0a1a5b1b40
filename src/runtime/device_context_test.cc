// Contexts over a device with memory, streams and recordings of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/reference/evaluator.h"
#include "fake_device/device_tensor.h"
#include "runtime/context.h"
#include "runtime/test_modules.h"

namespace graft {
namespace {

using fake_device::DeviceTensor;
using fake_device::Outputs;
using testing::AddProgram;
using ::testing::HasSubstr;
using testing::ModuleBuilder;
using testing::NegateProgram;
using testing::PlanFor;
using testing::RandomModule;
using testing::RandomTensor;
using testing::StagedModule;

fake_device::FakeDevice& device() { return TheFakeDevice(); }

std::unique_ptr<Context> MakeContext(const ir::Module& module, ContextOptions options = {}) {
  Result<std::shared_ptr<const Engine>> engine =
      Engine::Create(PlanFor(module, FakeDeviceBackend()), FakeDeviceBackend());
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return *Context::Create(*engine, std::move(options));
}

void ExpectSame(std::span<const Tensor> a, std::span<const Tensor> b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(BitwiseEqual(a[i], b[i])) << "output " << i;
}

TEST(DeviceContext, CopiesOnlyWhatIsInAnotherSpace) {
  std::minstd_rand random(3);
  for (unsigned seed = 0; seed < 60; ++seed) {
    const ir::Module module = RandomModule(seed);
    SCOPED_TRACE(fmt::format("seed {}\n{}", seed, *ir::ToText(module)));
    const auto context = MakeContext(module);
    const size_t count = module.outputs.size();
    // The second run replays, and the third has other memory; spaces change in between.
    for (const int64_t batch : {2, 2, 2, 3, 2}) {
      const Tensor x = RandomTensor({batch, 4}, random);
      const std::vector<Tensor> expected = *reference::RunModule(module, std::vector<Tensor>{x});
      const DeviceTensor on_device(x);
      for (const MemorySpace in : {MemorySpace::kHost, MemorySpace::kDevice}) {
        for (const MemorySpace out : {MemorySpace::kHost, MemorySpace::kDevice}) {
          const TensorView views[] = {in == MemorySpace::kHost ? ViewOf(x) : on_device.view()};
          Outputs outputs(count, out);
          const auto before = device().copies();
          const Status status = context->Run(views, outputs);
          const auto after = device().copies();
          ASSERT_TRUE(status.ok()) << status.ToString();
          EXPECT_EQ(after.to_device - before.to_device,
                    in == MemorySpace::kHost && context->engine().ReadsInput(0));
          EXPECT_EQ(after.to_host - before.to_host,
                    out == MemorySpace::kHost ? static_cast<int64_t>(count) : 0);
          ExpectSame(outputs.Read(), expected);
        }
      }
      if (HasFailure()) return;
    }
  }
}

// x → -x → -x + x; each output written where the caller wants it.
ir::Module TwoSteps() {
  ModuleBuilder b;
  const ir::ValueId x = b.module.AddInput("x:0", DType::kFloat32, {ir::Dim::Symbol(b.Batch()), 4});
  const ir::ValueId negative = b.Node(NegateProgram(), {x}, "negative");
  b.Output(negative, "negative:0");
  const ir::ValueId again = b.Node(NegateProgram(), {negative}, "again");
  b.Output(b.Node(AddProgram(), {again, again}, "sum"), "sum:0");
  return b.module;
}

TEST(DeviceContext, RecordsTheSecondRunAndUpdatesWhatMoves) {
  const ir::Module module = TwoSteps();
  const auto context = MakeContext(module);
  std::minstd_rand random(1);
  const DeviceTensor x(RandomTensor({2, 4}, random));
  const DeviceTensor other(RandomTensor({2, 4}, random));
  std::vector<DeviceTensor> memory;
  for (int i = 0; i < 4; ++i) memory.emplace_back(DType::kFloat32, Dims{2, 4});
  const auto run = [&](const DeviceTensor& input, int first) {
    const TensorView views[] = {input.view()};
    const auto before = device().recordings();
    const Status status = context->Run(views, [&](const OutputRequest& r) -> Result<OutputMemory> {
      return OutputMemory{memory[first + r.output].data(), MemorySpace::kDevice};
    });
    EXPECT_TRUE(status.ok()) << status.ToString();
    const auto after = device().recordings();
    const std::vector<Tensor> expected =
        *reference::RunModule(module, std::vector<Tensor>{input.Read()});
    ExpectSame(std::vector<Tensor>{memory[first].Read(), memory[first + 1].Read()}, expected);
    return fake_device::FakeDevice::Recordings{
        after.made - before.made, after.updates - before.updates, after.launches - before.launches};
  };
  using Counts = fake_device::FakeDevice::Recordings;
  EXPECT_EQ(run(x, 0), (Counts{0, 0, 0}));
  EXPECT_EQ(run(x, 0), (Counts{1, 0, 1}));
  EXPECT_EQ(run(x, 0), (Counts{0, 0, 1}));
  // Only the first step reads the input; the first two have the first output's memory.
  EXPECT_EQ(run(other, 0), (Counts{0, 1, 1}));
  EXPECT_EQ(run(other, 2), (Counts{0, 3, 1}));
  EXPECT_EQ(run(other, 2), (Counts{0, 0, 1}));
  // Another shape, and this one again: its recording is still there.
  const Tensor wide = RandomTensor({5, 4}, random);
  const TensorView wide_views[] = {ViewOf(wide)};
  Outputs outputs(2, MemorySpace::kHost);
  ASSERT_TRUE(context->Run(wide_views, outputs).ok());
  // Its arena was larger, so what was recorded in the old one is gone.
  EXPECT_EQ(run(other, 2), (Counts{0, 0, 0}));
  EXPECT_EQ(run(other, 2), (Counts{1, 0, 1}));
  ASSERT_TRUE(context->Run(wide_views, outputs).ok());
  EXPECT_EQ(run(other, 2), (Counts{0, 0, 1}));
  // A profile times steps.
  context->StartProfile();
  EXPECT_EQ(run(other, 2), (Counts{0, 0, 0}));
}

// Four branches of two steps. Recorded, they may run side by side, so no branch has memory that
// another one gave back; the fake device runs the last one first.
TEST(DeviceContext, RecordedStepsWaitForNoMoreThanTheyNeed) {
  ModuleBuilder b;
  const ir::ValueId x = b.module.AddInput("x:0", DType::kFloat32, {ir::Dim::Symbol(b.Batch()), 4});
  std::vector<ir::ValueId> branches;
  for (int i = 0; i < 4; ++i) {
    const ir::ValueId w =
        b.module.AddConstant(fmt::format("w{}", i), Tensor::Of<float>({4}, {1, 2, 3, float(i)}));
    const ir::ValueId first = b.Node(AddProgram(), {x, w}, fmt::format("first{}", i));
    branches.push_back(b.Node(AddProgram(), {first, first}, fmt::format("second{}", i)));
  }
  b.Output(b.Node(ir::ConcatAttributes{1}, branches, "concat"), "concat:0");
  const auto context = MakeContext(b.module);
  std::minstd_rand random(1);
  const std::vector<Tensor> inputs = {RandomTensor({16, 4}, random)};
  for (int i = 0; i < 3; ++i)
    ExpectSame(*context->Run(inputs), *reference::RunModule(b.module, inputs));
  const std::shared_ptr<const ShapePlan> plan = context->shape_plans()[0];
  const std::vector<std::vector<int>> expected = {{}, {0}, {}, {2}, {}, {4}, {}, {6}, {1, 3, 5, 7}};
  EXPECT_EQ(plan->waits, expected);
  EXPECT_GE(plan->arena_bytes, 8 * 16 * 4 * sizeof(float));
}

TEST(DeviceContext, RecordsNothingWhenNotWanted) {
  for (const bool per_run : {false, true}) {
    ContextOptions options;
    options.record = false;
    if (per_run) options.record = options.arena_per_run = true;
    const auto context = MakeContext(TwoSteps(), options);
    std::minstd_rand random(1);
    const std::vector<Tensor> inputs = {RandomTensor({2, 4}, random)};
    const auto before = device().recordings();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(context->Run(inputs).ok());
    EXPECT_EQ(device().recordings(), before);
  }
}

void EnqueueMany(const ir::Module& module, bool per_run) {
  ContextOptions options;
  options.arena_per_run = per_run;
  const size_t living = device().memory().living_allocations();
  void* streams[] = {*device().CreateStream(), *device().CreateStream()};
  {
    std::minstd_rand random(5);
    std::vector<std::unique_ptr<Outputs>> outputs;
    std::vector<std::vector<Tensor>> inputs;
    std::vector<DeviceTensor> on_device;
    constexpr int kRuns = 60;
    on_device.reserve(kRuns);
    const auto context = MakeContext(module, options);
    for (int i = 0; i < kRuns; ++i) {
      // More shapes than are kept prepared, in an arena that grows.
      inputs.push_back({RandomTensor({1 + (i < 30 ? i : i % 3), 4}, random)});
      on_device.emplace_back(inputs.back()[0]);
      outputs.push_back(std::make_unique<Outputs>(
          module.outputs.size(), i % 2 ? MemorySpace::kHost : MemorySpace::kDevice));
      const TensorView views[] = {i % 4 < 2 ? ViewOf(inputs.back()[0]) : on_device[i].view()};
      const Status status = context->Enqueue(views, *outputs.back(), streams[i / 5 % 2]);
      ASSERT_TRUE(status.ok()) << status.ToString();
    }
    for (void* stream : streams) EXPECT_TRUE(device().Synchronize(stream).ok());
    for (int i = 0; i < kRuns; ++i) {
      SCOPED_TRACE(fmt::format("run {}", i));
      ExpectSame(outputs[i]->Read(), *reference::RunModule(module, inputs[i]));
    }
  }
  for (void* stream : streams) {
    EXPECT_TRUE(device().Synchronize(stream).ok());
    device().DestroyStream(stream);
  }
  EXPECT_EQ(device().memory().living_allocations(), living);
}

TEST(DeviceContext, QueuesRunsOnTheCallersStreams) {
  for (unsigned seed = 0; seed < 6; ++seed) {
    EnqueueMany(RandomModule(seed), seed % 2);
    EnqueueMany(StagedModule(seed), seed % 2);
  }
}

TEST(DeviceContext, KeepsWhatARunNeedsUntilItIsDone) {
  const ir::Module module = RandomModule(7);
  std::minstd_rand random(1);
  const Tensor x = RandomTensor({3, 4}, random);
  const TensorView views[] = {ViewOf(x)};
  void* const stream = *device().CreateStream();
  std::vector<Outputs> outputs(20, Outputs(module.outputs.size(), MemorySpace::kHost));
  {
    const auto context = MakeContext(module);
    for (size_t i = 0; i < outputs.size(); ++i)
      ASSERT_TRUE(context->Enqueue(views, outputs[i], i < 19 ? nullptr : stream).ok());
  }
  // Context and engine are gone: they have waited.
  for (const Outputs& each : outputs)
    ExpectSame(each.Read(), *reference::RunModule(module, std::vector<Tensor>{x}));
  EXPECT_TRUE(device().Synchronize(stream).ok());
  device().DestroyStream(stream);
}

TEST(DeviceContext, TellsOfAFailureLater) {
  const auto context = MakeContext(TwoSteps());
  std::minstd_rand random(1);
  const Tensor x = RandomTensor({2, 4}, random);
  const TensorView good[] = {ViewOf(x)};
  // What it says is on the device is not.
  TensorView bad[] = {ViewOf(x)};
  bad[0].space = MemorySpace::kDevice;
  void* const stream = *device().CreateStream();
  for (int round = 0; round < 3; ++round) {
    Outputs outputs(2, MemorySpace::kDevice);
    EXPECT_TRUE(context->Enqueue(bad, outputs, stream).ok());
    Status status;
    for (int i = 0; i < 10000 && status.ok(); ++i) {
      Outputs later(2, MemorySpace::kDevice);
      status = context->Enqueue(good, later, stream);
      if (status.ok()) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    EXPECT_THAT(status.message(), HasSubstr("an earlier run"));
    EXPECT_THAT(status.message(), HasSubstr("are not the device's"));
    Outputs again(2, MemorySpace::kDevice);
    status = context->Enqueue(good, again, stream);
    ASSERT_TRUE(status.ok()) << status.ToString();
    ASSERT_TRUE(device().Synchronize(stream).ok());
    ExpectSame(again.Read(), *reference::RunModule(TwoSteps(), std::vector<Tensor>{x}));
  }
  EXPECT_FALSE(context->Run(bad, Outputs(2, MemorySpace::kHost)).ok());
  EXPECT_TRUE(context->Run(good, Outputs(2, MemorySpace::kHost)).ok());
  ASSERT_TRUE(device().Synchronize(stream).ok());
  device().DestroyStream(stream);
}

TEST(DeviceContext, WantsElementsThatAreShapesOnTheHost) {
  ModuleBuilder b;
  ir::Symbol symbol;
  symbol.kind = ir::Symbol::Kind::kHostValue;
  symbol.input = 1;
  symbol.name = "n[0]";
  const ir::SymbolId s = b.module.AddSymbol(symbol);
  const ir::ValueId x = b.module.AddInput("x:0", DType::kFloat32, {1, 3});
  b.module.AddInput("n:0", DType::kInt64, {1});
  b.Output(b.Node(ir::TileAttributes{{ir::Dim::Symbol(s), 1}}, {x}, "tile"), "tile:0");
  const auto context = MakeContext(b.module);
  const DeviceTensor data(Tensor::Of<float>({1, 3}, {1, 2, 3}));
  const Tensor n = Tensor::Of<int64_t>({1}, {2});
  const DeviceTensor n_on_device(n);
  for (int i = 0; i < 2; ++i) {
    const TensorView good[] = {data.view(), ViewOf(n)};
    const auto before = device().copies();
    EXPECT_TRUE(context->Run(good, Outputs(1, MemorySpace::kDevice)).ok());
    EXPECT_EQ(device().copies(), before);  // no step reads n
    const TensorView bad[] = {data.view(), n_on_device.view()};
    EXPECT_THAT(context->Run(bad, Outputs(1, MemorySpace::kDevice)).message(),
                HasSubstr("n:0: its elements are shapes"));
  }
}

}  // namespace
}  // namespace graft
