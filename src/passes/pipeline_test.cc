#include "passes/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"

namespace graft::passes {
namespace {

using testing::HasSubstr;

// The rows' sums twice, side by side; the result goes through an identity.
ir::Module Example() {
  return *ir::ParseText(R"(graft-ir 1
input "x" %0 f32[4,4] "x"
%1 f32[4] "a" = reduce kind=sum axes=[1] keep_dims=false (%0) "a"
%2 f32[4] "b" = reduce kind=sum axes=[1] keep_dims=false (%0) "b"
%3 f32[8] "both" = concat axis=0 (%1,%2) "both"
%4 f32[8] "same" = reshape shape=[8] (%3) "same"
output "y" %4
)");
}

Result<std::vector<PassReport>> Simplify(const PipelineOptions& options, ir::Module& module) {
  PassContext context;
  return RunPipeline(Stage::kSimplify, options, context, module);
}

TEST(Pipeline, RunsEveryPassAndReports) {
  ir::Module module = Example();
  const auto reports = Simplify({}, module);
  ASSERT_TRUE(reports.ok()) << reports.status().message();
  EXPECT_EQ(module.node_count(), 2);
  int rounds = 0;
  for (const PassReport& report : *reports) rounds += report.rounds;
  EXPECT_GE(rounds, 2);
}

TEST(Pipeline, SkipsDisabledPasses) {
  ir::Module module = Example();
  ASSERT_TRUE(Simplify({.disabled = {"merge-equal"}}, module).ok());
  EXPECT_EQ(module.node_count(), 3);
}

TEST(Pipeline, StopsAfterTheNamedPass) {
  ir::Module module = Example();
  ASSERT_TRUE(Simplify({.stop_after = "remove-identities"}, module).ok());
  EXPECT_EQ(module.node_count(), 3);
}

TEST(Pipeline, RefusesNamesThatNoPassHas) {
  ir::Module module = Example();
  for (const PipelineOptions& options :
       {PipelineOptions{.disabled = {"merge"}}, PipelineOptions{.stop_after = "merge"}}) {
    const auto reports = Simplify(options, module);
    ASSERT_FALSE(reports.ok());
    EXPECT_THAT(reports.status().message(), HasSubstr("no pass 'merge'; there are: "));
    EXPECT_THAT(reports.status().message(), HasSubstr(" merge-equal"));
  }
}

TEST(Pipeline, DumpsAfterEachPassThatChangedSomething) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / "graft_pipeline_test";
  std::filesystem::remove_all(folder);
  ir::Module module = Example();
  ASSERT_TRUE(Simplify({.dump_directory = folder.string()}, module).ok());
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
    EXPECT_TRUE(ir::ParseText(ReadFile(entry.path().string())->view()).ok()) << names.back();
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre(testing::EndsWith("-remove-identities.ir"),
                                                   testing::EndsWith("-merge-equal.ir")));
  std::filesystem::remove_all(folder);
}

TEST(Pipeline, NamesThePassThatFails) {
  const Pass broken = {"broken",
                       [](ir::Module& module, PassContext&) -> Result<bool> {
                         module.value(module.outputs[0]).dtype = DType::kInt32;
                         return true;
                       },
                       Exactness::kExact, ""};
  ir::Module module = Example();
  PassContext context;
  const Result<int> rounds = RunToFixedPoint(broken, context, module);
  ASSERT_FALSE(rounds.ok());
  EXPECT_THAT(rounds.status().message(), testing::StartsWith("broken: no fixed point"));
}

}  // namespace
}  // namespace graft::passes
