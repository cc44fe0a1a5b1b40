#include "ir/stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace graft::ir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// x → where → its positions, their number, and a where over the positions.
constexpr std::string_view kText = R"(graft-ir 1
symbol s0 input_dim 0 0 "x.0"
symbol s1 result_dim 0 0 "first.0" bound=s0
symbol s2 result_dim 2 0 "second.0" bound=s1
input "x" %0 f32[s0] "x"
%1 i64[s1,1] "first", %2 i64[] "first:1" = where result_dim=s1 (%0) "first"
%3 f32[s0] "negative" = pointwise program={1:r1=neg.f32(r0)} (%0) "negative"
%4 i64[s2,2] "second", %5 i64[] "second:1" = where result_dim=s2 (%1) "second"
%6 i32[1] "shape" = dims values=[s2] dtype=i32 rank=1 () "shape"
output "second" %4
output "negative" %3
output "shape" %6
)";

Module Parse(std::string_view text) {
  Result<Module> module = ParseText(text);
  EXPECT_TRUE(module.ok()) << module.status().ToString();
  return std::move(module).value();
}

// The text with the first `from` in it replaced.
std::string Replaced(std::string_view from, std::string_view to) {
  std::string text(kText);
  return text.replace(text.find(from), from.size(), to);
}

TEST(Stages, BeginWhereDimensionsAreKnown) {
  const Module module = Parse(kText);
  ASSERT_TRUE(Verify(module).ok()) << Verify(module).ToString();
  const Stages stages = FindStages(module).value();
  EXPECT_EQ(stages.count, 3);
  EXPECT_THAT(stages.node, ElementsAre(0, 0, 1, 2));
  EXPECT_THAT(stages.symbol, ElementsAre(0, 1, 2));
  EXPECT_THAT(stages.results, ElementsAre(1, 2));
  std::vector<int64_t> symbols = {7, -1, -1};
  ASSERT_TRUE(BindUpperBounds(module, stages, &symbols).ok());
  EXPECT_THAT(symbols, ElementsAre(7, 7, 7));
}

// What is made of a result dim is known when that is.
TEST(Stages, ExpressionsAreKnownWithTheLastOfTheirSymbols) {
  constexpr std::string_view kExpressions = R"(graft-ir 1
symbol s0 input_dim 0 0 "x.0"
symbol s1 expression 0 0 "twice" value=s0*2
symbol s2 result_dim 0 0 "where.0" bound=s0
symbol s3 expression 0 0 "sum" value=s1+s2
symbol s4 expression 0 0 "nobody's" value=s3+1
input "x" %0 f32[s0] "x"
%1 i64[s2,1] "where", %2 i64[] "where:1" = where result_dim=s2 (%0) "where"
%3 i32[1] "shape" = dims values=[s3*3] dtype=i32 rank=1 () "shape"
output "shape" %3
)";
  Module module = Parse(kExpressions);
  ASSERT_TRUE(Verify(module).ok()) << Verify(module).ToString();
  const Stages stages = FindStages(module).value();
  EXPECT_THAT(stages.symbol, ElementsAre(0, 0, 1, 1, 1));
  EXPECT_THAT(stages.node, ElementsAre(0, 1));
  std::vector<int64_t> symbols = {7, -1, -1, -1, -1};
  ASSERT_TRUE(BindUpperBounds(module, stages, &symbols).ok());
  EXPECT_THAT(symbols, ElementsAre(7, 14, 7, 21, 22));
  symbols = {7, -1, 2, -1, -1};
  ASSERT_TRUE(BindExpressions(module, stages, 0, &symbols).ok());
  EXPECT_THAT(symbols, ElementsAre(7, 14, 2, -1, -1));
  ASSERT_TRUE(BindExpressions(module, stages, 1, &symbols).ok());
  EXPECT_THAT(symbols, ElementsAre(7, 14, 2, 16, 17));
  // The node that gives s2 stays for the expression's sake; what occurs nowhere goes.
  ASSERT_TRUE(module.Compact().ok());
  EXPECT_EQ(module.node_count(), 2);
  EXPECT_EQ(module.symbols.size(), 4U);
  EXPECT_TRUE(Verify(module).ok()) << Verify(module).ToString();
}

TEST(Stages, AModuleWithoutResultDimsHasOne) {
  Module module;
  module.AddInput("x", DType::kFloat32, {2});
  EXPECT_EQ(FindStages(module)->count, 1);
}

TEST(Stages, VerifyRefusesWhatCannotBeKnown) {
  const auto message = [](const std::string& text) { return Verify(Parse(text)).message(); };
  EXPECT_THAT(message(Replaced("bound=s0", "bound=s1")), HasSubstr("s1 is its own bound"));
  EXPECT_THAT(message(Replaced("bound=s0", "bound=s2")), HasSubstr("s2 is used before it is"));
  EXPECT_THAT(message(Replaced(" bound=s0", "")), HasSubstr("without an upper bound"));
  EXPECT_THAT(message(Replaced("result_dim 0 0", "result_dim 0 1")),
              HasSubstr("not the result dim of first"));
  EXPECT_THAT(message(Replaced("[s0] \"negative\" = pointwise program={1:r1=neg.f32(r0)}",
                               "[s2] \"negative\" = reshape shape=[s2]")),
              HasSubstr("s2 is used before it is known"));
}

TEST(Stages, VerifyRefusesTheResultDimOfAnotherNode) {
  Module module = Parse(kText);
  module.symbols[2].node = 0;
  EXPECT_THAT(Verify(module).message(), HasSubstr("second: its result dim is no symbol of its"));
}

TEST(Stages, CompactKeepsTheNodesOfDimensions) {
  Module module = Parse(kText);
  module.outputs = {module.outputs[2]};
  module.output_names = {"shape"};
  ASSERT_TRUE(module.Compact().ok());
  ASSERT_TRUE(Verify(module).ok()) << Verify(module).ToString();
  EXPECT_EQ(module.node_count(), 3);
  EXPECT_EQ(module.symbols.size(), 3u);
}

TEST(Stages, CompactDropsDimensionsOfDroppedNodes) {
  Module module = Parse(kText);
  module.symbols.push_back({.kind = Symbol::Kind::kInputDim, .name = "x.0 again"});
  module.value(module.inputs[0]).shape = {Dim::Symbol(3)};
  module.outputs = {module.node(1).outputs[0]};
  module.value(module.outputs[0]).shape = {Dim::Symbol(3)};
  module.output_names = {"negative"};
  ASSERT_TRUE(module.Compact().ok());
  ASSERT_TRUE(Verify(module).ok()) << Verify(module).ToString();
  ASSERT_EQ(module.symbols.size(), 2u);
  EXPECT_EQ(module.value(module.outputs[0]).shape[0], Dim::Symbol(1));
}

// x → its integers → two of them, one of which says how many positions there are at most.
constexpr std::string_view kReadText = R"(graft-ir 1
symbol s0 result_value 0 0 "n"
symbol s1 result_value 1 0 "m"
symbol s2 result_dim 2 0 "where.0" bound=s1+2
input "n" %0 i32[2] "n"
input "x" %1 f32[2] "x"
%2 i64[] "read 0" = read_integer result_dim=s0 element=0 (%0) "read 0"
%3 i64[] "read 1" = read_integer result_dim=s1 element=1 (%0) "read 1"
%4 i64[s2,1] "where", %5 i64[] "where:1" = where result_dim=s2 (%1) "where"
%6 f32[s0,2] "rows" = broadcast shape=[s0,2] (%1) "rows"
output "where" %4
output "rows" %6
)";

TEST(Stages, IntegersThatAreReadBeginAStage) {
  const Module module = Parse(kReadText);
  ASSERT_TRUE(Verify(module).ok()) << Verify(module).ToString();
  EXPECT_EQ(ToText(module).value(), kReadText);
  const Stages stages = FindStages(module).value();
  EXPECT_THAT(stages.node, ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(stages.symbol, ElementsAre(1, 1, 2));
  std::vector<int64_t> symbols = {5, 6, -1};
  ASSERT_TRUE(BindUpperBounds(module, stages, &symbols).ok());
  EXPECT_THAT(symbols, ElementsAre(5, 6, 8)) << "what is read has no bound";
}

TEST(Stages, VerifyRefusesWhatCannotBeRead) {
  const auto message = [](std::string_view from, std::string_view to) {
    std::string text(kReadText);
    const Result<Module> module = ParseText(text.replace(text.find(from), from.size(), to));
    return module.ok() ? Verify(*module).message() : module.status().message();
  };
  EXPECT_THAT(message("element=1", "element=2"), HasSubstr("element 2 of i32[2]"));
  EXPECT_THAT(message("element=1", "element=-1"), HasSubstr("element -1 of i32[2]"));
  EXPECT_THAT(message("\"n\"\n", "\"n\" bound=3\n"), HasSubstr("with an upper bound"));
  EXPECT_THAT(message("result_value 0", "result_dim 0"), HasSubstr("no symbol of its own"));
  EXPECT_THAT(message("result_dim 2", "result_value 2"), HasSubstr("no symbol of its own"));
}

TEST(Stages, CompactKeepsWhatBoundsRead) {
  Module module = Parse(kReadText);
  module.outputs = {module.outputs[0]};
  module.output_names = {"where"};
  module.value(module.inputs[0]).contents = {Dim::Symbol(0), Dim::Symbol(1)};
  ASSERT_TRUE(module.Compact().ok());
  ASSERT_TRUE(Verify(module).ok()) << Verify(module).ToString();
  EXPECT_EQ(module.node_count(), 2);
  EXPECT_EQ(module.symbols[1].upper_bound, Dim::Symbol(0) + 2);
  EXPECT_FALSE(module.value(module.inputs[0]).contents) << "nobody reads the first";
}

}  // namespace
}  // namespace graft::ir
