#include "convert/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace graft::convert {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Variables for the length of a test.
class EnvironmentTest : public testing::Test {
 protected:
  ~EnvironmentTest() override {
    for (const char* name : set_) unsetenv(name);
  }
  void Set(const char* name, const char* value) {
    setenv(name, value, /*overwrite=*/1);
    set_.push_back(name);
  }
  ConvertOptions Options() {
    ConvertOptions options;
    options.cluster.maximum_segments = 20;
    const Status status = ApplyEnvironment(&options);
    EXPECT_TRUE(status.ok()) << status.message();
    return options;
  }

 private:
  std::vector<const char*> set_;
};

TEST_F(EnvironmentTest, NothingIsSetByDefault) {
  const ConvertOptions options = Options();
  EXPECT_THAT(options.candidates.denied_ops, IsEmpty());
  EXPECT_THAT(options.candidates.faked_ops, IsEmpty());
  EXPECT_FALSE(options.candidates.deny_float_casts);
  EXPECT_EQ(options.cluster.maximum_segments, 20);
  EXPECT_FALSE(options.detailed_report);
  EXPECT_TRUE(options.exports.csv_report.empty());
  EXPECT_TRUE(options.attributes.native_segment);
}

TEST_F(EnvironmentTest, ListsOfOps) {
  Set("TF_TRT_OP_DENYLIST", "Relu,MatMul");
  Set("TF_TRT_OP_FAKELIST", "Unique");
  const ConvertOptions options = Options();
  EXPECT_THAT(options.candidates.denied_ops, ElementsAre("MatMul", "Relu"));
  EXPECT_THAT(options.candidates.faked_ops, ElementsAre("Unique"));
}

TEST_F(EnvironmentTest, MaximumEngines) {
  Set("TF_TRT_MAX_ALLOWED_ENGINES", "-1");
  EXPECT_EQ(Options().cluster.maximum_segments, -1);
  Set("TF_TRT_MAX_ALLOWED_ENGINES", "many");
  ConvertOptions options;
  const Status status = ApplyEnvironment(&options);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("TF_TRT_MAX_ALLOWED_ENGINES 'many'"));
}

TEST_F(EnvironmentTest, ADetailedReportIsALevelOrAFile) {
  Set("TF_TRT_SHOW_DETAILED_REPORT", "0");
  EXPECT_FALSE(Options().detailed_report);
  Set("TF_TRT_SHOW_DETAILED_REPORT", "1");
  EXPECT_TRUE(Options().detailed_report);
  Set("TF_TRT_SHOW_DETAILED_REPORT", "/tmp/report.csv");
  EXPECT_FALSE(Options().detailed_report);
  EXPECT_EQ(Options().exports.csv_report, "/tmp/report.csv");
}

TEST_F(EnvironmentTest, EmbeddedWeights) {
  EXPECT_FALSE(Options().embed_weights);
  Set("GRAFT_EMBED_WEIGHTS", "1");
  EXPECT_TRUE(Options().embed_weights);
  Set("GRAFT_EMBED_WEIGHTS", "0");
  EXPECT_FALSE(Options().embed_weights);
  Set("GRAFT_EMBED_WEIGHTS", "yes");
  ConvertOptions options;
  EXPECT_THAT(ApplyEnvironment(&options).message(), HasSubstr("GRAFT_EMBED_WEIGHTS 'yes'"));
}

TEST_F(EnvironmentTest, StrictInt8) {
  EXPECT_FALSE(Options().build.int8.strict);
  Set("GRAFT_STRICT_INT8", "1");
  EXPECT_TRUE(Options().build.int8.strict);
}

TEST_F(EnvironmentTest, ExperimentalFeatures) {
  Set("TF_TRT_EXPERIMENTAL_FEATURES", "reject_all_fp_cast_ops,disable_graph_freezing");
  EXPECT_TRUE(Options().candidates.deny_float_casts);
  EXPECT_TRUE(Options().attributes.native_segment);
  Set("TF_TRT_EXPERIMENTAL_FEATURES", "remove_native_segments");
  EXPECT_FALSE(Options().attributes.native_segment);
}

}  // namespace
}  // namespace graft::convert
