// Text in, text out: every case of testdata/<pass>.ir runs through that pass. A file holds cases
//
//   === what the case shows
//   <module>
//   ---
//   <module after the pass>
//
// With GRAFT_UPDATE_TESTS=1 in the environment the second parts are written anew.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "passes/numbers_test_util.h"
#include "passes/pipeline.h"

namespace graft::passes {
namespace {

constexpr std::string_view kCase = "=== ";
constexpr std::string_view kArrow = "---\n";

struct Case {
  std::string title;
  std::string before;
  std::string after;
};

std::vector<Case> SplitCases(std::string_view text) {
  std::vector<Case> cases;
  while (text.starts_with(kCase)) {
    const size_t line = text.find('\n');
    const size_t end = std::min(text.find("\n=== "), text.size() - 1) + 1;
    const std::string_view body = text.substr(line + 1, end - line - 1);
    const size_t arrow = std::min(body.find(kArrow), body.size());
    cases.push_back({std::string(text.substr(kCase.size(), line - kCase.size())),
                     std::string(body.substr(0, arrow)),
                     std::string(body.substr(std::min(arrow + kArrow.size(), body.size())))});
    text.remove_prefix(end);
  }
  return cases;
}

std::string PathOf(const Pass& pass) {
  return fmt::format("{}/{}.ir", GRAFT_PASSES_TESTDATA, pass.name);
}

class TextTest : public testing::TestWithParam<Pass> {
 protected:
  static std::string Run(const std::string& before) {
    PassContext context = ContextFor(GetParam());
    Result<ir::Module> module = ir::ParseText(before);
    if (!module.ok()) return module.status().ToString();
    const Result<int> rounds = RunToFixedPoint(GetParam(), context, *module);
    if (!rounds.ok()) return rounds.status().ToString();
    const Result<std::string> after = ir::ToText(*module);
    return after.ok() ? *after : after.status().ToString();
  }
};

TEST_P(TextTest, GivesTheExpectedText) {
  const std::string path = PathOf(GetParam());
  const Result<FileBytes> file = ReadFile(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const std::vector<Case> cases = SplitCases(file->view());
  EXPECT_FALSE(cases.empty()) << path;
  const bool update = std::getenv("GRAFT_UPDATE_TESTS") != nullptr;
  std::string updated;
  for (const Case& c : cases) {
    const std::string after = Run(c.before);
    if (!update) {
      EXPECT_EQ(after, c.after) << c.title;
    }
    updated += fmt::format("{}{}\n{}{}{}", kCase, c.title, c.before, kArrow, after);
  }
  if (update) {
    ASSERT_TRUE(WriteFileAtomically(path, updated).ok());
  }
}

// The outputs of every case, before the pass and after it, on the reference kernels.
TEST_P(TextTest, KeepsTheNumbers) {
  const Result<FileBytes> file = ReadFile(PathOf(GetParam()));
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  std::mt19937 random(1);
  for (const Case& c : SplitCases(file->view())) {
    Result<ir::Module> module = ir::ParseText(c.before);
    ASSERT_TRUE(module.ok()) << c.title << ": " << module.status().message();
    // Opaque nodes have no numbers.
    if (c.before.find("= opaque ") != std::string::npos) continue;
    const std::vector<Tensor> inputs = RandomInputs(*module, 3, random);
    const auto before = reference::RunModule(Decided(*module)[0], inputs);
    ASSERT_TRUE(before.ok()) << c.title << ": " << before.status().message();
    PassContext context = ContextFor(GetParam());
    ASSERT_TRUE(RunToFixedPoint(GetParam(), context, *module).ok()) << c.title;
    for (const ir::Module& decided : Decided(*module)) {
      const auto after = reference::RunModule(decided, inputs);
      ASSERT_TRUE(after.ok()) << c.title << ": " << after.status().message();
      ExpectSameNumbers(*before, *after, GetParam().exactness, c.title);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Passes, TextTest,
                         testing::ValuesIn(AllPasses().begin(), AllPasses().end()),
                         [](const auto& info) {
                           std::string name(info.param.name);
                           std::erase(name, '-');
                           return name;
                         });

// As on a CPU: f32 by weights that are halves, and no product of halves.
TEST(StoreHalves, AreWeightsAloneWhereHalvesAreNotMultiplied) {
  Result<ir::Module> module = ir::ParseText(
      "graft-ir 1\n"
      "input \"x\" %0 f32[2,2] \"x\"\n"
      "constant %1 f32[2,2] \"w\" = {1,2,3,4}\n"
      "constant %2 f32[2,2] \"large\" = {1,2,3,100000}\n"
      "%3 f32[2,2] \"a\" = matmul transpose_a=false transpose_b=false"
      " epilogue={1:r1=relu.f32(r0)} (%0,%1) \"a\"\n"
      "%4 f32[2,2] \"b\" = matmul transpose_a=false transpose_b=false (%3,%2) \"b\"\n"
      "output \"y\" %4\n");
  ASSERT_TRUE(module.ok()) << module.status().message();
  PassContext context = ContextForTests();
  context.store_halves = true;
  context.supports = [](const ir::Module& m, const ir::Node& node) {
    return m.value(node.inputs[0]).dtype == DType::kFloat32;
  };
  const Result<bool> changed = StoreHalves(*module, context);
  ASSERT_TRUE(changed.ok()) << changed.status().message();
  EXPECT_TRUE(*changed);
  ASSERT_TRUE(module->Compact().ok());
  ASSERT_TRUE(ir::Verify(*module).ok()) << ir::Verify(*module).message();
  const ir::Node& a = module->node(0);
  const ir::Node& b = module->node(1);
  EXPECT_EQ(module->value(a.inputs[1]).dtype, DType::kFloat16);
  EXPECT_EQ(module->value(a.outputs[0]).dtype, DType::kFloat32);
  EXPECT_EQ(a.get<ir::MatMulAttributes>()->accumulator, DType::kFloat32);
  // What a half does not hold.
  EXPECT_EQ(module->value(b.inputs[1]).dtype, DType::kFloat32);
  // And no more at the second run.
  EXPECT_FALSE(*StoreHalves(*module, context));
}

}  // namespace
}  // namespace graft::passes
