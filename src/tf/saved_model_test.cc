#include "tf/saved_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tf/test_util.h"
#include "tf/wire.h"

namespace graft::tf {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kModule[] = "test/data/tf/module";
const ModelFiles kFiles = {kModule, "test/data/tf/module/variables/variables"};

TEST(SavedModel, ReadsSignaturesAssetsAndObjects) {
  const MetaGraph meta = Get(SelectMetaGraph(Get(ReadSavedModel(kModule)), {"serve"}));
  const Signature& serve = *Get(SelectSignature(meta, "serving_default"));
  EXPECT_EQ(serve.inputs.at("x").dtype, DType::kFloat32);
  EXPECT_EQ(serve.inputs.at("x").shape.dims, (Dims{-1, 2}));
  EXPECT_EQ(meta.signatures.count("__saved_model_init_op"), 0u);
  EXPECT_FALSE(meta.init_op.empty());
  ASSERT_EQ(meta.assets.size(), 1u);
  EXPECT_EQ(meta.assets[0].filename, "vocabulary.txt");
  ASSERT_TRUE(meta.objects.has_value());
  EXPECT_FALSE(meta.objects->bound_inputs.empty());
  ASSERT_TRUE(meta.saver.has_value());
  EXPECT_FALSE(meta.saver->restore_op.empty());
}

TEST(SavedModel, WrongTagsAndSignaturesListWhatThereIs) {
  const Status tags = SelectMetaGraph(Get(ReadSavedModel(kModule)), {"train", "gpu"}).status();
  EXPECT_EQ(tags.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(tags.message(), HasSubstr("tags [gpu, train]; there are: [serve]"));
  const MetaGraph meta = Get(SelectMetaGraph(Get(ReadSavedModel(kModule)), {"serve"}));
  const Status key = SelectSignature(meta, "nothing").status();
  EXPECT_EQ(key.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(key.message(), HasSubstr("there are: add, choose, look_up, serving_default"));
}

TEST(SavedModel, OtherFormsAreRefusedWithAdvice) {
  Copy copy(kModule);
  fs::rename(copy.Path("saved_model.pb"), copy.Path("saved_model.pbtxt"));
  const Status text = ReadSavedModel(copy.path()).status();
  EXPECT_EQ(text.code(), StatusCode::kUnsupported);
  EXPECT_THAT(text.message(), HasSubstr("text_format"));
  fs::rename(copy.Path("saved_model.pbtxt"), copy.Path("saved_model.cpb"));
  const Status chunked = ReadSavedModel(copy.path()).status();
  EXPECT_EQ(chunked.code(), StatusCode::kUnsupported);
  EXPECT_THAT(chunked.message(), HasSubstr("tf.saved_model.save"));
  fs::remove(copy.Path("saved_model.cpb"));
  EXPECT_EQ(ReadSavedModel(copy.path()).status().code(), StatusCode::kNotFound);
}

TEST(SavedModel, TruncationIsAStatus) {
  const FileBytes whole = Get(ReadFile("test/data/tf/keras3/saved_model.pb"));
  for (size_t size = 0; size < whole.size; size += 97) {
    const Result<SavedModel> model = ParseSavedModel(CopyBytes(whole.view().substr(0, size)));
    EXPECT_EQ(model.status().code(), StatusCode::kDataLoss) << size;
  }
  Copy copy(kModule);
  copy.Change("saved_model.pb", [](std::string* bytes) { bytes->resize(bytes->size() / 2); });
  EXPECT_THAT(ReadSavedModel(copy.path()).status().message(), HasSubstr("saved_model.pb: "));
}

class WrittenModel : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(target_); }
  const std::string target_ = testing::TempDir() + "/graft_tf_written";
};

TEST_F(WrittenModel, ReadsBackWithAssetsAndVariables) {
  const MetaGraph meta = Get(SelectMetaGraph(Get(ReadSavedModel(kModule)), {"serve"}));
  ASSERT_TRUE(WriteSavedModel(meta, kFiles, target_).ok());
  EXPECT_TRUE(fs::exists(target_ + "/assets/vocabulary.txt"));
  EXPECT_TRUE(fs::exists(target_ + "/variables/variables.index"));
  const MetaGraph again = Get(SelectMetaGraph(Get(ReadSavedModel(target_)), {"serve"}));
  EXPECT_EQ(again.init_op, meta.init_op);
  EXPECT_EQ(again.saver->restore_op, meta.saver->restore_op);
  EXPECT_EQ(again.signatures.size(), meta.signatures.size());
  EXPECT_EQ(*SerializeGraphDef(again.graph), *SerializeGraphDef(meta.graph));
  // Written twice: the same bytes, in place of the first.
  const std::string first(ReadFile(target_ + "/saved_model.pb", false)->view());
  ASSERT_TRUE(WriteSavedModel(meta, kFiles, target_ + "/").ok());
  EXPECT_EQ(ReadFile(target_ + "/saved_model.pb")->view(), first);
}

// What the graph has is kept of collections; the checkpoint may be any.
TEST_F(WrittenModel, KeepsCollectionsOfWhatIsThere) {
  MetaGraph meta = Get(SelectMetaGraph(Get(ReadSavedModel(kModule)), {"serve"}));
  const std::string node = meta.graph.nodes.front().name;
  const std::string bytes =
      "\x12\x06\x0a\x04"
      "any\xff";  // a BytesList of one
  meta.collections = {{"mine", {{node, node + ":0", "gone:0"}, ""}},
                      {"gone", {{"gone"}, ""}},
                      {"losses", {{node}, ""}},
                      {"table_initializer", {{node}, ""}},
                      {"texts", {{}, bytes}}};
  EXPECT_THAT(CollectedNodes(meta), testing::ElementsAre(node, node + ":0"));
  EXPECT_THAT(CollectedInitializers(meta), testing::ElementsAre(node));
  ModelFiles files = kFiles;
  files.checkpoint = "test/data/tf/meta/model";
  ASSERT_TRUE(WriteSavedModel(meta, files, target_).ok());
  const MetaGraph again = Get(SelectMetaGraph(Get(ReadSavedModel(target_)), {"serve"}));
  EXPECT_EQ(again.collections.size(), 4u);
  EXPECT_THAT(again.collections.at("mine").nodes, testing::ElementsAre(node, node + ":0"));
  EXPECT_EQ(again.collections.at("texts").other, bytes);
  EXPECT_EQ(ReadFile(target_ + "/variables/variables.index")->view(),
            ReadFile("test/data/tf/meta/model.index")->view());
}

// The process's mask is never touched: other threads create files meanwhile.
TEST_F(WrittenModel, HasThePermissionsOfAnyOther) {
  const MetaGraph meta = Get(SelectMetaGraph(Get(ReadSavedModel(kModule)), {"serve"}));
  const mode_t mask = ::umask(0027);
  const Status status = WriteSavedModel(meta, kFiles, target_);
  EXPECT_EQ(::umask(mask), mode_t{0027});
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(fs::status(target_).permissions(), static_cast<fs::perms>(0750));
}

TEST_F(WrittenModel, NeverOverwritesSomethingElse) {
  const MetaGraph meta = Get(SelectMetaGraph(Get(ReadSavedModel(kModule)), {"serve"}));
  fs::create_directory(target_);
  ASSERT_TRUE(WriteFileAtomically(target_ + "/precious", "data").ok());
  EXPECT_EQ(WriteSavedModel(meta, kFiles, target_).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(target_ + "/precious"));
  EXPECT_EQ(WriteSavedModel(meta, kFiles, kModule).code(), StatusCode::kInvalidArgument);
}

TEST_F(WrittenModel, FailureLeavesNothing) {
  MetaGraph meta = Get(SelectMetaGraph(Get(ReadSavedModel(kModule)), {"serve"}));
  meta.assets.push_back({"x:0", "../../escape"});
  EXPECT_EQ(WriteSavedModel(meta, kFiles, target_).code(), StatusCode::kDataLoss);
  meta.assets.back().filename = "missing";
  EXPECT_FALSE(WriteSavedModel(meta, kFiles, target_).ok());
  for (const auto& entry : fs::directory_iterator(testing::TempDir()))
    EXPECT_THAT(entry.path().string(), testing::Not(HasSubstr("graft_tf_written")));
}

}  // namespace
}  // namespace graft::tf
