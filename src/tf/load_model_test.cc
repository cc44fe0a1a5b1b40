#include "tf/load_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tf/test_util.h"
#include "tf/wire.h"

namespace graft::tf {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string Data(const std::string& name) { return "test/data/tf/" + name; }

const Tensor& Weights() {
  static const Tensor w = Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  return w;
}
const Tensor& Bias() {
  static const Tensor b = Tensor::Of<float>({3}, {7, 8, 9});
  return b;
}

// The whole computation is there, and nothing that TensorFlow would have to initialise.
void ExpectFrozen(const LoadedModel& model, int variables = 2) {
  EXPECT_EQ(model.freezing.frozen, variables);
  EXPECT_TRUE(HasConst(model.graph, Weights()));
  EXPECT_TRUE(HasConst(model.graph, Bias()));
  EXPECT_EQ(CountOp(model.graph, "MatMul"), 1);
  EXPECT_EQ(CountOp(model.graph, "Relu"), 1);
  for (const char* op : {"VarHandleOp", "VariableV2", "ReadVariableOp", "StatefulPartitionedCall",
                         "PartitionedCall", "NoOp"}) {
    EXPECT_EQ(CountOp(model.graph, op), 0) << op;
  }
  EXPECT_TRUE(model.graph.functions.empty());
  ASSERT_EQ(model.inputs.size(), 1u);
  ASSERT_EQ(model.outputs.size(), 1u);
  EXPECT_EQ(model.inputs[0].shape.dims, (Dims{-1, 2}));
}

class EverySavedModel : public testing::TestWithParam<const char*> {};

TEST_P(EverySavedModel, IsFrozen) {
  const LoadedModel model = Get(LoadModel({.path = Data(GetParam())}));
  EXPECT_EQ(model.kind, ModelKind::kSavedModel);
  EXPECT_TRUE(model.freezing.kept.empty());
  ExpectFrozen(model);
}

INSTANTIATE_TEST_SUITE_P(TensorFlow, EverySavedModel,
                         testing::Values("tf1_ref", "tf1_resource", "keras2", "keras3"));

// Removes field `field` from the MetaGraph (field 2) of the encoded SavedModel.
void StripMetaGraph(uint32_t field, std::string* bytes) {
  std::string out;
  WireReader model(*bytes);
  while (model.Next()) {
    if (model.field() != 2) {
      model.Keep(&out);
      continue;
    }
    std::string_view part;
    model.Get(&part);
    std::string meta;
    WireReader r(part);
    while (r.Next()) r.field() == field ? r.Skip() : r.Keep(&meta);
    protozero::pbf_writer(out).add_message(2, meta);
  }
  *bytes = out;
}

class EitherSource : public testing::TestWithParam<const char*> {};

TEST_P(EitherSource, WithoutTheObjectGraph) {
  Copy copy(Data(GetParam()));
  copy.Change("saved_model.pb", [](std::string* bytes) { StripMetaGraph(7, bytes); });
  ASSERT_FALSE(Get(ReadSavedModel(copy.path())).meta_graphs[0].objects.has_value());
  ExpectFrozen(Get(LoadModel({.path = copy.path()})));
}

TEST_P(EitherSource, WithoutTheRestoreFunction) {
  Copy copy(Data(GetParam()));
  copy.Change("saved_model.pb", [](std::string* bytes) { StripMetaGraph(3, bytes); });
  ASSERT_FALSE(Get(ReadSavedModel(copy.path())).meta_graphs[0].saver.has_value());
  ExpectFrozen(Get(LoadModel({.path = copy.path()})));
}

INSTANTIATE_TEST_SUITE_P(TensorFlow2, EitherSource, testing::Values("keras2", "keras3"));

TEST(LoadModel, WithoutBothSourcesVariablesStayAndAreReported) {
  Copy copy(Data("keras2"));
  copy.Change("saved_model.pb", [](std::string* bytes) {
    StripMetaGraph(3, bytes);
    StripMetaGraph(7, bytes);
  });
  const LoadedModel model = Get(LoadModel({.path = copy.path()}));
  EXPECT_EQ(model.freezing.frozen, 0);
  ASSERT_EQ(model.freezing.kept.size(), 2u);
  EXPECT_THAT(model.freezing.kept[0].reason, HasSubstr("checkpoint key"));
}

TEST(LoadModel, SourcesThatContradictAreRefused) {
  const Checkpoint checkpoint = Get(Checkpoint::Open(Data("module/variables/variables")));
  const VariableKeys restore = {{"v", {"inner/w/.ATTRIBUTES/VARIABLE_VALUE", {}}}};
  const VariableKeys objects = {{"v", {"b/.ATTRIBUTES/VARIABLE_VALUE", {}}}};
  EXPECT_TRUE(MergeKeys(restore, restore, checkpoint).ok());
  const Status status = MergeKeys(restore, objects, checkpoint).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("variable 'v'"));
}

TEST(LoadModel, CapturesAndNestedFunctions) {
  const LoadedModel model = Get(LoadModel({.path = Data("module")}));
  ExpectFrozen(model, /*variables=*/3);  // one is read by a branch of another signature's If
  EXPECT_TRUE(HasConst(model.graph, Tensor::Of<float>({3}, {2, 2, 2})));
}

TEST(LoadModel, AssignedVariablesAreNotFrozen) {
  const LoadedModel model = Get(LoadModel({.path = Data("module"), .signature = "add"}));
  EXPECT_EQ(CountOp(model.graph, "VarHandleOp"), 1);
  EXPECT_EQ(CountOp(model.graph, "AssignAddVariableOp"), 1);
  ASSERT_EQ(model.freezing.kept.size(), 1u);
  EXPECT_THAT(model.freezing.kept[0].reason, HasSubstr("AssignAddVariableOp"));
  // To be written again it needs its saver, and the initialisation of the table.
  EXPECT_TRUE(model.whole.saver.has_value());
  EXPECT_FALSE(model.whole.init_op.empty());
}

TEST(LoadModel, TablesAndAssetsStayInTheWholeModel) {
  const LoadedModel model = Get(LoadModel({.path = Data("module"), .signature = "look_up"}));
  EXPECT_EQ(CountOp(model.graph, "LookupTableFindV2"), 1);
  ASSERT_EQ(model.whole.assets.size(), 1u);
  const NodeDef* path = FindNode(model.whole.graph, model.whole.assets[0].tensor.substr(
                                                        0, model.whole.assets[0].tensor.find(':')));
  ASSERT_NE(path, nullptr);
  EXPECT_EQ(path->op, "Const");
}

TEST(LoadModel, MetaGraphWithCheckpoint) {
  const LoadedModel model = Get(LoadModel({.path = Data("meta/model.meta"), .outputs = {"y:0"}}));
  EXPECT_EQ(model.kind, ModelKind::kMetaGraph);
  ExpectFrozen(model);
  const Status unnamed = LoadModel({.path = Data("meta/model.meta")}).status();
  EXPECT_EQ(unnamed.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(unnamed.message(), HasSubstr("name the outputs"));
  EXPECT_EQ(LoadModel({.path = Data("meta/model.meta"), .checkpoint = "no/where", .outputs = {"y"}})
                .status()
                .code(),
            StatusCode::kNotFound);
}

TEST(LoadModel, PartitionedVariables) {
  const LoadedModel model =
      Get(LoadModel({.path = Data("partitioned/model.meta"), .outputs = {"y"}}));
  EXPECT_EQ(model.freezing.frozen, 2);
  EXPECT_TRUE(HasConst(model.graph, Tensor::Of<float>({3, 2}, {0, 1, 2, 3, 4, 5})));
  EXPECT_TRUE(HasConst(model.graph, Tensor::Of<float>({2, 2}, {6, 7, 8, 9})));
}

class FrozenGraph : public testing::Test {
 protected:
  FrozenGraph() {
    const LoadedModel model = Get(LoadModel({.path = Data("tf1_ref")}));
    EXPECT_TRUE(WriteFileAtomically(path_, *SerializeGraphDef(model.graph)).ok());
  }
  ~FrozenGraph() override { fs::remove(path_); }
  const std::string path_ = testing::TempDir() + "/graft_tf_frozen.pb";
};

TEST_F(FrozenGraph, InputsAndOutputsAreFound) {
  const LoadedModel model = Get(LoadModel({.path = path_}));
  EXPECT_EQ(model.kind, ModelKind::kFrozenGraph);
  ASSERT_EQ(model.inputs.size(), 1u);
  EXPECT_EQ(model.inputs[0].tensor, "x");
  EXPECT_EQ(model.inputs[0].dtype, DType::kFloat32);
  ASSERT_EQ(model.outputs.size(), 1u);
  EXPECT_EQ(model.outputs[0].tensor, "y");
  EXPECT_EQ(model.content_hash, Get(LoadModel({.path = path_})).content_hash);
  EXPECT_EQ(model.whole.signatures.at("serving_default").outputs.at("y").name, "y:0");
}

TEST_F(FrozenGraph, GivenShapesAndCuts) {
  const LoadedModel shaped = Get(LoadModel({.path = path_, .inputs = {"x:0[8,2]"}}));
  EXPECT_EQ(shaped.inputs[0].shape.dims, (Dims{8, 2}));
  EXPECT_EQ(FindNode(shaped.graph, "x")->Attr<Shape>("shape")->dims, (Dims{8, 2}));
  const LoadedModel cut =
      Get(LoadModel({.path = path_, .inputs = {"matmul[?,3]"}, .outputs = {"y"}}));
  EXPECT_EQ(FindNode(cut.graph, "matmul")->op, "Placeholder");
  EXPECT_EQ(FindNode(cut.graph, "x"), nullptr);
  EXPECT_EQ(cut.inputs[0].dtype, DType::kFloat32);
  for (const char* bad : {"x[8,3]", "x[8]", "x[a]", "x[8", "nothing", "^x", "x:3"}) {
    EXPECT_EQ(LoadModel({.path = path_, .inputs = {bad}}).status().code(),
              StatusCode::kInvalidArgument)
        << bad;
  }
}

TEST(LoadModel, FunctionLibraryInAFrozenGraph) {
  // The keras3 model's graph alone: its functions are inlined, its variables have no checkpoint.
  const LoadedModel model =
      Get(LoadModel({.path = Data("functions.pb"), .outputs = {"StatefulPartitionedCall_1"}}));
  EXPECT_EQ(CountOp(model.graph, "MatMul"), 1);
  EXPECT_EQ(CountOp(model.graph, "StatefulPartitionedCall"), 0);
  EXPECT_EQ(model.freezing.kept.size(), 2u);
  ExpectFrozen(Get(LoadModel({.path = Data("keras3")})));
}

TEST(LoadModel, WrongPaths) {
  EXPECT_EQ(LoadModel({.path = "no/such.pb"}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(LoadModel({.path = "src/tf/graph_def.h"}).status().code(),
            StatusCode::kInvalidArgument);
  Copy copy(Data("meta"));
  fs::rename(copy.Path("model.meta"), copy.Path("model.pbtxt"));
  EXPECT_EQ(LoadModel({.path = copy.Path("model.pbtxt")}).status().code(),
            StatusCode::kUnsupported);
}

TEST(LoadModel, DamagedCheckpointsAreRefused) {
  Copy copy(Data("keras3"));
  copy.Change("variables/variables.data-00000-of-00001", [](std::string* bytes) {
    for (char& c : *bytes) c = static_cast<char>(c ^ 1);
  });
  EXPECT_EQ(LoadModel({.path = copy.path()}).status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace graft::tf
