#include "ir/module.h"

#include <gtest/gtest.h>

namespace graft::ir {
namespace {

ValueId AddRelu(Module& module, ValueId x) {
  PointwiseProgram program{.inputs = 1};
  program.Add(PointwiseOp::kRelu, DType::kFloat32, 0);
  return module.node(*module.AddNode(PointwiseAttributes{program}, {x}, "relu")).outputs[0];
}

ValueId AddConcat(Module& module, std::vector<ValueId> operands) {
  const Result<NodeId> id = module.AddNode(ConcatAttributes{0}, std::move(operands), "concat");
  return module.node(*id).outputs[0];
}

std::vector<ValueId> Operands(const Module& module, ValueId result) {
  return module.node(module.value(result).producer).inputs;
}

TEST(Module, ReplacesEveryUse) {
  Module module;
  const ValueId x = module.AddInput("x", DType::kFloat32, {2});
  const ValueId a = AddRelu(module, x), b = AddRelu(module, a);
  const ValueId twice = AddConcat(module, {a, b, a});
  module.outputs = {a, twice, a};
  module.ReplaceUses(a, x);
  EXPECT_EQ(Operands(module, b), std::vector({x}));
  EXPECT_EQ(Operands(module, twice), std::vector({x, b, x}));
  EXPECT_EQ(module.outputs, std::vector({x, twice, x}));

  // Readers that came by the first replacement, and after it.
  const ValueId late = AddConcat(module, {x, b});
  const ValueId y = module.AddInput("y", DType::kFloat32, {2});
  module.RemoveNode(module.value(a).producer);
  module.ReplaceUses(x, y);
  EXPECT_EQ(Operands(module, late), std::vector({y, b}));
  EXPECT_EQ(Operands(module, twice), std::vector({y, b, y}));

  // And when ids are others.
  module.outputs = {twice, late};
  ASSERT_TRUE(module.Compact().ok());
  module.ReplaceUses(module.inputs[1], module.inputs[0]);
  EXPECT_EQ(Operands(module, module.outputs[1])[0], module.inputs[0]);
  EXPECT_EQ(Operands(module, module.outputs[0])[2], module.inputs[0]);
}

TEST(Module, ReplacesTheBasesOfViews) {
  Module module;
  const ValueId x = module.AddInput("x", DType::kFloat32, {2});
  const ValueId a = AddRelu(module, x), b = AddRelu(module, x);
  const ValueId joined = AddConcat(module, {a, b});
  const Result<NodeId> slice = module.AddNode(SliceAttributes{{1}, {2}, {1}}, {joined}, "slice");
  ASSERT_TRUE(slice.ok()) << slice.status().message();
  const ValueId part = module.node(*slice).outputs[0];
  module.value(b).view = View{joined, 0, 2};
  module.value(part).view = View{joined, 0, 1};
  const ValueId other = AddConcat(module, {a, b});
  module.ReplaceUses(joined, other);
  EXPECT_EQ(module.value(b).view->base, other);
  EXPECT_EQ(module.value(part).view->base, other);
}

// a[2,3] · b[3,4] with sums in `accumulator`: the result's dtype, kInvalid where it is refused.
DType ProductOf(DType a, DType b, DType accumulator, std::string_view epilogue = {}) {
  Module m;
  const ValueId x = m.AddInput("a", a, {2, 3});
  const ValueId y = m.AddInput("b", b, {3, 4});
  MatMulAttributes product;
  product.accumulator = accumulator;
  if (!epilogue.empty()) product.epilogue = ParsePointwise(epilogue).value();
  const Result<NodeId> node = m.AddNode(product, {x, y}, "product");
  if (!node.ok()) return DType::kInvalid;
  EXPECT_TRUE(Verify(m).ok());
  return m.value(m.node(*node).outputs[0]).dtype;
}

TEST(Module, ProductsSumInTheirAccumulator) {
  constexpr DType kNone = DType::kInvalid;
  constexpr DType kF32 = DType::kFloat32;
  constexpr DType kF16 = DType::kFloat16;
  constexpr DType kI32 = DType::kInt32;
  constexpr DType kS8 = DType::kInt8;
  EXPECT_EQ(ProductOf(kS8, kS8, kNone), kS8);
  EXPECT_EQ(ProductOf(kS8, kS8, kI32), kI32);
  EXPECT_EQ(ProductOf(DType::kUint8, kS8, kI32), kI32);
  EXPECT_EQ(ProductOf(kF32, kF16, kF32), kF32);
  EXPECT_EQ(ProductOf(kF16, kF16, kNone), kF16);
  EXPECT_EQ(ProductOf(kF16, DType::kBFloat16, kF32), kF32);
  // The last instruction decides, and the program begins with a sum.
  EXPECT_EQ(ProductOf(kS8, kS8, kI32, "1:r1=cast.f32(r0)"), kF32);
  EXPECT_EQ(ProductOf(kF32, kF32, kNone, "1:r1=relu.f32(r0);r2=cast.i8(r1)"), kS8);
  EXPECT_EQ(ProductOf(kS8, kS8, kI32, "1:r1=relu.i8(r0)"), kNone);
  EXPECT_EQ(ProductOf(kS8, kS8, kF32), kNone);
  EXPECT_EQ(ProductOf(kF32, kF32, kI32), kNone);
  EXPECT_EQ(ProductOf(kF32, kF16, kNone), kNone);
  EXPECT_EQ(ProductOf(kF16, kF16, kF16), kNone);
}

}  // namespace
}  // namespace graft::ir
