#include "runtime/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <new>
#include <thread>

#include "backend_api/test_backend.h"
#include "backends/reference/evaluator.h"
#include "base/log.h"
#include "fake_device/fake_device_backend.h"
#include "runtime/backend_table.h"
#include "runtime/engine_registry.h"
#include "runtime/load.h"
#include "runtime/test_modules.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

// Counts every allocation of C++ code in this program. The sanitizers bring their own of each form
// that is not here, which do not go with these.
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size ? size : 1);
}
[[gnu::noinline]] void* operator new(size_t size) {
  if (void* memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace graft {
namespace {

using ::testing::HasSubstr;
using testing::ModuleBuilder;
using testing::PlanFor;
using testing::RandomModule;
using testing::RandomTensor;
using testing::StagedModule;

std::shared_ptr<const Engine> MakeEngine(const ir::Module& module, Backend& backend) {
  Result<std::shared_ptr<const Engine>> engine = Engine::Create(PlanFor(module, backend), backend);
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return *engine;
}

std::unique_ptr<Context> MakeContext(std::shared_ptr<const Engine> engine,
                                     ContextOptions options = {}) {
  Result<std::unique_ptr<Context>> context = Context::Create(std::move(engine), std::move(options));
  EXPECT_TRUE(context.ok()) << context.status().ToString();
  return std::move(context).value();
}

void ExpectSame(std::span<const Tensor> a, std::span<const Tensor> b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(BitwiseEqual(a[i], b[i])) << "output " << i;
}

class ContextOnBackend : public ::testing::TestWithParam<std::string> {
 protected:
  Backend& backend() {
    return GetParam() == "fake_device" ? FakeDeviceBackend() : **FindBackend(GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, ContextOnBackend, ::testing::Values("reference", "fake_device"),
                         [](const auto& info) { return info.param; });

TEST_P(ContextOnBackend, TakesDefaultsOfInputsThatAreNotFed) {
  std::minstd_rand random(1);
  const ir::Module module = RandomModule(1);
  Plan plan = PlanFor(module, backend());
  EXPECT_THAT(MakeContext(*Engine::Create(plan, backend()))->Run({{Tensor()}}).status().message(),
              HasSubstr("is not fed, and has no default"));
  plan.input_defaults = {RandomTensor({2, 4}, random)};
  const auto context = MakeContext(*Engine::Create(plan, backend()));
  for (const int64_t batch : {1, 2, 3}) {
    const std::vector<Tensor> fed = {RandomTensor({batch, 4}, random)};
    ExpectSame(*context->Run(fed), *reference::RunModule(module, fed));
    ExpectSame(*context->Run({{Tensor()}}), *reference::RunModule(module, plan.input_defaults));
  }
}

TEST_P(ContextOnBackend, ComputesRandomModules) {
  std::minstd_rand random(1);
  for (unsigned seed = 0; seed < 150; ++seed) {
    const ir::Module module = RandomModule(seed);
    ASSERT_TRUE(ir::Verify(module).ok()) << ir::Verify(module).ToString();
    ContextOptions options;
    options.arena_per_run = seed % 2;
    const auto context = MakeContext(MakeEngine(module, backend()), options);
    for (const int64_t batch : {1, 3, 1, 0}) {
      const std::vector<Tensor> inputs = {RandomTensor({batch, 4}, random)};
      const Result<std::vector<Tensor>> expected = reference::RunModule(module, inputs);
      ASSERT_TRUE(expected.ok()) << expected.status().ToString();
      const Result<std::vector<Tensor>> outputs = context->Run(inputs);
      ASSERT_TRUE(outputs.ok()) << outputs.status().ToString();
      SCOPED_TRACE(fmt::format("seed {} batch {}\n{}", seed, batch, *ir::ToText(module)));
      ExpectSame(*outputs, *expected);
      if (HasFailure()) return;
    }
  }
}

TEST_P(ContextOnBackend, ComputesModulesOfSeveralStages) {
  std::minstd_rand random(1);
  int stages = 0;
  for (unsigned seed = 0; seed < 60; ++seed) {
    const ir::Module module = StagedModule(seed);
    SCOPED_TRACE(fmt::format("seed {}\n{}", seed, *ir::ToText(module)));
    ASSERT_TRUE(ir::Verify(module).ok()) << ir::Verify(module).ToString();
    ContextOptions options;
    options.arena_per_run = seed % 2;
    const auto context = MakeContext(MakeEngine(module, backend()), options);
    stages += context->engine().stages().count;
    for (const int64_t batch : {1, 3, 1, 0, 4, 3}) {
      const std::vector<Tensor> inputs = {RandomTensor({batch, 4}, random)};
      const Result<std::vector<Tensor>> expected = reference::RunModule(module, inputs);
      ASSERT_TRUE(expected.ok()) << expected.status().ToString();
      const Result<std::vector<Tensor>> outputs = context->Run(inputs);
      ASSERT_TRUE(outputs.ok()) << outputs.status().ToString();
      ExpectSame(*outputs, *expected);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(stages, 120);
}

void ShareEngineBetweenThreads(const ir::Module& module, Backend& backend) {
  const auto engine = MakeEngine(module, backend);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t);
      const auto context = MakeContext(engine);
      for (int i = 0; i < 20; ++i) {
        const std::vector<Tensor> inputs = {
            RandomTensor({static_cast<int64_t>(1 + random() % 20), 4}, random)};
        const Result<std::vector<Tensor>> outputs = context->Run(inputs);
        ASSERT_TRUE(outputs.ok());
        ExpectSame(*outputs, *reference::RunModule(module, inputs));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(ContextOnBackend, SharesAnEngineBetweenThreads) {
  ShareEngineBetweenThreads(RandomModule(7), backend());
  ShareEngineBetweenThreads(StagedModule(7), backend());
}

TEST_P(ContextOnBackend, ReadsShapesFromHostValues) {
  ModuleBuilder b;
  ir::Symbol symbol;
  symbol.kind = ir::Symbol::Kind::kHostValue;
  symbol.input = 1;
  symbol.axis = 1;
  symbol.name = "size[1]";
  const ir::SymbolId s = b.module.AddSymbol(symbol);
  const ir::ValueId x = b.module.AddInput("x:0", DType::kFloat32, {1, 3});
  b.module.AddInput("size:0", DType::kInt64, {2});
  b.Output(b.Node(ir::TileAttributes{{ir::Dim::Symbol(s), 1}}, {x}, "tile"), "tile:0");
  const auto context = MakeContext(MakeEngine(b.module, backend()));
  const Tensor data = Tensor::Of<float>({1, 3}, {1, 2, 3});
  for (const int64_t n : {2, 5, 2}) {
    const auto outputs = context->Run(std::vector<Tensor>{data, Tensor::Of<int64_t>({2}, {9, n})});
    ASSERT_TRUE(outputs.ok()) << outputs.status().ToString();
    EXPECT_EQ((*outputs)[0].dims(), (Dims{n, 3}));
  }
  const auto negative = context->Run(std::vector<Tensor>{data, Tensor::Of<int64_t>({2}, {9, -1})});
  EXPECT_EQ(negative.status().code(), StatusCode::kInvalidArgument);
}

TEST_P(ContextOnBackend, ReadsShapesFromWhatWasComputed) {
  ModuleBuilder b;
  const ir::ValueId x = b.module.AddInput("x:0", DType::kFloat32, {1, 3});
  const ir::ValueId n = b.module.AddInput("n:0", DType::kInt64, {2});
  ir::PointwiseAttributes doubled;
  doubled.program.inputs = 1;
  doubled.program.Add(PointwiseOp::kAdd, DType::kInt64, 0, 0);
  const ir::ValueId size = b.Node(doubled, {n}, "size");
  const ir::SymbolId s =
      b.module.AddSymbol({.kind = ir::Symbol::Kind::kResultValue, .name = "size[1]"});
  b.Node(ir::ReadIntegerAttributes{ir::Dim::Symbol(s), 1}, {size}, "read");
  b.Output(b.Node(ir::TileAttributes{{ir::Dim::Symbol(s), 1}}, {x}, "tile"), "tile:0");
  const auto context = MakeContext(MakeEngine(b.module, backend()));
  const Tensor data = Tensor::Of<float>({1, 3}, {1, 2, 3});
  const auto run = [&](int64_t n) {
    return context->Run(std::vector<Tensor>{data, Tensor::Of<int64_t>({2}, {9, n})});
  };
  for (const int64_t n : {2, 5, 0, 2}) {
    const auto outputs = run(n);
    ASSERT_TRUE(outputs.ok()) << outputs.status().ToString();
    EXPECT_EQ((*outputs)[0].dims(), (Dims{2 * n, 3}));
  }
  for (const int64_t n : {int64_t{-1}, int64_t{1} << 60, int64_t{1} << 61, -(int64_t{1} << 62)}) {
    EXPECT_EQ(run(n).status().code(), StatusCode::kInvalidArgument) << n;
    EXPECT_THAT(run(n).status().message(), HasSubstr("tile"));
  }
  EXPECT_TRUE(run(1).ok());
}

TEST_P(ContextOnBackend, TimesSteps) {
  const auto context = MakeContext(MakeEngine(RandomModule(3), backend()));
  EXPECT_FALSE(context->Profile().ok());
  context->StartProfile();
  std::minstd_rand random(1);
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(context->Run(std::vector<Tensor>{RandomTensor({2, 4}, random)}).ok());
  const auto profile = context->Profile();
  ASSERT_TRUE(profile.ok());
  ASSERT_FALSE(profile->empty());
  for (const StepProfile& step : *profile) {
    EXPECT_EQ(step.runs, 3);
    EXPECT_GT(step.total_ms, 0);
    EXPECT_THAT(step.tactic, HasSubstr(GetParam()));
  }
}

// What it is told, in order: how deep, what, of whom.
class Listener final : public RunObserver {
 public:
  struct Part {
    int depth;
    RunPart part;
    std::string name;
    std::string detail;
  };
  void Begin(RunPart part, std::string_view name, std::string_view detail) override {
    parts.push_back({depth++, part, std::string(name), std::string(detail)});
  }
  void End() override { --depth; }
  int Count(RunPart part) const {
    return static_cast<int>(std::ranges::count(parts, part, &Part::part));
  }

  std::vector<Part> parts;
  int depth = 0;
};

TEST_P(ContextOnBackend, TellsAnObserverOfItsParts) {
  for (unsigned seed = 1; seed < 6; ++seed) {
    const auto context = MakeContext(MakeEngine(StagedModule(seed), backend()));
    std::minstd_rand random(seed);
    const std::vector<Tensor> inputs = {RandomTensor({2, 4}, random)};
    const Result<std::vector<Tensor>> expected = context->Run(inputs);
    ASSERT_TRUE(expected.ok()) << expected.status().ToString();
    Listener listener;
    context->Observe(&listener);
    const Result<std::vector<Tensor>> observed = context->Run(inputs);
    ASSERT_TRUE(observed.ok()) << observed.status().ToString();
    ExpectSame(*observed, *expected);
    EXPECT_EQ(listener.depth, 0);
    EXPECT_EQ(listener.Count(RunPart::kRun), 1);
    EXPECT_EQ(listener.Count(RunPart::kStage), context->engine().stages().count);
    EXPECT_EQ(listener.Count(RunPart::kStep), context->steps());
    EXPECT_EQ(context->shape_plans().size(), static_cast<size_t>(listener.Count(RunPart::kStage)));
    // Inputs and outputs cross the border of a device.
    if (GetParam() == "fake_device") {
      EXPECT_GT(listener.Count(RunPart::kCopy), 0);
    }
    for (const Listener::Part& part : listener.parts) {
      EXPECT_EQ(part.depth == 0, part.part == RunPart::kRun);
      if (part.part != RunPart::kStep) continue;
      EXPECT_EQ(part.depth, 2);
      EXPECT_THAT(part.detail, HasSubstr(GetParam()));
    }
    const size_t told = listener.parts.size();
    context->Observe(nullptr);
    ASSERT_TRUE(context->Run(inputs).ok());
    EXPECT_EQ(listener.parts.size(), told);
  }
}

TEST(Context, AnObserverHearsOfAFailedRunsEnd) {
  const auto context = MakeContext(MakeEngine(RandomModule(1), **FindBackend("reference")));
  Listener listener;
  context->Observe(&listener);
  EXPECT_FALSE(context->Run(std::vector<Tensor>()).ok());
  EXPECT_EQ(listener.depth, 0);
}

TEST(ObservedExecutor, TellsWhatEachWorkerDid) {
  struct Spans final : RunObserver {
    void Begin(RunPart, std::string_view, std::string_view) override {}
    void End() override {}
    void Worked(int worker, int64_t begin, int64_t end) override {
      EXPECT_LE(begin, end);
      workers.push_back(worker);
    }
    std::vector<int> workers;
  } spans;
  const std::unique_ptr<Executor> pool = MakeTbbExecutor(2);
  ObservedExecutor executor(*pool, spans);
  EXPECT_EQ(executor.width(), 2);
  std::atomic<int> done = 0;
  executor.ParallelFor(100, [&](int64_t, int) { ++done; });
  EXPECT_EQ(done, 100);
  EXPECT_GE(spans.workers.size(), 1u);
  EXPECT_LE(spans.workers.size(), 2u);
  // A loop of nothing tells nothing, also not of the loop before.
  spans.workers.clear();
  executor.ParallelFor(0, [&](int64_t, int) {});
  EXPECT_TRUE(spans.workers.empty());
}

TEST(Context, RefusesInputsThatDoNotFit) {
  const auto context = MakeContext(MakeEngine(RandomModule(1), **FindBackend("reference")));
  const auto message = [&](std::vector<Tensor> inputs) {
    return context->Run(inputs).status().message();
  };
  EXPECT_THAT(message({}), HasSubstr("0 inputs are given, the engine has 1"));
  EXPECT_THAT(message({Tensor::Of<int32_t>({1, 4}, {1, 2, 3, 4})}), HasSubstr("x:0: dtype is i32"));
  EXPECT_THAT(message({Tensor::Of<float>({4}, {1, 2, 3, 4})}), HasSubstr("x:0: shape is f32[4]"));
  EXPECT_THAT(message({Tensor::Of<float>({1, 3}, {1, 2, 3})}),
              HasSubstr("x:0: dimension 1 is 3, the engine takes 4"));
  EXPECT_EQ(message({Tensor::Of<float>({1, 4}, {1, 2, 3, 4})}), "");
  EXPECT_THAT(message({Tensor(DType::kFloat32, {1, 4}, nullptr)}),
              HasSubstr("x:0: it has no data"));
}

void FailEveryAllocation(const ir::Module& module) {
  Backend& backend = FakeDeviceBackend();
  std::minstd_rand random(1);
  const std::vector<Tensor> inputs = {RandomTensor({2, 4}, random)};
  const size_t before = TheFakeDevice().memory().living_allocations();
  int failures = 0;
  for (int count = 0; count < 40; ++count) {
    TheFakeDevice().memory().FailAllocationAfter(count);
    const auto engine = Engine::Create(PlanFor(module, backend), backend);
    Status status = engine.status();
    if (engine.ok()) {
      const auto context = MakeContext(*engine);
      status = context->Run(inputs).status();
      // The next attempt has the memory.
      if (!status.ok()) {
        EXPECT_TRUE(context->Run(inputs).ok());
      }
    }
    if (!status.ok()) {
      EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.ToString();
      ++failures;
    }
  }
  TheFakeDevice().memory().FailAllocationAfter(-1);
  EXPECT_GT(failures, 2);
  EXPECT_EQ(TheFakeDevice().memory().living_allocations(), before);
}

TEST(Context, SurvivesEveryFailingAllocation) {
  FailEveryAllocation(RandomModule(7));
  FailEveryAllocation(StagedModule(7));
}

TEST(Context, ReportsStepsThatThrow) {
  testing::TestBackend backend;
  testing::TestTactic& sum = backend.Add("sum");
  std::atomic<int> allowed = 0;
  sum.on_run = [&] {
    if (allowed-- == 0) throw std::bad_alloc();
  };
  ContextOptions options;
  options.executor = MakeTbbExecutor(2);
  const auto context = MakeContext(MakeEngine(RandomModule(7), backend), options);
  std::minstd_rand random(1);
  const std::vector<Tensor> inputs = {RandomTensor({4, 4}, random)};
  for (int count = 0; count < 3; ++count) {
    allowed = count;
    EXPECT_EQ(context->Run(inputs).status().code(), StatusCode::kResourceExhausted);
    allowed = 1000;
    EXPECT_TRUE(context->Run(inputs).ok());
  }
}

int ThreadCount() {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    ++count;
  return count;
}

TEST(Context, NeitherAllocatesNorStartsThreadsInSteadyState) {
  testing::TestBackend backend;
  testing::TestTactic& sum = backend.Add("sum");
  sum.traits.strided_inputs = sum.traits.strided_output = sum.traits.in_place = true;
  sum.workspace = 100;
  ContextOptions options;
  options.executor = MakeTbbExecutor(2);
  const auto context = MakeContext(MakeEngine(RandomModule(7), backend), options);
  std::minstd_rand random(1);
  const Tensor x = RandomTensor({4, 4}, random);
  const Tensor y = RandomTensor({2, 4}, random);
  std::vector<std::vector<std::byte>> memory(4, std::vector<std::byte>(4096));
  const auto allocate = [&](const OutputRequest& request) -> Result<OutputMemory> {
    return OutputMemory{memory[request.output].data()};
  };
  const auto run = [&](const Tensor& input) {
    const TensorView views[] = {ViewOf(input)};
    ASSERT_TRUE(context->Run(views, allocate).ok());
  };
  // Long enough for the executor's threads to have begun.
  for (int i = 0; i < 50; ++i) run(i % 2 ? x : y);
  const int threads = ThreadCount();
  const int64_t before = allocations;
  for (int i = 0; i < 100; ++i) run(x);
  EXPECT_EQ(allocations, before);
  // Known shapes in turn allocate nothing either.
  for (int i = 0; i < 100; ++i) run(i % 2 ? x : y);
  EXPECT_EQ(allocations, before);
  // Threads of earlier tests may be leaving; none may come.
  EXPECT_LE(ThreadCount(), threads);
}

TEST(Context, AllocatesNothingForNumbersOfResultsThatItHasSeen) {
  ModuleBuilder b;
  const ir::ValueId x = b.module.AddInput("x:0", DType::kFloat32, {ir::Dim::Symbol(b.Batch()), 4});
  const ir::ValueId at = b.Where(x, "where");
  const ir::ValueId chosen = b.Node(ir::GatherNdAttributes(), {x, at}, "chosen");
  b.Output(b.Node(testing::NegateProgram(), {chosen}, "negative"), "negative:0");
  b.Output(b.Where(chosen, "again"), "again:0");
  const auto context = MakeContext(MakeEngine(b.module, **FindBackend("cpu")));
  std::vector<float> memory[2] = {std::vector<float>(100), std::vector<float>(100)};
  int64_t rows[2];
  const auto allocate = [&](const OutputRequest& request) -> Result<OutputMemory> {
    rows[request.output] = request.dims[0];
    return OutputMemory{memory[request.output].data()};
  };
  const Tensor few = Tensor::Of<float>({1, 4}, {0, 1, 0, 2});
  const Tensor many = Tensor::Of<float>({2, 4}, {1, 2, 3, 0, 4, 5, 6, 7});
  const auto run = [&](const Tensor& input) {
    const TensorView views[] = {ViewOf(input)};
    ASSERT_TRUE(context->Run(views, allocate).ok());
  };
  run(few), run(many);
  const int64_t before = allocations;
  for (int i = 0; i < 100; ++i) {
    run(i % 2 ? few : many);
    EXPECT_EQ(rows[0], i % 2 ? 2 : 7);
    EXPECT_EQ(rows[1], i % 2 ? 2 : 7);
    EXPECT_EQ(memory[0][1], -2);
  }
  EXPECT_EQ(allocations, before);
}

TEST(Context, RunsInAForkedChild) {
  const ir::Module module = RandomModule(7);
  ContextOptions options;
  options.executor = MakeTbbExecutor(2);
  const auto engine = MakeEngine(module, **FindBackend("reference"));
  const auto context = MakeContext(engine, options);
  std::minstd_rand random(1);
  const std::vector<Tensor> inputs = {RandomTensor({4, 4}, random)};
  const std::vector<Tensor> expected = *context->Run(inputs);
  options.executor->ParallelFor(64, [](int64_t, int) {});
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);
    options.executor->ParallelFor(64, [](int64_t, int) {});
    const auto outputs = MakeContext(engine, options)->Run(inputs);
    _exit(outputs.ok() && BitwiseEqual(outputs->back(), expected.back()) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

Result<std::shared_ptr<const Engine>> Load(const Plan& plan) {
  const std::string text = *WritePlan(plan);
  Tensor copy = *Tensor::Allocate(DType::kUint8, {static_cast<int64_t>(text.size())});
  std::memcpy(copy.mutable_raw(), text.data(), text.size());
  return LoadEngine(FileBytes{copy.shared(), text.size()});
}

TEST(LoadEngine, SaysOnceThatAPlanWasTunedElsewhere) {
  std::string said;
  SetLogSink([](void* all, LogLevel, const char*,
                const char* message) { *static_cast<std::string*>(all) += message; },
             &said);
  Plan plan = PlanFor(RandomModule(1), **FindBackend("reference"));
  plan.provenance.fingerprint = (*FindBackend("reference"))->Fingerprint();
  ASSERT_TRUE(Load(plan).ok());
  EXPECT_EQ(said, "");
  plan.provenance.fingerprint = "an abacus";
  ASSERT_TRUE(Load(plan).ok());
  EXPECT_THAT(said, ::testing::HasSubstr("tuned on \"an abacus\", this is \"reference\""));
  said.clear();
  Plan other = PlanFor(RandomModule(2), **FindBackend("reference"));
  other.provenance.fingerprint = plan.provenance.fingerprint;
  ASSERT_TRUE(Load(other).ok());
  EXPECT_EQ(said, "");
  SetLogSink(nullptr, nullptr);
}

TEST(LoadEngine, RefusesBackendsOfTests) {
  const Status status = Load(PlanFor(RandomModule(1), FakeDeviceBackend())).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(
      std::string(status.message()),
      ::testing::StartsWith("the plan's backend: no backend is called fake_device: there is "));
}

TEST(EngineRegistry, SharesLivingEngines) {
  EngineRegistry registry;
  int made = 0;
  const auto make = [&]() -> Result<std::shared_ptr<const Engine>> {
    ++made;
    return MakeEngine(RandomModule(1), **FindBackend("reference"));
  };
  {
    const auto a = registry.FindOrCreate({1, 2}, "reference", make);
    const auto b = registry.FindOrCreate({1, 2}, "reference", make);
    EXPECT_EQ(*a, *b);
    EXPECT_EQ(made, 1);
    EXPECT_NE(*registry.FindOrCreate({1, 3}, "reference", make), *a);
    EXPECT_EQ(registry.size(), 1);
  }
  EXPECT_EQ(registry.size(), 0);
  const auto failing = [&]() -> Result<std::shared_ptr<const Engine>> {
    return InternalError("not now");
  };
  EXPECT_FALSE(registry.FindOrCreate({1, 2}, "reference", failing).ok());
  EXPECT_TRUE(registry.FindOrCreate({1, 2}, "reference", make).ok());
}

}  // namespace
}  // namespace graft
