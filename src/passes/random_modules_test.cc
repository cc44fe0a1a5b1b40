// Both stages of the pipeline keep the numbers of random modules.
#include <gtest/gtest.h>

#include "passes/numbers_test_util.h"
#include "passes/pipeline.h"
#include "passes/random_module_test_util.h"

namespace graft::passes {
namespace {

TEST(RandomModules, KeepTheirNumbersThroughThePipeline) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    ir::Module module = RandomModule(seed).Make(24);
    std::mt19937 random(seed);
    const std::vector<Tensor> inputs = RandomInputs(module, 2, random);
    const auto before = reference::RunModule(module, inputs);
    ASSERT_TRUE(before.ok()) << seed << ": " << before.status().message();
    PassContext context = ContextForTests();
    // Of each choice one body after the other, in turn.
    int choices = static_cast<int>(seed);
    context.choose = [&](const ir::Module&, const ir::Node& node) {
      return choices++ % static_cast<int>(node.get<ir::ChoiceAttributes>()->bodies.size());
    };
    for (Stage stage : {Stage::kSimplify, Stage::kOptimize}) {
      const auto reports = RunPipeline(stage, {}, context, module);
      ASSERT_TRUE(reports.ok()) << seed << ": " << reports.status().message();
      const auto after = reference::RunModule(module, inputs);
      ASSERT_TRUE(after.ok()) << seed << ": " << after.status().message();
      ExpectSameNumbers(*before, *after, Exactness::kRounded, fmt::format("seed {}", seed));
    }
  }
}

}  // namespace
}  // namespace graft::passes
