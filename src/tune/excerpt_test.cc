#include "tune/excerpt.h"

#include <gtest/gtest.h>

namespace graft {
namespace {

// x[3, depth] · w[depth, 1024] + bias, of which `depth` says how large w is.
struct Product {
  explicit Product(int64_t depth, bool transpose_b = false) {
    ir::MatMulAttributes product;
    product.transpose_b = transpose_b;
    product.epilogue = ParsePointwise("2:r2=add.f32(r0,r1)").value();
    const Dims dims = transpose_b ? Dims{1024, depth} : Dims{depth, 1024};
    const ir::ValueId x = module.AddInput("x", DType::kFloat32, {3, depth});
    const ir::ValueId w = module.AddConstant("w", Tensor::Allocate(DType::kFloat32, dims).value());
    const ir::ValueId bias =
        module.AddConstant("bias", Tensor::Allocate(DType::kFloat32, {1024}).value());
    const Result<ir::NodeId> node = module.AddNode(product, {x, w, bias}, "dense");
    EXPECT_TRUE(node.ok()) << node.status().ToString();
    bound = BindNode(module, module.node(0), {}).value();
  }
  std::optional<Excerpt> Excerpted() const { return ExcerptOf(module, module.node(0), bound); }

  ir::Module module;
  BoundNode bound;
};

TEST(Excerpt, IsTheFirstRowsOfALargeConstant) {
  const Product whole(20000);  // 78 MiB
  const std::optional<Excerpt> excerpt = whole.Excerpted();
  ASSERT_TRUE(excerpt.has_value());
  const BoundNode& part = excerpt->node;
  EXPECT_EQ(part.inputs[0].dims, (Dims{3, 4096}));
  EXPECT_EQ(part.inputs[1].dims, (Dims{4096, 1024}));
  EXPECT_EQ(part.inputs[1].constant->raw(), whole.bound.inputs[1].constant->raw());
  EXPECT_EQ(part.inputs[2].dims, (Dims{1024}));
  EXPECT_EQ(part.outputs[0].dims, (Dims{3, 1024}));
  EXPECT_TRUE(part.inputs[0].dense());
  EXPECT_DOUBLE_EQ(excerpt->factor, 20000.0 / 4096);
  EXPECT_TRUE(VerifyBound(part).ok());
}

TEST(Excerpt, RowsThatLieApartStayApart) {
  Product whole(20000);
  whole.bound.inputs[0].row_stride = 20032;
  whole.bound.outputs[0].row_stride = 2048;
  const std::optional<Excerpt> excerpt = whole.Excerpted();
  ASSERT_TRUE(excerpt.has_value());
  EXPECT_EQ(excerpt->node.inputs[0].row_stride, 20032);
  EXPECT_EQ(excerpt->node.outputs[0].row_stride, 2048);
}

TEST(Excerpt, SmallOrTransposedConstantsAreTimedWhole) {
  EXPECT_FALSE(Product(10000).Excerpted().has_value());
  EXPECT_FALSE(Product(20000, true).Excerpted().has_value());
}

}  // namespace
}  // namespace graft
