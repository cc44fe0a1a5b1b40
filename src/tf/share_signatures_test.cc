#include "tf/share_signatures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tf/opdefs.h"
#include "tf/test_util.h"

namespace graft::tf {
namespace {

using testing::ElementsAre;

constexpr DType kF32 = DType::kFloat32;

// A signature NAME: x → y, which is `op`(x · factor, a variable).
void Add(MetaGraph* meta, const std::string& name, const std::string& op, float factor = 2) {
  std::vector<NodeDef>& nodes = meta->graph.nodes;
  const std::string x = name + "_x", c = name + "_c", r = name + "_r", m = name + "_m",
                    y = name + "_y";
  nodes.push_back({.name = x, .op = "Placeholder", .attrs = {{"dtype", kF32}}});
  nodes.push_back({.name = c,
                   .op = "Const",
                   .attrs = {{"dtype", kF32}, {"value", TensorValue(Tensor::Scalar(factor))}}});
  nodes.push_back(
      {.name = r, .op = "ReadVariableOp", .inputs = {"variable"}, .attrs = {{"dtype", kF32}}});
  nodes.push_back({.name = m, .op = "Mul", .inputs = {x, c}, .attrs = {{"T", kF32}}});
  nodes.push_back({.name = y, .op = op, .inputs = {m, r}, .attrs = {{"T", kF32}}});
  TensorInfo in, out;
  in.name = x + ":0";
  out.name = y + ":0";
  in.dtype = out.dtype = kF32;
  meta->signatures[name].inputs["x"] = in;
  meta->signatures[name].outputs["y"] = out;
}

MetaGraph Model() {
  MetaGraph meta;
  meta.graph.nodes = {{.name = "variable", .op = "VarHandleOp", .attrs = {{"dtype", kF32}}}};
  return meta;
}

void Share(const std::string& preferred, MetaGraph* meta) {
  const Status status = ShareSignatures(preferred, meta);
  EXPECT_TRUE(status.ok()) << status.ToString();
}

std::string Output(const MetaGraph& meta, const std::string& key) {
  return meta.signatures.at(key).outputs.at("y").name;
}

TEST(ShareSignatures, EqualOnesMeanTheTensorsOfThePreferredOne) {
  MetaGraph meta = Model();
  Add(&meta, "serve", "Add");
  Add(&meta, "serving_default", "Add");
  Share("serving_default", &meta);
  EXPECT_EQ(Output(meta, "serve"), "serving_default_y:0");
  EXPECT_EQ(meta.signatures.at("serve").inputs.at("x").name, "serving_default_x:0");
  EXPECT_EQ(Output(meta, "serving_default"), "serving_default_y:0");
}

TEST(ShareSignatures, DifferentOnesShareWhatTheyHaveInCommon) {
  MetaGraph meta = Model();
  Add(&meta, "a", "Add");
  Add(&meta, "b", "Sub");
  Share("a", &meta);
  EXPECT_EQ(Output(meta, "b"), "b_y:0");
  EXPECT_THAT(FindNode(meta.graph, "b_y")->inputs, ElementsAre("a_m", "a_r"));
}

TEST(ShareSignatures, AnotherConstantOrShapeIsAnotherComputation) {
  MetaGraph meta = Model();
  Add(&meta, "a", "Add");
  Add(&meta, "b", "Add", 3);
  Add(&meta, "c", "Add");
  meta.signatures["c"].inputs["x"].shape = {.dims = {1}};
  Share("a", &meta);
  EXPECT_THAT(FindNode(meta.graph, "b_m")->inputs, ElementsAre("a_x", "b_c"));
  EXPECT_THAT(FindNode(meta.graph, "c_m")->inputs, ElementsAre("c_x", "a_c"));
  EXPECT_EQ(Output(meta, "c"), "c_y:0");
}

TEST(ShareSignatures, VariablesAreEqualToThemselvesAlone) {
  MetaGraph meta = Model();
  Add(&meta, "a", "Add");
  Add(&meta, "b", "Add");
  meta.graph.nodes.push_back(meta.graph.nodes[0]);
  meta.graph.nodes.back().name = "other";
  for (NodeDef& node : meta.graph.nodes) {
    if (node.name == "b_r") node.inputs = {"other"};
  }
  Share("a", &meta);
  EXPECT_EQ(Output(meta, "b"), "b_y:0");
}

TEST(ShareSignatures, RandomNumbersOfOneSignatureStayApart) {
  // In each signature y = random(x) - random(x).
  MetaGraph meta;
  for (const std::string name : {"a", "b"}) {
    Add(&meta, name, "Sub");
    for (NodeDef& node : meta.graph.nodes) {
      if (node.name == name + "_m" || node.name == name + "_r")
        node = {.name = node.name, .op = "RandomShuffle", .inputs = {name + "_x"}};
    }
  }
  Share("a", &meta);
  EXPECT_THAT(FindNode(meta.graph, "a_y")->inputs, ElementsAre("a_m", "a_r"));
  EXPECT_EQ(Output(meta, "b"), "a_y:0");
}

TEST(ShareSignatures, EqualNodesOfOneSignatureStayApart) {
  // In each signature y = x · 2 - x · 2: as many nodes as there would be without the other one.
  MetaGraph meta = Model();
  for (const std::string name : {"a", "b"}) {
    Add(&meta, name, "Sub");
    for (NodeDef& node : meta.graph.nodes) {
      if (node.name == name + "_r")
        node = {.name = node.name,
                .op = "Mul",
                .inputs = {name + "_x", name + "_c"},
                .attrs = {{"T", kF32}}};
    }
  }
  Share("a", &meta);
  EXPECT_THAT(FindNode(meta.graph, "a_y")->inputs, ElementsAre("a_m", "a_r"));
  EXPECT_EQ(Output(meta, "b"), "a_y:0");
}

TEST(ShareSignatures, OnePlaceholderUnderTwoKeysIsItself) {
  // b feeds a's placeholder under another key, and one of its own under a's.
  MetaGraph meta = Model();
  Add(&meta, "a", "Add");
  Add(&meta, "b", "Add");
  TensorInfo other = meta.signatures["a"].inputs["x"];
  meta.signatures["b"].inputs["z"] = other;
  Share("a", &meta);
  EXPECT_EQ(meta.signatures["b"].inputs["x"].name, "b_x:0");
  EXPECT_EQ(meta.signatures["b"].inputs["z"].name, "a_x:0");
  EXPECT_EQ(Output(meta, "b"), "b_y:0");
}

TEST(ShareSignatures, LoopsOfTensorFlow1AreLeftAlone) {
  MetaGraph meta = Model();
  Add(&meta, "a", "Add");
  Add(&meta, "b", "Add");
  for (NodeDef& node : meta.graph.nodes) {
    if (node.name.ends_with("_m")) node.inputs[1] = node.name.substr(0, 1) + "_y";
  }
  Share("a", &meta);
  EXPECT_EQ(Output(meta, "b"), "b_y:0");
}

}  // namespace
}  // namespace graft::tf
