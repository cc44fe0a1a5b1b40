#include "quant/node_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace graft::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(FromFakeQuantize, TakesTheLargerEndOfTheRawRange) {
  struct Row {
    float min, max, amax;
    bool warns;
  };
  // Whatever the node's other attributes are.
  for (const Row& row :
       {Row{-1, 1, 1, false}, Row{-1, 0.5F, 1, false}, Row{-0.5F, 1, 1, false}, Row{0, 6, 6, false},
        Row{-1, 6, 6, false}, Row{2, 6, 6, true}, Row{-6, -2, 6, true}, Row{-6, 6, 6, false},
        Row{-0.1F, 0.1F, 0.1F, false}}) {
    for (ir::FakeQuantizeAttributes a :
         {ir::FakeQuantizeAttributes{}, ir::FakeQuantizeAttributes{.is_signed = false},
          ir::FakeQuantizeAttributes{.narrow_range = true},
          ir::FakeQuantizeAttributes{.rounding = ir::Rounding::kHalfUp},
          ir::FakeQuantizeAttributes{.range_given = false},
          ir::FakeQuantizeAttributes{.arithmetic = ir::FakeQuantizeArithmetic::kNudged}}) {
      const Result<NodeRange> read =
          FromFakeQuantize(a, Tensor::Scalar(row.min), Tensor::Scalar(row.max));
      ASSERT_TRUE(read.ok()) << read.status().message();
      ASSERT_TRUE(read->range.has_value());
      EXPECT_THAT(read->range->amax, ElementsAre(row.amax)) << row.min << " " << row.max;
      EXPECT_EQ(read->range->axis, -1);
      EXPECT_EQ(read->range->origin, ir::RangeOrigin::kNode);
      EXPECT_EQ(!read->warnings.empty(), row.warns) << row.min << " " << row.max;
    }
  }
}

TEST(FromFakeQuantize, WarnsOfOtherBits) {
  const Result<NodeRange> read =
      FromFakeQuantize({.bits = 4}, Tensor::Scalar(-1.0F), Tensor::Scalar(1.0F));
  ASSERT_TRUE(read.ok());
  EXPECT_THAT(read->range->amax, ElementsAre(1));
  EXPECT_THAT(read->warnings, ElementsAre("4 bits: INT8 takes 8"));
}

TEST(FromFakeQuantize, ARangeOfNothingIsNone) {
  const Result<NodeRange> read = FromFakeQuantize({}, Tensor::Scalar(0.0F), Tensor::Scalar(-0.0F));
  ASSERT_TRUE(read.ok());
  EXPECT_FALSE(read->range.has_value());
  for (const auto& [min, max] : {std::pair(1.0F, -1.0F), {NAN, 1.0F}, {-INFINITY, 1.0F}}) {
    EXPECT_FALSE(FromFakeQuantize({}, Tensor::Scalar(min), Tensor::Scalar(max)).ok());
  }
}

TEST(FromFakeQuantize, TakesARangeForEachChannel) {
  const Result<NodeRange> read = FromFakeQuantize({.axis = 3}, Tensor::Of<float>({3}, {-2, -1, 0}),
                                                  Tensor::Of<float>({3}, {1, 1.5F, 0}));
  ASSERT_TRUE(read.ok());
  EXPECT_THAT(read->range->amax, ElementsAre(2, 1.5F, std::numeric_limits<float>::min()));
  EXPECT_EQ(read->range->axis, 3);
}

// The integers of TensorFlow's QuantizeAndDequantize come of the product with 127 / amax.
TEST(Scales, GiveTensorFlowsIntegers) {
  EXPECT_EQ(InverseScaleOf(1), 127);
  EXPECT_EQ(ScaleOf(1), 1.0F / 127);
  EXPECT_EQ(InverseScaleOf(6), 127.0F / 6);
  EXPECT_EQ(std::nearbyint(0.005859375F * InverseScaleOf(1)), 1);
}

constexpr std::string_view kAttributes =
    "arithmetic=scaled bits=8 is_signed=true narrow_range=false rounding=half_even "
    "range_given=true";

TEST(ReadQuantizationNodes, GivesRangesAndDropsTheNodes) {
  Result<ir::Module> module = ir::ParseText(fmt::format(R"(graft-ir 1
input "x" %0 f32[2,3] "x"
constant %1 f32[3,2] "w" = {{1,2,3,4,5,6}}
constant %2 f32[] "min" = {{-4}}
constant %3 f32[] "max" = {{3}}
constant %4 f32[2] "mins" = {{-1,-2}}
constant %5 f32[2] "maxs" = {{1,1}}
%6 f32[2,3] "qx" = fake_quantize {0} axis=-1 (%0,%2,%3) "qx"
%7 f32[3,2] "qw" = fake_quantize {0} axis=1 (%1,%4,%5) "qw"
%8 f32[2,2] "y" = matmul transpose_a=false transpose_b=false (%6,%7) "y"
%9 f32[2,2] "qy" = fake_quantize {0} axis=1 (%8,%4,%5) "qy"
output "z" %9
)",
                                                        kAttributes));
  ASSERT_TRUE(module.ok()) << module.status().message();
  const Result<std::vector<std::string>> warnings = ReadQuantizationNodes(*module);
  ASSERT_TRUE(warnings.ok()) << warnings.status().message();
  EXPECT_THAT(*warnings, IsEmpty());
  ASSERT_TRUE(module->Compact().ok());
  EXPECT_TRUE(ir::Verify(*module).ok()) << ir::Verify(*module).message();
  EXPECT_EQ(*ir::ToText(*module), R"(graft-ir 1
input "x" %0 f32[2,3] "x" amax=node[4]
constant %1 f32[3,2] "w" amax=node[1,2]@1 = {1,2,3,4,5,6}
%2 f32[2,2] "y" amax=node[2] = matmul transpose_a=false transpose_b=false (%0,%1) "y"
output "z" %2
)");
}

TEST(ReadQuantizationNodes, KeepsWhatItCannotRead) {
  Result<ir::Module> module = ir::ParseText(fmt::format(R"(graft-ir 1
input "x" %0 f32[2,3] "x"
input "max" %1 f32[] "max"
constant %2 f32[] "min" = {{-4}}
constant %3 f32[] "most" = {{4}}
constant %4 f32[] "less" = {{2}}
%5 f32[2,3] "fed" = fake_quantize {0} axis=-1 (%0,%2,%1) "fed"
%6 f32[2,3] "border" = fake_quantize {0} axis=-1 (%0,%2,%3) "border"
%7 f32[2,3] "first" = fake_quantize {0} axis=-1 (%5,%2,%3) "first"
%8 f32[2,3] "second" = fake_quantize {0} axis=-1 (%7,%2,%4) "second"
%9 f32[2,3] "third" = fake_quantize {0} axis=-1 (%8,%4,%4) "third"
%10 f32[2,3] "y" = pointwise program={{1:r1=relu.f32(r0)}} (%9) "y"
output "y" %10
output "b" %6
)",
                                                        kAttributes));
  ASSERT_TRUE(module.ok()) << module.status().message();
  const Result<std::vector<std::string>> warnings = ReadQuantizationNodes(*module);
  ASSERT_TRUE(warnings.ok()) << warnings.status().message();
  EXPECT_THAT(*warnings, ElementsAre(HasSubstr("third: the range [2, 2] does not hold zero"),
                                     HasSubstr("third: fed is quantised by another node before")));
  ASSERT_TRUE(module->Compact().ok());
  EXPECT_EQ(module->node_count(), 3);
  EXPECT_THAT(module->value(module->node(0).outputs[0]).quantization->amax, ElementsAre(4));
}

}  // namespace
}  // namespace graft::quant
