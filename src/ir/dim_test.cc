#include "ir/dim.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ir/dim_size.h"

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

TEST(Dim, SizeCountsWhatIsWritten) {
  EXPECT_EQ(ExpressionSize(Dim(7)), 0);
  EXPECT_EQ(ExpressionSize(s0 * s1 * 4 + s0 - 1), 3);
  EXPECT_EQ(ExpressionSize(FloorDiv(s0 + s1, 3) * s0), 4);
  std::string text = "s0";
  for (int i = 0; i < 300; ++i) text += "*s0";
  EXPECT_FALSE(ParseDim(text, 1).ok());
}

// Halved `times` times, as strided layers do, in a form that does not collapse.
Dim Halved(const Dim& d, int times) {
  Dim halved = d;
  for (int i = 0; i < times; ++i) halved = FloorDiv(halved * 3 + i, 2) + Mod(halved, 2);
  return halved;
}

TEST(Dim, LongExpressionsAreShortened) {
  Dim sum;
  for (int i = 0; i < 6; ++i) sum += Halved(s0, i + 1) * Halved(s1, 6 - i) * 4;
  ASSERT_TRUE(IsOversized(sum)) << ExpressionSize(sum);
  std::vector<Dim> parts;  // s2, s3, … in their order
  const auto name = [&](const Dim& part) {
    EXPECT_FALSE(IsOversized(part));
    const auto known = std::find(parts.begin(), parts.end(), part);
    const auto index = known - parts.begin();
    if (known == parts.end()) parts.push_back(part);
    return Dim::Symbol(static_cast<SymbolId>(2 + index));
  };
  const Dim shortened = sum.Shorten(name);
  EXPECT_FALSE(IsOversized(shortened));
  EXPECT_GT(parts.size(), 0u);
  const size_t count = parts.size();
  EXPECT_EQ(sum.Shorten(name), shortened);
  EXPECT_EQ(parts.size(), count) << "equal expressions are taken apart alike";
  for (const int64_t size : {1, 7, 224}) {
    std::vector<int64_t> symbols = {size, size + 5};
    for (const Dim& part : parts) symbols.push_back(*part.Evaluate(symbols));
    EXPECT_EQ(*shortened.Evaluate(symbols), *sum.Evaluate(symbols));
  }
  EXPECT_EQ(Halved(s0, 2).Shorten(name), Halved(s0, 2));
}

// What a sum of products would have 10^6 terms for.
TEST(Dim, ProductsOfLongSumsStaySmall) {
  Dim sum(1);
  for (int i = 0; i < 100; ++i) sum += Dim::Symbol(i);
  const Dim cube = sum * sum * sum;
  EXPECT_LE(ExpressionSize(cube), 1000);
  const std::vector<int64_t> ones(100, 1);
  EXPECT_EQ(*cube.Evaluate(ones), 101 * 101 * 101);
  EXPECT_EQ(*ParseDim("mul(s0+1,s1+s0)", 2), (s0 + 1) * (s0 + s1));
  const Dim shortened = cube.Shorten([](const Dim&) { return Dim::Symbol(100); });
  EXPECT_FALSE(IsOversized(shortened)) << ExpressionSize(shortened);
}

TEST(Dim, SubstitutesSymbols) {
  EXPECT_EQ((FloorDiv(s0, 2) + s1).Substitute([](SymbolId id) { return id == 0 ? Dim(8) : s0; }),
            s0 + 4);
}

TEST(Dim, NonNegativeLooksAtTheForm) {
  const auto s0_is_a_size = [](SymbolId id) { return id == 0; };
  EXPECT_TRUE((s0 * 4 + FloorDiv(s0, 2) + Max(s1, 0)).NonNegative(s0_is_a_size));
  EXPECT_TRUE(Mod(s1, 4).NonNegative(s0_is_a_size));
  EXPECT_FALSE((s0 - 1).NonNegative(s0_is_a_size));
  EXPECT_FALSE((s0 + s1).NonNegative(s0_is_a_size));
  EXPECT_FALSE((s0 * -1).NonNegative(s0_is_a_size));
}

TEST(Dim, SamePadding) {
  EXPECT_EQ(SamePadding(s0, 3, 1), Dim(2));
  for (int64_t size : {1, 2, 7, 8, 9}) {
    for (int64_t extent : {1, 2, 3, 5}) {
      for (int64_t stride : {1, 2, 3, 4}) {
        const int64_t outputs = (size + stride - 1) / stride;
        const int64_t expected = std::max<int64_t>((outputs - 1) * stride + extent - size, 0);
        EXPECT_EQ(*SamePadding(s0, extent, stride).Evaluate({&size, 1}), expected);
      }
    }
  }
}

}  // namespace
}  // namespace graft::ir
