#include "backend_api/tolerance.h"

#include <gtest/gtest.h>

#include <cmath>

namespace graft {
namespace {

BoundValue F32(Dims dims) {
  const int64_t row = dims.back();
  return {DType::kFloat32, std::move(dims), row};
}

TEST(Tolerance, GrowsWithTheRootOfTheTerms) {
  ir::ConvAttributes conv;
  conv.strides = {1, 1};
  const BoundNode node{conv, "conv", {F32({1, 8, 8, 16}), F32({3, 3, 16, 4})}, {F32({1, 6, 6, 4})}};
  EXPECT_DOUBLE_EQ(ToleranceOf(node).of_largest, 16 * std::sqrt(144.0) * 0x1p-23);
  conv.epilogue.inputs = 1;
  conv.epilogue.Add(PointwiseOp::kTanh, DType::kFloat32, 0);
  const BoundNode fused{conv, "conv", node.inputs, node.outputs};
  EXPECT_EQ(ToleranceOf(fused).of_largest, ToleranceOf(node).of_largest);
  EXPECT_EQ(ToleranceOf(node).of_element, 0);
  EXPECT_EQ(ToleranceOf(fused).of_element, 8 * 0x1p-23);
  const BoundNode moved{ir::TransposeAttributes{{1, 0}}, "t", {F32({2, 3})}, {F32({3, 2})}};
  EXPECT_EQ(ToleranceOf(moved).of_largest, 0);
  EXPECT_EQ(ToleranceOf(moved).of_element, 0);
  const BoundNode largest{ir::ReduceAttributes{.kind = ir::ReduceKind::kMax, .axes = {1}},
                          "r",
                          {F32({2, 3})},
                          {F32({2})}};
  EXPECT_EQ(ToleranceOf(largest).of_largest, 0);
}

TEST(Tolerance, IsThatOfTheSumsAndOfTheResult) {
  ir::MatMulAttributes product;
  const auto of = [](DType dtype) { return BoundValue{dtype, {9, 9}, 9}; };
  product.accumulator = DType::kInt32;
  product.epilogue = ParsePointwise("1:r1=cast.f32(r0);r2=relu.f32(r1)").value();
  const BoundNode exact{product, "", {of(DType::kInt8), of(DType::kInt8)}, {F32({9, 9})}};
  EXPECT_EQ(ToleranceOf(exact).of_largest, 0);
  EXPECT_EQ(ToleranceOf(exact).of_element, 2 * 8 * 0x1p-23);
  product.accumulator = DType::kInvalid;
  product.epilogue = ParsePointwise("1:r1=cast.i8(r0)").value();
  const BoundNode rounded{product, "", {F32({9, 9}), F32({9, 9})}, {of(DType::kInt8)}};
  EXPECT_EQ(ToleranceOf(rounded).absolute, 1);
  EXPECT_EQ(ToleranceOf(rounded).of_largest, 0);
}

TEST(Difference, NamesTheWorstElement) {
  const BoundValue type{DType::kFloat32, {2, 2}, 3};  // column 2 is somebody else's
  const float expected[] = {1, 2, 7, NAN, INFINITY};
  const float same[] = {1, 2, 8, NAN, INFINITY};
  EXPECT_EQ(Difference(type, {}, expected, same), "");
  const float off[] = {1, 2.5, 7, NAN, INFINITY};
  EXPECT_EQ(Difference(type, {}, expected, off),
            "2.5 instead of 2 in row 0, column 1 of f32[2,2]; the largest is 2");
  EXPECT_EQ(Difference(type, {.of_largest = 0.3}, expected, off), "");
  EXPECT_EQ(Difference(type, {.of_element = 0.3}, expected, off), "");
  const float finite[] = {1, 2, 7, NAN, 3e38f};
  EXPECT_NE(Difference(type, {.of_largest = 1e30}, expected, finite), "");
  const float not_a_number[] = {1, NAN, 7, NAN, INFINITY};
  EXPECT_NE(Difference(type, {.of_largest = 1e30}, expected, not_a_number), "");
}

}  // namespace
}  // namespace graft
