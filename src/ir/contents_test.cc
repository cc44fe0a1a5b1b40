#include "ir/contents.h"

#include <gtest/gtest.h>

#include <limits>

namespace graft::ir {
namespace {

const Dim s0 = Dim::Symbol(0);
const Dim s1 = Dim::Symbol(1);

// Nodes over a module with the symbols s0 and s1.
class ContentsTest : public testing::Test {
 protected:
  ContentsTest() {
    for (int axis = 0; axis < 2; ++axis)
      m_.AddSymbol({.kind = Symbol::Kind::kInputDim, .input = 0, .axis = axis});
    m_.AddInput("x", DType::kFloat32, {s0, s1, 3});
    shape_ = Add(DimsAttributes{.values = {s0, s1, 3}}, {});
  }
  ValueId Add(Attributes attributes, std::vector<ValueId> operands) {
    Result<NodeId> node = m_.AddNode(std::move(attributes), std::move(operands), "node");
    EXPECT_TRUE(node.ok()) << node.status().message();
    return m_.node(*node).outputs[0];
  }
  ValueId Constant(std::vector<int32_t> values) {
    const auto n = static_cast<int64_t>(values.size());
    return m_.AddConstant("c", Tensor::Of<int32_t>({n}, values));
  }
  ValueId Binary(PointwiseOp op, ValueId a, ValueId b) {
    PointwiseAttributes p;
    p.program.inputs = 2;
    p.program.Add(op, DType::kInt32, 0, 1);
    return Add(p, {a, b});
  }
  void Expect(ValueId id, const Shape& contents) {
    ASSERT_TRUE(m_.value(id).contents.has_value());
    EXPECT_EQ(ToString(*m_.value(id).contents), ToString(contents));
  }
  void ExpectUnknown(ValueId id) { EXPECT_FALSE(m_.value(id).contents.has_value()); }

  Module m_;
  ValueId shape_;
};

TEST_F(ContentsTest, FollowsShapeArithmetic) {
  // shape(x)[0:1] ++ {prod(shape(x)[1:])}: how models flatten.
  const ValueId batch = Add(SliceAttributes{.begin = {0}, .size = {1}, .strides = {1}}, {shape_});
  Expect(batch, {s0});
  const ValueId rest = Add(SliceAttributes{.begin = {1}, .size = {2}, .strides = {1}}, {shape_});
  const ValueId product =
      Add(ReduceAttributes{.kind = ReduceKind::kProd, .axes = {0}, .keep_dims = true}, {rest});
  Expect(product, {s1 * 3});
  Expect(Add(ConcatAttributes{.axis = 0}, {batch, product}), {s0, s1 * 3});
  Expect(Add(SliceAttributes{.begin = {2}, .size = {3}, .strides = {-1}}, {shape_}), {3, s1, s0});
}

TEST_F(ContentsTest, FollowsElementwiseOps) {
  const ValueId two = Constant({2});
  Expect(Binary(PointwiseOp::kAdd, shape_, two), {s0 + 2, s1 + 2, 5});
  Expect(Binary(PointwiseOp::kSub, shape_, shape_), {0, 0, 0});
  Expect(Binary(PointwiseOp::kMul, two, shape_), {s0 * 2, s1 * 2, 6});
  Expect(Binary(PointwiseOp::kFloorDiv, shape_, two), {FloorDiv(s0, 2), FloorDiv(s1, 2), 1});
  Expect(Binary(PointwiseOp::kFloorMod, shape_, two), {Mod(s0, 2), Mod(s1, 2), 1});
  Expect(Binary(PointwiseOp::kMax, shape_, two), {Max(s0, 2), Max(s1, 2), 3});
  ExpectUnknown(Binary(PointwiseOp::kFloorDiv, shape_, Constant({0})));
  ExpectUnknown(Binary(PointwiseOp::kMul, Constant({1 << 30}), Constant({4})));
}

TEST_F(ContentsTest, DecidesComparisonsOnlyWhereTheyHoldForAllShapes) {
  PointwiseAttributes p;  // x == y ? x : y
  p.program.inputs = 2;
  p.program.Add(PointwiseOp::kLess, DType::kBool, 0, 1);
  p.program.Add(PointwiseOp::kSelect, DType::kInt32, 2, 0, 1);
  const ValueId larger = Binary(PointwiseOp::kAdd, shape_, Constant({1}));
  Expect(Add(p, {shape_, larger}), {s0, s1, 3});
  ExpectUnknown(Add(p, {shape_, Constant({2})}));
}

TEST_F(ContentsTest, FollowsDataMovement) {
  const ValueId wide = Add(ReshapeAttributes{.shape = {1, 3}}, {shape_});
  Expect(Add(TransposeAttributes{.permutation = {1, 0}}, {wide}), {s0, s1, 3});
  Expect(Add(TileAttributes{.multiples = {2, 1}}, {wide}), {s0, s1, 3, s0, s1, 3});
  Expect(Add(GatherAttributes{}, {shape_, Constant({2, 0})}), {3, s0});
  ExpectUnknown(Add(GatherAttributes{}, {shape_, Constant({3})}));
  const ValueId scalar = m_.AddConstant("scalar", Tensor::Scalar<int32_t>(7));
  Expect(Add(BroadcastAttributes{.shape = {2, 2}}, {scalar}), {7, 7, 7, 7});
}

TEST_F(ContentsTest, LeavesNumbersThatExpressionsCannotHold) {
  constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
  const ValueId largest = m_.AddConstant("largest", Tensor::Scalar<int64_t>(kLargest));
  ExpectUnknown(largest);
  const ValueId half = m_.AddConstant("half", Tensor::Scalar<int64_t>(kLargest / 2));
  PointwiseAttributes product;
  product.program.inputs = 2;
  product.program.Add(PointwiseOp::kMul, DType::kInt64, 0, 1);
  ExpectUnknown(Add(product, {half, half}));
}

TEST_F(ContentsTest, StopsAtTheLimit) {
  ExpectUnknown(Add(TileAttributes{.multiples = {22}}, {shape_}));
  ExpectUnknown(Add(TileAttributes{.multiples = {s0}}, {shape_}));
}

}  // namespace
}  // namespace graft::ir
