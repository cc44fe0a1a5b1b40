#include "ir/choice.h"

#include <gtest/gtest.h>

namespace graft::ir {
namespace {

// Halves of x, made positive one by one or together.
std::string Text(std::string_view bodies) {
  return fmt::format(
      "graft-ir 1\n"
      "symbol s0 input_dim 0 0 \"x.0\"\n"
      "input \"x\" %0 f32[s0,4] \"x\"\n"
      "%1 f32[s0,2] \"a\" range=[0,inf], %2 f32[s0,2] \"b\" = choice region=\"test\" bodies=[{}] "
      "(%0) \"choice\" origin=[3]\n"
      "output \"a\" %1\n"
      "output \"b\" %2\n",
      bodies);
}
constexpr std::string_view kApart =
    "\"apart\"{slice begin=[0,0] size=[s0,2] strides=[1,1] (0) \"a0\" origin=[7,8];"
    "pointwise program={1:r1=relu.f32(r0)} (1) \"a1\";"
    "slice begin=[0,2] size=[s0,2] strides=[1,1] (0) \"b0\";"
    "pointwise program={1:r1=relu.f32(r0)} (3) \"b1\";->2,4}";
constexpr std::string_view kJoined =
    "\"joined\"{pointwise program={1:r1=relu.f32(r0)} (0) \"ab\";"
    "slice begin=[0,0] size=[s0,2] strides=[1,1] (1) \"a1\";"
    "slice begin=[0,2] size=[s0,2] strides=[1,1] (1) \"b1\";->2,3}";

TEST(Choice, ReadsBackFromItsText) {
  const std::string text = Text(fmt::format("{},{}", kApart, kJoined));
  const Result<Module> module = ParseText(text);
  ASSERT_TRUE(module.ok()) << module.status().ToString();
  EXPECT_TRUE(Verify(*module).ok()) << Verify(*module).ToString();
  EXPECT_EQ(*ToText(*module), text);
}

TEST(Choice, BodiesAreChecked) {
  auto reason = [](std::string_view bodies) { return ParseText(Text(bodies)).status().message(); };
  EXPECT_NE(reason(""), "");
  const std::string joined(kJoined);
  auto altered = [&](std::string_view from, std::string_view to) {
    std::string body = joined;
    body.replace(body.find(from), from.size(), to);
    return reason(fmt::format("{},{}", kApart, body));
  };
  EXPECT_NE(altered("(1) \"a1\"", "(2) \"a1\""), "") << "a value that comes later";
  EXPECT_NE(altered("(0)", "(-1)"), "");
  EXPECT_NE(altered("->2,3", "->2"), "");
  EXPECT_NE(altered("->2,3", "->2,9"), "");
  EXPECT_NE(altered("->2,3", "->2,0"), "") << "an operand";
  EXPECT_NE(altered("size=[s0,2]", "size=[s0,1]"), "") << "another shape";
  EXPECT_NE(
      altered("pointwise program={1:r1=relu.f32(r0)} (0)", "choice region=\"\" bodies=[] (0)"), "");
  EXPECT_NE(altered("pointwise program={1:r1=relu.f32(r0)} (0)", "where result_dim=s0 (0)"), "");
}

TEST(Choice, GivesWayToABody) {
  Module module = *ParseText(Text(fmt::format("{},{}", kApart, kJoined)));
  ASSERT_TRUE(ReplaceByBody(module, 0, 1).ok());
  ASSERT_TRUE(module.Compact().ok());
  ASSERT_TRUE(Verify(module).ok()) << Verify(module).ToString();
  EXPECT_EQ(*ToText(module),
            "graft-ir 1\n"
            "symbol s0 input_dim 0 0 \"x.0\"\n"
            "input \"x\" %0 f32[s0,4] \"x\"\n"
            "%1 f32[s0,4] \"ab\" = pointwise program={1:r1=relu.f32(r0)} (%0) "
            "\"ab\"\n"
            "%2 f32[s0,2] \"a\" range=[0,inf] = slice begin=[0,0] size=[s0,2] strides=[1,1] (%1) "
            "\"a1\"\n"
            "%3 f32[s0,2] \"b\" = slice begin=[0,2] size=[s0,2] strides=[1,1] (%1) \"b1\"\n"
            "output \"a\" %2\n"
            "output \"b\" %3\n");
}

TEST(Choice, SubstitutesDimsInItsBodies) {
  const Module module = *ParseText(Text(fmt::format("{},{}", kApart, kJoined)));
  const Result<Attributes> bound = SubstituteDims(
      module.node(0).attributes,
      [](const Dim& d) -> Result<Dim> { return Dim(*d.Evaluate(std::vector<int64_t>{5})); });
  ASSERT_TRUE(bound.ok());
  EXPECT_NE(AttributesToString(*bound).find("size=[5,2]"), std::string::npos);
  EXPECT_EQ(AttributesToString(*bound).find("s0"), std::string::npos);
}

}  // namespace
}  // namespace graft::ir
