#include "ir/dim.h"

#include <gtest/gtest.h>

namespace graft::ir {
namespace {

const Dim s0 = Dim::Symbol(0);
const Dim s1 = Dim::Symbol(1);

TEST(Dim, CanonicalFormsCompareEqual) {
  EXPECT_EQ(s0 * 2 + s1 * 3 - s0, s1 * 3 + s0);
  EXPECT_EQ(s0 * s1, s1 * s0);
  EXPECT_EQ(s0 - s0, Dim(0));
  EXPECT_EQ((s0 + 1) * (s0 - 1), s0 * s0 - 1);
  EXPECT_EQ(FloorDiv(s0 * 49 * 64, 64), s0 * 49);
  EXPECT_EQ(FloorDiv(s0 * s1 * 8, s1 * 2), s0 * 4);
  EXPECT_EQ(Mod(s0 * 8, 4), Dim(0));
  EXPECT_EQ(FloorDiv(Dim(-7), 2), Dim(-4));
  EXPECT_FALSE(FloorDiv(s0, 2) == s0);
}

TEST(Dim, MinMaxAndBroadcast) {
  EXPECT_EQ(Max(s0, s0 + 3), s0 + 3);
  EXPECT_EQ(Min(s0, s0 + 3), s0);
  EXPECT_EQ(Max(s0, s1), Max(s1, s0));
  EXPECT_EQ(BroadcastDim(s0, 1), s0);
  EXPECT_EQ(BroadcastDim(s0, 7), Dim(7));
}

TEST(Dim, EvaluatesAndReportsErrors) {
  const int64_t bound[] = {5, 0};
  EXPECT_EQ(*(CeilDiv(s0, 2) + s1).Evaluate(bound), 3);
  EXPECT_EQ(FloorDiv(s0, s1).Evaluate(bound).status().message(),
            "division by zero in floordiv(s0,s1)");
  EXPECT_FALSE(Dim::Symbol(2).Evaluate(bound).ok());
  Dim big = s0;
  for (int i = 0; i < 6; ++i) big *= big;
  EXPECT_FALSE(big.Evaluate(bound).ok());
}

TEST(Dim, TextRoundTrip) {
  for (const Dim& d : {Dim(0), Dim(-3), s0, s0 * -1 + 2, s0 * s1 * 4 + FloorDiv(s0 + 1, 2) - 7,
                       Max(Mod(s0, 3), BroadcastDim(s0, s1))}) {
    Result<Dim> read = ParseDim(d.ToString(), 2);
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(*read, d) << d.ToString();
  }
  for (const char* bad : {"", "s2", "s0+", "floordiv(s0)", "9999999999999999999999", "s0 "}) {
    EXPECT_FALSE(ParseDim(bad, 2).ok()) << bad;
  }
}

TEST(Dim, SubstitutesSymbols) {
  EXPECT_EQ((FloorDiv(s0, 2) + s1).Substitute([](SymbolId id) { return id == 0 ? Dim(8) : s0; }),
            s0 + 4);
}

}  // namespace
}  // namespace graft::ir
