#include "tf/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tf/test_util.h"

namespace graft::tf {
namespace {

using ::testing::HasSubstr;

constexpr char kModule[] = "test/data/tf/module/variables/variables";
constexpr char kPartitioned[] = "test/data/tf/partitioned/model";

Checkpoint Opened(const std::string& prefix) { return Get(Checkpoint::Open(prefix)); }

TEST(Checkpoint, ReadsNumbers) {
  const Tensor w = *Opened(kModule).Read("inner/w/.ATTRIBUTES/VARIABLE_VALUE");
  EXPECT_TRUE(BitwiseEqual(w, Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6})));
}

TEST(Checkpoint, ReadsStrings) {
  Result<std::vector<std::string>> graph =
      Opened(kModule).ReadStrings("_CHECKPOINTABLE_OBJECT_GRAPH");
  ASSERT_TRUE(graph.ok()) << graph.status().ToString();
  ASSERT_EQ(graph->size(), 1u);
  EXPECT_THAT(graph->front(), HasSubstr("VARIABLE_VALUE"));
}

TEST(Checkpoint, PutsPartitionedVariablesTogether) {
  const Checkpoint checkpoint = Opened(kPartitioned);
  EXPECT_EQ(checkpoint.entries().at("w").slices.size(), 2u);
  EXPECT_TRUE(BitwiseEqual(*checkpoint.Read("w"),
                           Tensor::Of<float>({5, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9})));
  EXPECT_TRUE(BitwiseEqual(*checkpoint.ReadSlice("w", {{2, 2}, {1, 1}}),
                           Tensor::Of<float>({2, 1}, {5, 7})));
  EXPECT_EQ(checkpoint.ReadSlice("w", {{2, 9}, {}}).status().code(), StatusCode::kDataLoss);
}

TEST(Checkpoint, MissingFilesAndNames) {
  EXPECT_EQ(Checkpoint::Open("no/such/prefix").status().code(), StatusCode::kNotFound);
  const Status status = Opened(kModule).Read("nothing").status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("no tensor 'nothing'"));
  Copy copy("test/data/tf/module/variables");
  std::filesystem::remove(copy.Path("variables.data-00000-of-00001"));
  const Status missing = Checkpoint::Open(copy.Path("variables")).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_THAT(missing.message(), HasSubstr("variables.data-00000-of-00001"));
}

TEST(Checkpoint, ChangedDataIsFoundByItsChecksum) {
  Copy copy("test/data/tf/module/variables");
  copy.Change("variables.data-00000-of-00001", [](std::string* bytes) {
    for (char& c : *bytes) c = static_cast<char>(c ^ 1);
  });
  const Checkpoint checkpoint = Opened(copy.Path("variables"));
  const Status status = checkpoint.Read("inner/w/.ATTRIBUTES/VARIABLE_VALUE").status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("checksum mismatch in 'inner/w"));
  EXPECT_EQ(checkpoint.ReadStrings("_CHECKPOINTABLE_OBJECT_GRAPH").status().code(),
            StatusCode::kDataLoss);
}

TEST(Checkpoint, TruncatedDataIsRefused) {
  Copy copy("test/data/tf/module/variables");
  copy.Change("variables.data-00000-of-00001", [](std::string* bytes) { bytes->resize(3); });
  const Checkpoint checkpoint = Opened(copy.Path("variables"));
  for (const auto& [key, entry] : checkpoint.entries()) {
    if (entry.dtype == DType::kFloat32) {
      EXPECT_EQ(checkpoint.Read(key).status().code(), StatusCode::kDataLoss);
    }
  }
}

TEST(Checkpoint, DamagedIndexIsRefusedByName) {
  Copy copy("test/data/tf/module/variables");
  copy.Change("variables.index", [](std::string* bytes) { (*bytes)[10] ^= 1; });
  const Status status = Checkpoint::Open(copy.Path("variables")).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("variables.index"));
}

}  // namespace
}  // namespace graft::tf
