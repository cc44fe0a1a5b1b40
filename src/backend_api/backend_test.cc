#include "backend_api/backend.h"

#include <gtest/gtest.h>

namespace graft {
namespace {

// slice of x along the last axis, its result a window of x.
BoundNode BindWindow(const std::vector<int64_t>& dims, int64_t offset, int64_t size) {
  ir::Module module;
  ir::Shape shape(dims.begin(), dims.end());
  const ir::ValueId x = module.AddInput("x", DType::kFloat32, shape);
  const int64_t axis = static_cast<int64_t>(dims.size()) - 1;
  ir::SliceAttributes slice;
  slice.begin.assign(dims.size(), ir::Dim(0));
  slice.begin[axis] = ir::Dim(offset);
  slice.size = shape;
  slice.size[axis] = ir::Dim(size);
  slice.strides.assign(dims.size(), 1);
  const Result<ir::NodeId> node = module.AddNode(slice, {x}, "window");
  EXPECT_TRUE(node.ok()) << node.status().ToString();
  module.value(module.node(*node).outputs[0]).view = ir::View{x, axis, ir::Dim(offset)};
  Result<BoundNode> bound = BindNode(module, module.node(*node), {});
  EXPECT_TRUE(bound.ok()) << bound.status().ToString();
  return *std::move(bound);
}

TEST(BindNodeTest, RowsOfAWindowLieApartLikeTheirBases) {
  const BoundNode node = BindWindow({3, 4}, 1, 2);
  EXPECT_EQ(node.outputs[0].row_stride, 4);
  EXPECT_FALSE(node.outputs[0].dense());
}

// A tactic that takes dense rows only has to take these, because the passes count on it.
TEST(BindNodeTest, AWindowOfOneRowIsDense) {
  EXPECT_TRUE(BindWindow({4}, 2, 1).outputs[0].dense());
  EXPECT_TRUE(BindWindow({1, 1, 4}, 1, 2).outputs[0].dense());
}

}  // namespace
}  // namespace graft
