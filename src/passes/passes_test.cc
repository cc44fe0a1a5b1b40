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
#include <filesystem>
#include <fstream>

#include "base/file.h"
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

class TextTest : public testing::TestWithParam<Pass> {
 protected:
  static std::string Run(const std::string& before) {
    PassContext context;
    auto yes = [](const ir::Module&, const ir::Node&) { return true; };
    context.supports_strided_input = yes;
    context.supports_strided_output = yes;
    Result<ir::Module> module = ir::ParseText(before);
    if (!module.ok()) return module.status().ToString();
    const Result<int> rounds = RunToFixedPoint(GetParam(), context, *module);
    if (!rounds.ok()) return rounds.status().ToString();
    const Result<std::string> after = ir::ToText(*module);
    return after.ok() ? *after : after.status().ToString();
  }
};

TEST_P(TextTest, GivesTheExpectedText) {
  const std::string path = fmt::format("{}/{}.ir", GRAFT_PASSES_TESTDATA, GetParam().name);
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

INSTANTIATE_TEST_SUITE_P(Passes, TextTest,
                         testing::ValuesIn(AllPasses().begin(), AllPasses().end()),
                         [](const auto& info) {
                           std::string name(info.param.name);
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace graft::passes
