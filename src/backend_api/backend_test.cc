#include "backend_api/backend.h"

#include <gtest/gtest.h>

#include "backend_api/table_backend.h"
#include "backend_api/test_backend.h"

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

TEST(BindValuesTest, GivesThoseThatAreWanted) {
  ir::Module module;
  const ir::ValueId x = module.AddInput("x", DType::kFloat32, {3, 4});
  const ir::SliceAttributes half{{0, 2}, {3, 2}, {1, 1}};
  const ir::NodeId first = module.AddNode(half, {x}, "first").value();
  const ir::ValueId y = module.node(first).outputs[0];
  const ir::SliceAttributes column{{0, 1}, {3, 1}, {1, 1}};
  const ir::NodeId second = module.AddNode(column, {y}, "second").value();
  const ir::ValueId z = module.node(second).outputs[0];
  module.value(y).view = ir::View{x, 1, ir::Dim(2)};
  module.value(z).view = ir::View{y, 1, ir::Dim(1)};
  const std::vector<BoundValue> values =
      BindValues(module, {}, [&](ir::ValueId id) { return id != y; }).value();
  EXPECT_EQ(values[x].row_stride, 4);
  EXPECT_TRUE(values[y].dims.empty());
  EXPECT_EQ(values[z].dims, (Dims{3, 1}));
  EXPECT_EQ(values[z].row_stride, 4) << "a window of a window has the rows of what holds both";
  EXPECT_EQ(BindNode(module, module.node(second), {})->outputs[0].row_stride, 4);
}

TEST(BackendTest, TheFirstTacticThatAcceptsEndsTheQuestion) {
  ir::Module module;
  const ir::ValueId x = module.AddInput("x", DType::kFloat32, {4});
  const ir::NodeId node = module.AddNode(ir::ReshapeAttributes{{2, 2}}, {x}, "node").value();
  testing::TestBackend backend;
  std::vector<std::string> asked;
  const auto add = [&](const std::string& name, bool accepts) {
    backend.Add(name).accepts = [&asked, name, accepts](const ir::Node&) {
      asked.push_back(name);
      return accepts;
    };
  };
  add("a", false);
  add("b", true);
  add("c", true);
  EXPECT_FALSE(backend.SupportsAsIs(module, module.node(node)));
  EXPECT_EQ(asked, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(backend.Candidates(module, module.node(node)).size(), 3u);
}

class ThreeTactics final : public TableBackend {
 public:
  ThreeTactics() : TableBackend(Table()) {}
  std::string_view name() const override { return "three"; }
  Device& device() override { return device_; }
  std::string Fingerprint() const override { return ""; }

 private:
  static TacticTable Table() {
    TacticTable table;
    const auto add = [&](ir::OpKind op, std::string name) {
      auto tactic = std::make_unique<testing::TestTactic>();
      tactic->tactic_name = std::move(name);
      table.push_back({op, std::move(tactic)});
    };
    add(ir::OpKind::kReshape, "b");
    add(ir::OpKind::kSlice, "c");
    add(ir::OpKind::kReshape, "a");
    return table;
  }
  HostDevice device_;
};

TEST(TableBackendTest, GivesTheTacticsOfAnOpInTheirOrder) {
  ir::Module module;
  const ir::ValueId x = module.AddInput("x", DType::kFloat32, {4});
  const ir::NodeId node = module.AddNode(ir::ReshapeAttributes{{2, 2}}, {x}, "node").value();
  const ThreeTactics backend;
  EXPECT_EQ(backend.Tactics(module, module.node(node)),
            (std::vector{backend.FindTactic("b"), backend.FindTactic("a")}));
  EXPECT_EQ(backend.FindTactic("c")->name(), "c");
  EXPECT_EQ(backend.FindTactic("d"), nullptr);
}

}  // namespace
}  // namespace graft
