#include "tf/opdefs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace graft::tf {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(OpDefs, KnowsTensorFlowsOps) {
  const OpDef* conv = FindOp("Conv2D");
  ASSERT_NE(conv, nullptr);
  EXPECT_EQ(conv->inputs[1].name, "filter");
  EXPECT_EQ(conv->inputs[1].type_attr, "T");
  EXPECT_FALSE(conv->is_stateful);
  EXPECT_FALSE(conv->FindAttr("strides")->has_default);
  EXPECT_TRUE(FindOp("VarHandleOp")->is_stateful);
  EXPECT_TRUE(FindOp("Assign")->inputs[0].is_ref);
  EXPECT_EQ(FindOp("NoSuchOp"), nullptr);
}

TEST(OpDefs, DefaultsAreAddedAndGivenValuesKept) {
  NodeDef node{.name = "c", .op = "Conv2D", .attrs = {{"data_format", "NCHW"}}};
  AddDefaultAttrs(*FindOp("Conv2D"), &node);
  EXPECT_EQ(*node.Attr<std::string>("data_format"), "NCHW");
  EXPECT_THAT(*node.AttrList<int64_t>("dilations"), ElementsAre(1, 1, 1, 1));
  EXPECT_TRUE(*node.Attr<bool>("use_cudnn_on_gpu"));
  EXPECT_TRUE(node.AttrList<int64_t>("explicit_paddings")->empty());
  EXPECT_EQ(node.FindAttr("strides"), nullptr);
}

TEST(OpDefs, DefaultsOfEveryKind) {
  EXPECT_FLOAT_EQ(*FindOp("FusedBatchNormV3")->FindAttr("epsilon")->default_value.get<float>(),
                  1e-4f);
  EXPECT_TRUE(FindOp("Placeholder")->FindAttr("shape")->default_value.get<Shape>()->unknown_rank);
  EXPECT_EQ(*FindOp("TopKV2")->FindAttr("index_type")->default_value.get<DType>(), DType::kInt32);
  const TensorValue color =
      *FindOp("ImageSummary")->FindAttr("bad_color")->default_value.get<TensorValue>();
  EXPECT_TRUE(BitwiseEqual(*color.Decode(), Tensor::Of<uint8_t>({4}, {255, 0, 0, 255})));
}

TEST(OpDefs, TypesOfArguments) {
  const NodeDef split{
      .name = "s", .op = "Split", .attrs = {{"T", DType::kFloat16}, {"num_split", 3}}};
  EXPECT_THAT(*InputTypes(split), ElementsAre(DType::kInt32, DType::kFloat16));
  EXPECT_THAT(*OutputTypes(split), ElementsAre(DType::kFloat16, DType::kFloat16, DType::kFloat16));
  const NodeDef call{
      .name = "p",
      .op = "PartitionedCall",
      .attrs = {{"Tin", AttrList()}, {"Tout", std::vector<DType>{DType::kBool, DType::kInt8}}}};
  EXPECT_TRUE(InputTypes(call)->empty());
  EXPECT_THAT(*OutputTypes(call), ElementsAre(DType::kBool, DType::kInt8));
}

TEST(OpDefs, BadAttributesAreAStatus) {
  NodeDef split{.name = "s", .op = "Split", .attrs = {{"T", DType::kFloat16}}};
  EXPECT_THAT(OutputTypes(split).status().message(), HasSubstr("s: attribute 'num_split'"));
  split.attrs["num_split"] = int64_t{1} << 40;
  EXPECT_EQ(OutputTypes(split).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(OutputTypes({.name = "x", .op = "NoSuchOp"}).status().code(), StatusCode::kUnsupported);
}

TEST(OpDefs, BodyEdges) {
  const NodeDef top{.name = "t",
                    .op = "TopKV2",
                    .attrs = {{"T", DType::kFloat32}, {"index_type", DType::kInt32}}};
  EXPECT_EQ(*OutputIndex(top, *FindOp("TopKV2"), "values", 0), 0);
  EXPECT_EQ(*OutputIndex(top, *FindOp("TopKV2"), "indices", 0), 1);
  EXPECT_FALSE(OutputIndex(top, *FindOp("TopKV2"), "indices", 1).ok());
  EXPECT_FALSE(OutputIndex(top, *FindOp("TopKV2"), "nothing", 0).ok());
  const NodeDef split{
      .name = "s", .op = "Split", .attrs = {{"T", DType::kFloat16}, {"num_split", 3}}};
  EXPECT_EQ(*OutputIndex(split, *FindOp("Split"), "output", 2), 2);
}

}  // namespace
}  // namespace graft::tf
