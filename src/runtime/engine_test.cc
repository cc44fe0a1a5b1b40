#include "runtime/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <latch>
#include <map>
#include <random>
#include <thread>

#include "backend_api/test_backend.h"
#include "base/file.h"
#include "plan/container.h"
#include "plan/plan_file.h"
#include "runtime/backend_table.h"
#include "runtime/build_and_run.h"
#include "runtime/context.h"
#include "runtime/pack_plan.h"
#include "runtime/placement.h"
#include "runtime/test_modules.h"

namespace graft {
namespace {

using testing::AddProgram;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ModuleBuilder;
using testing::NegateProgram;
using testing::TestBackend;
using testing::TestTactic;

// A plan whose steps all use the same tactics.
Plan MakePlan(ir::Module module, std::vector<TacticChoice> tactics,
              std::vector<TuningPoint> points = {}, std::vector<int> best = {}) {
  Plan plan;
  plan.backend = "test";
  plan.choices.points = std::move(points);
  plan.choices.steps.assign(module.node_count(), {std::move(tactics), std::move(best)});
  plan.module = std::move(module);
  return plan;
}

// y = x + weights, with a dynamic batch.
ModuleBuilder AddModule() {
  ModuleBuilder b;
  const ir::SymbolId n = b.Batch();
  const ir::ValueId x = b.module.AddInput("x:0", DType::kFloat32, {ir::Dim::Symbol(n), 2});
  const ir::ValueId w = b.module.AddConstant("w", Tensor::Of<float>({2}, {10, 20}));
  b.Output(b.Node(AddProgram(), {x, w}, "y"), "y:0");
  return b;
}

std::shared_ptr<const Engine> MakeEngine(Plan plan, Backend& backend) {
  Result<std::shared_ptr<const Engine>> engine = Engine::Create(std::move(plan), backend);
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return *engine;
}

std::vector<float> RunOnce(const std::shared_ptr<const Engine>& engine, const Tensor& x) {
  Result<std::unique_ptr<Context>> context = Context::Create(engine);
  EXPECT_TRUE(context.ok());
  Result<std::vector<Tensor>> outputs = (*context)->Run(std::vector<Tensor>{x});
  EXPECT_TRUE(outputs.ok()) << outputs.status().ToString();
  const std::span<const float> data = outputs->at(0).data<float>();
  return {data.begin(), data.end()};
}

TEST(Engine, RunsAnyBatch) {
  TestBackend backend;
  backend.Add("sum");
  const auto engine = MakeEngine(MakePlan(AddModule().module, {{"sum", 1}}), backend);
  EXPECT_EQ(engine->inputs()[0].binding_name, "TensorRTInputPH_0");
  EXPECT_THAT(RunOnce(engine, Tensor::Of<float>({1, 2}, {1, 2})), ElementsAre(11, 22));
  EXPECT_THAT(RunOnce(engine, Tensor::Of<float>({2, 2}, {1, 2, 3, 4})),
              ElementsAre(11, 22, 13, 24));
  EXPECT_THAT(RunOnce(engine, Tensor::Of<float>({0, 2}, {})), ElementsAre());
}

TEST(Engine, KeepsShapePlans) {
  TestBackend backend;
  TestTactic& sum = backend.Add("sum");
  Plan plan = MakePlan(AddModule().module, {{"sum", 1}});
  Result<std::shared_ptr<const Engine>> engine =
      Engine::Create(std::move(plan), backend, {nullptr, 2});
  ASSERT_TRUE(engine.ok());
  InlineExecutor executor;
  for (const int64_t n : {1, 2, 1, 2, 3, 2, 1})
    ASSERT_TRUE((*engine)->FindShapePlan(std::vector<int64_t>{n}, executor).ok());
  // 1 had to give way to 3.
  EXPECT_EQ(sum.binds, 4);
}

TEST(Engine, PacksOnceAndDropsTheConstant) {
  TestBackend backend;
  for (const char* name : {"a", "b"}) {
    TestTactic& tactic = backend.Add(name);
    tactic.packing_name = "panels";
    tactic.traits.packed_inputs = {1};
  }
  const auto engine = MakeEngine(
      MakePlan(AddModule().module, {{"a", 1}, {"b", 1}}, {{{1}}, {{2}}}, {0, 1}), backend);
  EXPECT_EQ(engine->constant(1), nullptr);
  EXPECT_EQ(engine->packed_bytes(), 8u);
  EXPECT_THAT(RunOnce(engine, Tensor::Of<float>({1, 2}, {1, 2})), ElementsAre(11, 22));
  EXPECT_THAT(RunOnce(engine, Tensor::Of<float>({2, 2}, {1, 2, 3, 4})),
              ElementsAre(11, 22, 13, 24));
  const auto* a = static_cast<const TestTactic*>(backend.FindTactic("a"));
  const auto* b = static_cast<const TestTactic*>(backend.FindTactic("b"));
  EXPECT_EQ(a->packs + b->packs, 1);
  EXPECT_EQ(a->runs, 1);
  EXPECT_EQ(b->runs, 1);
}

TEST(Engine, PacksForATacticWhenAShapeNeedsIt) {
  TestBackend backend;
  for (const char* name : {"a", "b"}) {
    TestTactic& tactic = backend.Add(name);
    tactic.packing_name = name;
    tactic.traits.packed_inputs = {1};
  }
  const auto engine = MakeEngine(
      MakePlan(AddModule().module, {{"a", 1}, {"b", 1}}, {{{1}}, {{8}}}, {0, 1}), backend);
  const auto* b = static_cast<const TestTactic*>(backend.FindTactic("b"));
  EXPECT_EQ(b->packs, 0);
  EXPECT_NE(engine->constant(1), nullptr);
  RunOnce(engine, Tensor::Of<float>({8, 2}, std::vector<float>(16, 1)));
  EXPECT_EQ(b->packs, 1);
}

// AddModule with its constant packed by `tactic`, as other numbers: those in the result tell who
// packed.
Plan PackedPlan(std::string tactic, int version = 1, std::string target = "here") {
  Plan plan = MakePlan(AddModule().module, {{"a", 1}, {"b", 1}}, {{{1}}, {{8}}}, {0, 1});
  const Tensor bytes = Tensor::Of<float>({2}, {100, 200});
  plan.packed = {{0, std::move(tactic), version, std::move(target), bytes.shared(), bytes.bytes(),
                  HashBytes(bytes.raw(), bytes.bytes())}};
  return plan;
}

class PackedInPlan : public ::testing::Test {
 protected:
  PackedInPlan() {
    for (const char* name : {"a", "b"}) {
      TestTactic& tactic = backend_.Add(name);
      tactic.packing_name = name;
      tactic.traits.packed_inputs = {1};
    }
  }
  int packs(const char* name) const {
    return static_cast<const TestTactic*>(backend_.FindTactic(name))->packs;
  }
  std::vector<float> Run(const std::shared_ptr<const Engine>& engine, int64_t batch = 1) {
    return RunOnce(engine, Tensor::Of<float>({batch, 2}, std::vector<float>(2 * batch, 1)));
  }
  TestBackend backend_;
};

TEST_F(PackedInPlan, IsUsedInPlaceOfPacking) {
  const auto engine = MakeEngine(PackedPlan("a"), backend_);
  EXPECT_EQ(packs("a"), 0);
  EXPECT_EQ(engine->packed_bytes_of_plan(), 8u);
  EXPECT_THAT(engine->unused_packed(), ElementsAre());
  EXPECT_THAT(Run(engine), ElementsAre(101, 201));
  // Another shape's tactic packs the constant itself.
  EXPECT_EQ(Run(engine, 8)[0], 11);
  EXPECT_EQ(packs("b"), 1);
}

TEST_F(PackedInPlan, OfAnotherTargetVersionOrTacticIsLeftAlone) {
  for (const auto& [plan, reason] : {std::pair(PackedPlan("a", 1, "there"), "made for there"),
                                     {PackedPlan("a", 2), "a version 2"},
                                     {PackedPlan("c"), "c version 1"}}) {
    const auto engine = MakeEngine(plan, backend_);
    EXPECT_THAT(engine->unused_packed(), ElementsAre(HasSubstr(reason)));
    EXPECT_EQ(engine->packed_bytes_of_plan(), 0u);
    EXPECT_THAT(Run(engine), ElementsAre(11, 21));
  }
}

// As bytes of a message may lie.
TEST_F(PackedInPlan, IsLeftAloneWhereKernelsCouldNotReadIt) {
  Plan plan = PackedPlan("a");
  const Tensor bytes = Tensor::Of<float>({3}, {0, 100, 200});
  plan.packed[0].bytes = std::shared_ptr<const std::byte>(bytes.shared(), bytes.raw() + 4);
  const auto engine = MakeEngine(plan, backend_);
  EXPECT_THAT(engine->unused_packed(), ElementsAre(HasSubstr("64-byte boundary")));
  EXPECT_THAT(Run(engine), ElementsAre(11, 21));
}

TEST_F(PackedInPlan, DamagedBytesCostThePackingAndNoMore) {
  Plan altered = PackedPlan("a");
  altered.packed[0].hash.low ^= 1;
  Plan shorter = PackedPlan("a");
  shorter.packed[0].size = 4;
  shorter.packed[0].hash = HashBytes(shorter.packed[0].bytes.get(), 4);
  for (const Plan& plan : {altered, shorter}) {
    const auto engine = MakeEngine(plan, backend_);
    EXPECT_THAT(engine->damaged_packed(), ElementsAre(HasSubstr("y: ")));
    EXPECT_THAT(Run(engine), ElementsAre(11, 21));
  }
}

// A constant that the plan has packed is not read when the engine is made: it is compared with its
// hash when some shape needs it after all.
TEST_F(PackedInPlan, ConstantsAreCheckedWhenTheyAreRead) {
  Plan plan = PackedPlan("a");
  plan.unchecked_weights = {{1, Hash128{1, 2}}};
  const auto engine = MakeEngine(plan, backend_);
  EXPECT_THAT(Run(engine), ElementsAre(101, 201));
  InlineExecutor executor;
  const Status other = engine->FindShapePlan(std::vector<int64_t>{8}, executor).status();
  EXPECT_EQ(other.code(), StatusCode::kDataLoss);
  EXPECT_THAT(other.message(), HasSubstr("weight w"));
  plan.packed.clear();
  EXPECT_EQ(Engine::Create(plan, backend_).status().code(), StatusCode::kDataLoss);
}

// The tactic that serves `batch`, from the shape plan.
std::string Chosen(const Engine& engine, int64_t batch) {
  InlineExecutor executor;
  auto plan = engine.FindShapePlan(std::vector<int64_t>{batch}, executor);
  EXPECT_TRUE(plan.ok()) << plan.status().ToString();
  return std::string((*plan)->choices[0].tactic->name());
}

TEST(Engine, ChoosesTacticsByRule) {
  TestBackend backend;
  backend.Add("general");
  TestTactic& generated = backend.Add("generated");
  generated.traits.prepare_cost_ms = 10;
  TestTactic& picky = backend.Add("picky");
  picky.traits.any_shape = false;
  picky.takes = [](const BoundNode& node) { return node.outputs[0].dims[0] % 2 == 0; };
  const auto engine =
      MakeEngine(MakePlan(AddModule().module, {{"picky", 1}, {"generated", 1}, {"general", 1}},
                          {{{1}}, {{16}}, {{256}}}, {2, 0, 1}),
                 backend);
  EXPECT_EQ(Chosen(*engine, 1), "general");
  EXPECT_EQ(Chosen(*engine, 16), "picky");
  EXPECT_EQ(Chosen(*engine, 20), "picky");
  EXPECT_EQ(Chosen(*engine, 21), "general");
  EXPECT_EQ(Chosen(*engine, 256), "generated");
  EXPECT_EQ(Chosen(*engine, 250), "picky");
}

// A plan for two tactics, of which "generated" needs what it has prepared for batch 8.
Plan PreparedPlan(std::optional<std::string> bytes) {
  Plan plan =
      MakePlan(AddModule().module, {{"generated", 1}, {"general", 1}}, {{{1}}, {{8}}}, {1, 0});
  plan.choices.steps[0].tactics[0].prepared = {"", std::move(bytes)};
  return plan;
}

TEST(Engine, BindsTacticsByWhatTheyHavePrepared) {
  TestBackend backend;
  backend.Add("general");
  TestTactic& generated = backend.Add("generated");
  generated.traits = {.any_shape = false, .prepare_cost_ms = 10, .prepares = true};
  const ir::Module module = AddModule().module;
  const std::string bytes =
      *generated.Prepare(*BindNode(module, module.node(0), std::vector<int64_t>{8}), nullptr);
  const auto engine = MakeEngine(PreparedPlan(bytes), backend);
  EXPECT_EQ(Chosen(*engine, 8), "generated");
  EXPECT_EQ(Chosen(*engine, 1), "general");
  EXPECT_EQ(Chosen(*engine, 7), "general");
  EXPECT_EQ(generated.prepares, 1);
  EXPECT_THAT(engine->unprepared_tactics(), ElementsAre());
}

// Each of two steps is bound while the other is, or not at all.
TEST(Engine, StepsThatGenerateCodeAreBoundSideBySide) {
  ModuleBuilder b = AddModule();
  b.Output(b.Node(NegateProgram(), {b.module.outputs[0]}, "z"), "z:0");
  TestBackend backend;
  TestTactic& generated = backend.Add("generated");
  generated.traits.prepare_cost_ms = 10;
  std::latch both(2);
  generated.takes = [&](const BoundNode&) {
    both.count_down();
    for (int i = 0; i < 1000 && !both.try_wait(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return both.try_wait();
  };
  const auto engine =
      MakeEngine(MakePlan(std::move(b.module), {{"generated", 1}}, {{{1}}}, {0}), backend);
  const std::unique_ptr<Executor> pool = MakeTbbExecutor(2);
  auto plan = engine->FindShapePlan(std::vector<int64_t>{1}, *pool);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ((*plan)->steps.size(), 2);
  EXPECT_EQ(engine->module().node((*plan)->steps[1].node).name, "z");
}

TEST(Engine, BytesThatATacticCannotUseCostTheTactic) {
  TestBackend backend;
  backend.Add("general");
  TestTactic& generated = backend.Add("generated");
  generated.traits = {.any_shape = false, .prepare_cost_ms = 10, .prepares = true};
  const auto refused = MakeEngine(PreparedPlan("another machine's"), backend);
  EXPECT_EQ(Chosen(*refused, 8), "general");
  EXPECT_THAT(refused->unprepared_tactics(), ElementsAre());
  const auto lost = MakeEngine(PreparedPlan(std::nullopt), backend);
  EXPECT_EQ(Chosen(*lost, 8), "general");
  EXPECT_THAT(lost->unprepared_tactics(), ElementsAre("generated"));
}

TEST(Engine, LeavesOutTacticsThatThisBuildLacks) {
  TestBackend backend;
  backend.Add("sum").tactic_version = 2;
  const auto engine = MakeEngine(
      MakePlan(AddModule().module, {{"sum", 1}, {"other", 1}, {"sum", 2}}, {{{1}}}, {1}), backend);
  EXPECT_THAT(engine->missing_tactics(), ElementsAre("sum version 1", "other version 1"));
  EXPECT_EQ(Chosen(*engine, 1), "sum");

  const auto none = Engine::Create(MakePlan(AddModule().module, {{"other", 3}}), backend);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(none.status().message(), HasSubstr("y: "));
  EXPECT_THAT(none.status().message(), HasSubstr("other version 3"));
}

TEST(Engine, RefusesDimensionsThatAreKnownTooLate) {
  TestBackend backend;
  backend.Add("sum");
  ModuleBuilder b = AddModule();
  const ir::ValueId at = b.Where(b.module.outputs[0], "where");
  b.module.value(b.module.inputs[0]).shape[1] = b.module.value(at).shape[0];
  const auto engine = Engine::Create(MakePlan(b.module, {{"sum", 1}}), backend);
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.status().message(), HasSubstr("y: s1 is used before it is known"));
}

TEST(Engine, AcceptsOutputsOfAllKinds) {
  TestBackend backend;
  backend.Add("sum");
  ModuleBuilder b;
  const ir::ValueId x = b.module.AddInput("x", DType::kFloat32, {2});
  const ir::ValueId w = b.module.AddConstant("w", Tensor::Of<float>({1}, {5}));
  const ir::ValueId y = b.Node(AddProgram(), {x, w}, "y");
  b.Output(x, "input");
  b.Output(w, "constant");
  b.Output(y, "first");
  b.Output(y, "second");
  const auto engine = MakeEngine(MakePlan(b.module, {{"sum", 1}}), backend);
  auto context = Context::Create(engine);
  ASSERT_TRUE(context.ok());
  auto outputs = (*context)->Run(std::vector<Tensor>{Tensor::Of<float>({2}, {1, 2})});
  ASSERT_TRUE(outputs.ok()) << outputs.status().ToString();
  EXPECT_THAT((*outputs)[0].data<float>(), ElementsAre(1, 2));
  EXPECT_THAT((*outputs)[1].data<float>(), ElementsAre(5));
  EXPECT_THAT((*outputs)[2].data<float>(), ElementsAre(6, 7));
  EXPECT_THAT((*outputs)[3].data<float>(), ElementsAre(6, 7));
}

TEST(Engine, ReshapesWithoutAStep) {
  TestBackend backend;
  TestTactic& sum = backend.Add("sum");
  ModuleBuilder b;
  const ir::ValueId x = b.module.AddInput("x", DType::kFloat32, {2, 2});
  const ir::ValueId h = b.Node(NegateProgram(), {x}, "h");
  b.Output(b.Node(ir::ReshapeAttributes{{4}}, {h}, "y"), "y");
  const auto engine = MakeEngine(MakePlan(b.module, {{"sum", 1}}), backend);
  EXPECT_THAT(RunOnce(engine, Tensor::Of<float>({2, 2}, {1, 2, 3, 4})), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(sum.runs, 1);
  InlineExecutor executor;
  const auto plan = engine->FindShapePlan({}, executor);
  EXPECT_TRUE((*plan)->output_copies.empty());
  EXPECT_EQ((*plan)->arena_bytes, 0u);
}

// concat([-x, -x - x]) whose operands are written into the result.
ModuleBuilder ConcatModule(bool views) {
  ModuleBuilder b;
  const ir::SymbolId n = b.Batch();
  const ir::ValueId x = b.module.AddInput("x", DType::kFloat32, {ir::Dim::Symbol(n), 2});
  const ir::ValueId a = b.Node(NegateProgram(), {x}, "a");
  const ir::ValueId c = b.Node(AddProgram(), {a, x}, "c");
  const ir::ValueId y = b.Node(ir::ConcatAttributes{1}, {a, c}, "y");
  if (views) {
    b.module.value(a).view = {y, 1, 0};
    b.module.value(c).view = {y, 1, 2};
  }
  b.Output(y, "y");
  return b;
}

TEST(Engine, ConcatenatesByWritingAtOffsets) {
  for (const bool views : {false, true}) {
    TestBackend backend;
    TestTactic& sum = backend.Add("sum");
    sum.traits.strided_inputs = sum.traits.strided_output = true;
    const auto engine = MakeEngine(MakePlan(ConcatModule(views).module, {{"sum", 1}}), backend);
    EXPECT_THAT(RunOnce(engine, Tensor::Of<float>({2, 2}, {1, 2, 3, 4})),
                ElementsAre(1, 2, 2, 4, 3, 4, 6, 8));
    EXPECT_EQ(sum.runs, views ? 2 : 3);
  }
}

TEST(Engine, NamesTheStepThatCannotTakeStrides) {
  TestBackend backend;
  backend.Add("sum");
  const auto engine = MakeEngine(MakePlan(ConcatModule(true).module, {{"sum", 1}}), backend);
  InlineExecutor executor;
  const auto plan = engine->FindShapePlan(std::vector<int64_t>{2}, executor);
  ASSERT_FALSE(plan.ok());
  EXPECT_THAT(plan.status().message(), HasSubstr("a: no tactic of the plan takes"));
  // A single row is dense.
  EXPECT_TRUE(engine->FindShapePlan(std::vector<int64_t>{1}, executor).ok());
}

TEST(Engine, FindsKnownShapesWhileAnotherIsMade) {
  TestBackend backend;
  std::promise<void> binding, go_on;
  backend.Add("sum").takes = [&](const BoundNode& node) {
    if (node.outputs[0].dims[0] == 7) {
      binding.set_value();
      go_on.get_future().wait();
    }
    return true;
  };
  const auto engine = MakeEngine(MakePlan(AddModule().module, {{"sum", 1}}), backend);
  InlineExecutor executor;
  const auto known = engine->FindShapePlan(std::vector<int64_t>{2}, executor);
  ASSERT_TRUE(known.ok());
  std::thread maker([&] {
    InlineExecutor own;
    EXPECT_TRUE(engine->FindShapePlan(std::vector<int64_t>{7}, own).ok());
  });
  binding.get_future().wait();
  EXPECT_EQ(*engine->FindShapePlan(std::vector<int64_t>{2}, executor), *known);
  EXPECT_EQ(engine->packed_bytes(), 0u);
  go_on.set_value();
  maker.join();
}

TEST(Engine, WorksInPlace) {
  for (const bool in_place : {false, true}) {
    TestBackend backend;
    backend.Add("sum").traits.in_place = in_place;
    ModuleBuilder b;
    const ir::ValueId x = b.module.AddInput("x", DType::kFloat32, {16});
    ir::ValueId h = b.Node(NegateProgram(), {x}, "0");
    for (int i = 1; i < 5; ++i) h = b.Node(AddProgram(), {h, x}, fmt::format("{}", i));
    h = b.Node(ir::ReduceAttributes{ir::ReduceKind::kSum, {0}, true}, {h}, "reduce");
    b.Output(h, "y");
    const auto engine = MakeEngine(MakePlan(b.module, {{"sum", 1}}), backend);
    EXPECT_THAT(RunOnce(engine, Tensor::Of<float>({16}, std::vector<float>(16, 2))),
                ElementsAre(10));
    InlineExecutor executor;
    EXPECT_EQ((*engine->FindShapePlan({}, executor))->arena_bytes, in_place ? 64u : 128u);
  }
}

// Of two values of a module of constant shapes.
void ExpectSamePlace(const ir::Module& module, ir::ValueId a, ir::ValueId b) {
  ASSERT_TRUE(ir::Verify(module).ok()) << ir::Verify(module).message();
  const ir::Stages stages = ir::FindStages(module).value();
  const std::vector<BoundValue> layouts =
      BindValues(module, {}, [](ir::ValueId) { return true; }).value();
  Result<Placement> placement = Placement::Create(module, stages, 0, {}, layouts);
  ASSERT_TRUE(placement.ok()) << placement.status().message();
  placement->LayOut(std::vector<Placement::StepMemory>(module.node_count()),
                    /*side_by_side=*/true);
  EXPECT_EQ(placement->value(a), placement->value(b));
}

// What a file may say, though no pass writes it.
TEST(HostilePlans, LongChainsOfViews) {
  constexpr int kLength = 100000;
  ir::Module module;
  ir::ValueId x = module.AddInput("x", DType::kFloat32, {4});
  std::vector<ir::ValueId> values;
  for (int i = 0; i < kLength; ++i) {
    x = module.node(*module.AddNode(ir::PointwiseAttributes{NegateProgram()}, {x}, "n")).outputs[0];
    values.push_back(x);
  }
  for (int i = 0; i + 1 < kLength; ++i)
    module.value(values[i]).view = ir::View{values[i + 1], 0, 0};
  module.outputs = {x};
  module.output_names = {"y"};
  ExpectSamePlace(module, values.front(), values.back());
}

TEST(HostilePlans, AViewOfItsOwnReshape) {
  ir::Module module;
  const ir::ValueId x = module.AddInput("x", DType::kFloat32, {4});
  const ir::ValueId a =
      module.node(*module.AddNode(ir::PointwiseAttributes{NegateProgram()}, {x}, "a")).outputs[0];
  const ir::ValueId b =
      module.node(*module.AddNode(ir::ReshapeAttributes{{4}}, {a}, "b")).outputs[0];
  module.value(a).view = ir::View{b, 0, 0};
  module.outputs = {b};
  module.output_names = {"y"};
  ExpectSamePlace(module, a, b);
}

TEST(HostilePlans, PaddingsAndProductsOutOfRange) {
  ir::Module module;
  const ir::ValueId image = module.AddInput("x", DType::kFloat32, {1, 8, 8, 1});
  for (const int64_t pad : {int64_t{-1}, (int64_t{1} << 30) + 1, int64_t{1} << 61}) {
    ir::PoolAttributes pool;
    pool.window = {2, 2};
    pool.strides = {1, 1};
    pool.pads_before = {0, pad};
    pool.pads_after = {0, 0};
    EXPECT_THAT(module.AddNode(pool, {image}, "pool").status().message(), HasSubstr("padding"));
  }
  const ir::ValueId a = module.AddInput("a", DType::kFloat32, {int64_t{1} << 40, 1, 1});
  const ir::ValueId b = module.AddInput("b", DType::kFloat32, {1, 1});
  EXPECT_THAT(module.AddNode(ir::MatMulAttributes{}, {a, b}, "y").status().message(),
              HasSubstr("products"));
}

std::string MetadataOf(const Plan& plan, const WritePlanOptions& options = {}) {
  const std::string file = WritePlan(plan, options).value();
  Tensor copy = Tensor::Allocate(DType::kUint8, {static_cast<int64_t>(file.size())}).value();
  std::memcpy(copy.mutable_raw(), file.data(), file.size());
  const auto sections = ReadContainer(FileBytes{copy.shared(), file.size()}).value();
  return std::string(sections.front().bytes);
}

// Bytes of plans, some of them changed: engines that run in little memory, or errors.
TEST(HostilePlans, ChangedBytesRunOrAreRefused) {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator("test/fuzz/seeds/plan"))
    seeds.emplace_back(ReadFile(entry.path().string(), /*map=*/false)->view());
  std::ranges::sort(seeds);
  // Most bytes of those are refused: plans of random modules that run, without weights.
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    Backend& backend = **FindBackend("reference");
    seeds.push_back(MetadataOf(testing::PlanFor(testing::RandomModule(seed), backend)));
  }
  std::mt19937 random(1);
  int runs = 0;
  for (int i = 0; i < 30000; ++i) {
    std::string bytes = seeds[random() % seeds.size()];
    if (bytes.empty()) continue;
    for (int changes = static_cast<int>(random() % 4); changes > 0; --changes) {
      char& byte = bytes[random() % bytes.size()];
      byte = random() % 2 ? static_cast<char>(random()) : "0123456789s+*,-()"[random() % 17];
    }
    runs += testing::BuildAndRun(bytes);
  }
  EXPECT_GT(runs, 0);
}

// Those of engine_fuzz, whose weights are BuildAndRun's. With GRAFT_UPDATE_TESTS=1 in the
// environment they are written anew.
TEST(HostilePlans, SeedsOfTheFuzzerRun) {
  const std::filesystem::path folder = "test/fuzz/seeds/engine";
  for (const char* name : {"cpu", "reference"}) {
    for (uint32_t seed = 1; seed <= 6; ++seed) {
      const std::string path = folder / fmt::format("{}_{}", name, seed);
      if (std::getenv("GRAFT_UPDATE_TESTS") != nullptr) {
        ir::Module module = testing::RandomModule(seed);
        for (ir::ValueId v = 0; v < module.value_count(); ++v) {
          if (auto& constant = module.value(v).constant)
            std::memset(constant->mutable_raw(), 1, constant->bytes());
        }
        const Plan plan = testing::PlanFor(std::move(module), **FindBackend(name));
        ASSERT_TRUE(WriteFileAtomically(path, MetadataOf(plan)).ok());
      }
      const auto bytes = ReadFile(path, /*map=*/false);
      ASSERT_TRUE(bytes.ok()) << bytes.status().message();
      EXPECT_GT(testing::BuildAndRun(bytes->view()), 0) << path;
    }
  }
}

// What a converted graph holds for an engine: relu(x · w) · v, whose weights lie in the graph.
Plan SegmentPlan(const std::map<std::string, Tensor>& weights, Backend& backend) {
  ModuleBuilder b;
  const ir::Dim batch = ir::Dim::Symbol(b.Batch());
  ir::ValueId x = b.module.AddInput("x:0", DType::kFloat32, {batch, 4});
  for (const char* name : {"w", "v"}) {
    const ir::ValueId weight = b.module.AddConstant(name, weights.at(name));
    x = b.Node(ir::MatMulAttributes{}, {x, weight}, std::string("times ") + name);
    x = b.Node(testing::UnaryProgram(PointwiseOp::kRelu), {x}, std::string("relu ") + name);
  }
  b.Output(x, "y:0");
  return testing::PlanFor(std::move(b.module), backend);
}

TEST(HostilePlans, ATacticOfAnotherOp) {
  std::minstd_rand random(1);
  const std::map<std::string, Tensor> weights = {{"w", testing::RandomTensor({4, 5}, random)},
                                                 {"v", testing::RandomTensor({5, 3}, random)}};
  for (const char* name : {"reference", "cpu"}) {
    Plan plan = SegmentPlan(weights, **FindBackend(name));
    ASSERT_GE(plan.choices.steps.size(), 2u);
    std::swap(plan.choices.steps[0], plan.choices.steps[1]);
    EXPECT_EQ(Engine::Create(plan, **FindBackend(name)).status().code(), StatusCode::kUnsupported);
  }
}

TEST(PackPlan, KeepsWhatAnEngineWouldPack) {
  std::minstd_rand random(1);
  const std::map<std::string, Tensor> weights = {{"w", testing::RandomTensor({4, 5}, random)},
                                                 {"v", testing::RandomTensor({5, 3}, random)}};
  Backend& backend = **FindBackend("cpu");
  Plan plan = SegmentPlan(weights, backend);
  const auto packs = MakeEngine(plan, backend);
  InlineExecutor executor;
  const Result<PackReport> report = PackPlan(plan, backend, executor);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->nodes, 2);
  EXPECT_EQ(report->bytes, packs->packed_bytes());

  const std::string file = WritePlan(plan).value();
  Tensor copy = Tensor::Allocate(DType::kUint8, {static_cast<int64_t>(file.size())}).value();
  std::memcpy(copy.mutable_raw(), file.data(), file.size());
  const auto engine = MakeEngine(*ReadPlan(FileBytes{copy.shared(), file.size()}), backend);
  EXPECT_EQ(engine->packed_bytes_of_plan(), report->bytes);
  EXPECT_EQ(engine->packed_bytes(), report->bytes);
  const Tensor x = testing::RandomTensor({3, 4}, random);
  EXPECT_EQ(RunOnce(engine, x), RunOnce(packs, x));
}

TEST(PackPlan, RefusesABackendThatPacksNothing) {
  TestBackend backend;
  backend.Add("sum");
  Plan plan = MakePlan(AddModule().module, {{"sum", 1}});
  InlineExecutor executor;
  EXPECT_EQ(PackPlan(plan, backend, executor).status().code(), StatusCode::kUnsupported);
}

// The same of a converted graph's engines. The graph's constants are as hostile: what is found by
// name or by content may be another one.
TEST(HostilePlans, ChangedSegmentsOfGraphsRunOrAreRefused) {
  std::minstd_rand random(1);
  const std::map<std::string, Tensor> weights = {{"w", testing::RandomTensor({4, 5}, random)},
                                                 {"v", testing::RandomTensor({5, 3}, random)},
                                                 {"other", Tensor::Of<int64_t>({2}, {7, -1})}};
  WritePlanOptions write;
  std::vector<std::string> seeds;
  InlineExecutor executor;
  for (const char* name : {"reference", "cpu"}) {
    Plan plan = SegmentPlan(weights, **FindBackend(name));
    if (name == std::string_view("cpu")) {
      // What is packed has its hash in the file that BuildAndRun makes.
      static constexpr auto kOnes = [] {
        std::array<std::byte, 1024> ones;
        ones.fill(std::byte{1});
        return ones;
      }();
      ASSERT_TRUE(PackPlan(plan, **FindBackend(name), executor).ok());
      for (PackedConstants& packed : plan.packed) {
        ASSERT_LE(packed.size, kOnes.size());
        packed.bytes = std::shared_ptr<const std::byte>(std::shared_ptr<void>(), kOnes.data());
        packed.hash = HashBytes(kOnes.data(), packed.size);
      }
    }
    write.external_name = [&](ir::ValueId id) { return plan.module.value(id).name; };
    seeds.push_back(MetadataOf(plan, write));
  }
  ReadPlanOptions read;
  read.external_weight = [&](const std::string& name, auto fits) -> Result<Tensor> {
    for (const auto& [key, tensor] : weights) {
      if (fits(tensor)) return tensor;
    }
    const auto named = weights.find(name);
    if (named == weights.end()) return NotFoundError("weight {} is not there", name);
    return named->second;
  };
  for (const std::string& seed : seeds) EXPECT_EQ(testing::BuildAndRun(seed, read), 3);
  int runs = 0, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = seeds[random() % seeds.size()];
    for (int changes = 1 + static_cast<int>(random() % 4); changes > 0; --changes) {
      char& byte = bytes[random() % bytes.size()];
      byte = random() % 2 ? static_cast<char>(random()) : "0123456789s+*,-()"[random() % 17];
    }
    const int done = testing::BuildAndRun(bytes, read);
    runs += done;
    refused += done == 0;
  }
  EXPECT_GT(runs, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace graft
