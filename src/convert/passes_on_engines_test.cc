// The pipeline's modules on engines: where values share memory only a run shows whether they may.
#include <gtest/gtest.h>

#include "backends/reference/evaluator.h"
#include "passes/numbers_test_util.h"
#include "passes/pipeline.h"
#include "passes/random_module_test_util.h"
#include "runtime/backend_table.h"
#include "runtime/context.h"
#include "runtime/test_modules.h"

namespace graft::passes {
namespace {

class PassesOnEngines : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Backends, PassesOnEngines, ::testing::Values("reference", "cpu"),
                         [](const auto& info) { return info.param; });

TEST_P(PassesOnEngines, KeepTheNumbers) {
  Backend& backend = **FindBackend(GetParam());
  const auto takes = [&backend](bool TacticTraits::*trait) {
    return [&backend, trait](const ir::Module& module, const ir::Node& node) {
      const std::vector<Candidate> candidates = backend.Candidates(module, node);
      return std::any_of(candidates.begin(), candidates.end(), [&](const Candidate& c) {
        return !c.refusal && c.tactic->Traits(module, node).*trait &&
               c.tactic->Traits(module, node).any_shape;
      });
    };
  };
  PassContext context = ContextForTests();
  context.supports = nullptr;
  context.supports_strided_output = takes(&TacticTraits::strided_output);
  context.supports_strided_input = takes(&TacticTraits::strided_inputs);
  int operands_in_results = 0;
  int slices_in_operands = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    ir::Module module = RandomModule(seed).Make(24);
    std::vector<std::vector<Tensor>> inputs, expected;
    std::mt19937 random(seed);
    for (const int64_t batch : {2, 1, 3}) {
      inputs.push_back(RandomInputs(module, batch, random));
      expected.push_back(*reference::RunModule(module, inputs.back()));
    }
    for (Stage stage : {Stage::kSimplify, Stage::kOptimize})
      ASSERT_TRUE(RunPipeline(stage, {}, context, module).ok()) << seed;
    for (ir::ValueId v = 0; v < module.value_count(); ++v) {
      const ir::Value& value = module.value(v);
      if (!value.view) continue;
      const bool slice = module.node(value.producer).kind() == ir::OpKind::kSlice &&
                         module.node(value.producer).inputs[0] == value.view->base;
      ++(slice ? slices_in_operands : operands_in_results);
    }
    const auto engine = Engine::Create(graft::testing::PlanFor(module, backend), backend);
    ASSERT_TRUE(engine.ok()) << seed << ": " << engine.status().ToString();
    const auto run = *Context::Create(*engine, {.executor = MakeTbbExecutor(2)});
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto outputs = run->Run(inputs[i]);
      ASSERT_TRUE(outputs.ok()) << seed << ": " << outputs.status().ToString();
      ExpectSameNumbers(expected[i], *outputs, Exactness::kRounded, fmt::format("seed {}", seed));
    }
    if (HasFailure()) FAIL() << *ir::ToText(module);
  }
  // Or nothing was tested.
  EXPECT_GT(operands_in_results, 20);
  EXPECT_GT(slices_in_operands, 10);
}

}  // namespace
}  // namespace graft::passes
