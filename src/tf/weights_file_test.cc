#include "tf/weights_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "tf/test_util.h"

namespace graft::tf {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

constexpr int64_t kLarge = 100'001;  // numbers, of which no multiple of 64 bytes is made

Tensor Numbers(int64_t count, float first) {
  std::vector<float> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return Tensor::Of<float>({count}, numbers);
}

NodeDef Const(std::string name, Tensor value) {
  const DType dtype = value.dtype();
  return {.name = std::move(name),
          .op = "Const",
          .attrs = {{"dtype", dtype}, {"value", TensorValue(std::move(value))}}};
}

FunctionDef Function(std::string name, std::vector<NodeDef> nodes) {
  FunctionDef function;
  function.signature.name = std::move(name);
  function.nodes = std::move(nodes);
  return function;
}

NodeDef Engine(std::string name, std::string segment) {
  const std::string plan(100'000, name[0]);
  return {.name = std::move(name),
          .op = "TRTEngineOp",
          .attrs = {{"serialized_segment", plan},
                    {"InT", std::vector<DType>()},
                    {"OutT", std::vector<DType>()},
                    {"segment_func", FuncValue{std::move(segment), {}}}}};
}

// Two engines, whose native segments have one weight in common.
MetaGraph Converted() {
  MetaGraph meta;
  meta.tags = {"serve"};
  meta.graph.nodes = {
      Engine("a", "a_segment"), Engine("b", "b_segment"), {.name = "tables", .op = "NoOp"}};
  NodeDef call{.name = "shared", .op = "PartitionedCall"};
  call.attrs = {{"f", FuncValue{"constant", {}}}};
  meta.graph.functions = {
      Function("a_segment", {Const("w", Numbers(kLarge, 0)), Const("s", Numbers(9, 0)), call}),
      Function("b_segment", {Const("v", Numbers(kLarge, 0)), Const("u", Numbers(kLarge, 5)), call}),
      Function("constant", {Const("value", Numbers(kLarge, 7))}),
      Function("of_the_user", {Const("w", Numbers(kLarge, 3))})};
  meta.init_op = "tables";
  return meta;
}

class WeightsFile : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(target_); }
  void TearDown() override { std::filesystem::remove_all(target_); }
  std::string Asset() const {
    for (const auto& entry : std::filesystem::directory_iterator(target_ + "/assets"))
      return entry.path().string();
    return "";
  }
  const std::string target_ = testing::TempDir() + "/graft_weights_file";
};

TEST_F(WeightsFile, ComesBackAsItWas) {
  MetaGraph meta = Converted();
  const std::string before = *SerializeGraphDef(meta.graph);
  ASSERT_TRUE(MoveWeightsToFile(&meta).ok());
  const std::vector<FunctionDef>& functions = meta.graph.functions;
  EXPECT_EQ(functions[0].nodes[0].op, "GraftWeight");
  EXPECT_EQ(functions[0].nodes[1].op, "Const");  // small
  EXPECT_EQ(functions[1].nodes[1].op, "GraftWeight");
  EXPECT_EQ(functions[2].nodes[0].op, "GraftWeight");
  EXPECT_EQ(functions[3].nodes[0].op, "Const");  // no engine's
  const auto offset = [](const NodeDef& node) { return *node.Attr<int64_t>("offset"); };
  EXPECT_EQ(offset(functions[0].nodes[0]), offset(functions[1].nodes[0]));  // equal
  EXPECT_LT(SerializeGraphDef(meta.graph)->size(), 4 * size_t{kLarge} + 4096);
  EXPECT_EQ(*meta.graph.nodes[0].Attr<std::string>("serialized_segment"), "");
  EXPECT_EQ(*meta.graph.nodes[0].Attr<int64_t>("_plan_size"), 100'000);
  EXPECT_NE(meta.init_op, "tables");
  ASSERT_TRUE(WriteSavedModel(meta, {}, target_).ok());
  EXPECT_EQ(std::filesystem::file_size(Asset()) % 64, 0u);
  EXPECT_LT(std::filesystem::file_size(Asset()), 3 * 4 * size_t{kLarge} + 200'000 + 6 * 64);

  const MetaGraph again = Get(SelectMetaGraph(Get(ReadSavedModel(target_)), {"serve"}));
  EXPECT_THAT(again.assets, SizeIs(0));
  EXPECT_EQ(again.graph.nodes.size(), 4u);  // and what runs `tables`
  EXPECT_EQ(FindNode(again.graph, again.init_op)->inputs, std::vector<std::string>{"^tables"});
  MetaGraph compared = again;
  std::erase_if(compared.graph.nodes,
                [&](const NodeDef& node) { return node.name == again.init_op; });
  EXPECT_EQ(*SerializeGraphDef(compared.graph), before);
}

TEST_F(WeightsFile, IsNotMadeForSmallWeights) {
  MetaGraph meta = Converted();
  for (FunctionDef& function : meta.graph.functions) {
    if (function.signature.name != "of_the_user")
      std::erase_if(function.nodes, [](const NodeDef& n) { return n.name != "s"; });
  }
  ASSERT_TRUE(MoveWeightsToFile(&meta).ok());
  EXPECT_EQ(meta.init_op, "tables");
  EXPECT_THAT(meta.assets, SizeIs(0));
}

TEST_F(WeightsFile, DamageIsAStatus) {
  MetaGraph meta = Converted();
  ASSERT_TRUE(MoveWeightsToFile(&meta).ok());
  ASSERT_TRUE(WriteSavedModel(meta, {}, target_).ok());
  const std::string file = Asset();
  const auto why = [&] { return ReadSavedModel(target_).status().ToString(); };
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  EXPECT_THAT(why(), HasSubstr("its numbers are not in the file of weights"));
  ASSERT_TRUE(WriteFileAtomically(file, "something else").ok());
  EXPECT_THAT(why(), HasSubstr("is no file of weights"));
  std::filesystem::remove(file);
  EXPECT_EQ(ReadSavedModel(target_).status().code(), StatusCode::kNotFound);

  for (const int64_t offset : {int64_t{-64}, int64_t{65}, int64_t{1} << 62}) {
    MetaGraph hostile = Converted();
    ASSERT_TRUE(MoveWeightsToFile(&hostile).ok());
    hostile.graph.functions[0].nodes[0].attrs["offset"] = offset;
    ASSERT_TRUE(WriteSavedModel(hostile, {}, target_).ok());
    EXPECT_THAT(why(), HasSubstr("w: its numbers are not in")) << offset;
  }
  for (const char* attr : {"_plan_offset", "_plan_size"}) {
    MetaGraph hostile = Converted();
    ASSERT_TRUE(MoveWeightsToFile(&hostile).ok());
    hostile.graph.nodes[0].attrs[attr] = int64_t{1} << 40;
    ASSERT_TRUE(WriteSavedModel(hostile, {}, target_).ok());
    EXPECT_THAT(why(), HasSubstr("a: its numbers are not in")) << attr;
  }
  MetaGraph hostile = Converted();
  ASSERT_TRUE(MoveWeightsToFile(&hostile).ok());
  hostile.graph.functions[0].nodes[0].attrs["file"] = "/../../escape";
  ASSERT_TRUE(WriteSavedModel(hostile, {}, target_).ok());
  EXPECT_THAT(why(), HasSubstr("leaves the model's directory"));
}

}  // namespace
}  // namespace graft::tf
