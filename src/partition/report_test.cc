#include "partition/report.h"

#include <gtest/gtest.h>

namespace graft::partition {
namespace {

const std::vector<LeftOut> kLeftOut = {{"NoOp", "n", "no data"},
                                       {"Where", "w1", "not supported"},
                                       {"Where", "w2", "rank is unknown"},
                                       {"Where", "w3", "not supported"}};

TEST(Report, OldForm) {
  EXPECT_EQ(
      OldReport(kLeftOut),
      "There are 4 ops of 2 different types in the graph that are not converted to TensorRT: NoOp, "
      "Where, (For "
      "more information see "
      "https://docs.nvidia.com/deeplearning/dgx/tf-trt-user-guide/index.html#supported-ops).");
}

TEST(Report, NewForm) {
  const std::string rule(80, '-'), box(80, '#');
  EXPECT_EQ(
      NewReport(kLeftOut, true),
      "\n\n" + box +
          "\nTensorRT unsupported/non-converted OP Report:\n\t- Where -> 3x\n\t\t- [Count: 2x] not "
          "supported\n\t\t- [Count: 1x] rank is unknown\n\t- NoOp -> 1x\n\t\t- [Count: 1x] no "
          "data\n" +
          rule +
          "\n\t- Total nonconverted OPs: 4\n\t- Total nonconverted OP Types: 2\nFor more "
          "information see "
          "https://docs.nvidia.com/deeplearning/frameworks/tf-trt-user-guide/"
          "index.html#supported-ops.\n" +
          box + "\n");
  EXPECT_EQ(NewReport(kLeftOut, false).find("[Count"), std::string::npos);
}

TEST(Report, ByReasonAndCsv) {
  EXPECT_EQ(ReasonReport(kLeftOut, 1),
            "    2  not supported\n       2 Where (w1, …)\n    1  no data\n       1 NoOp (n)\n    "
            "1  rank is "
            "unknown\n       1 Where (w2)\n");
  EXPECT_EQ(
      CsvReport(kLeftOut),
      "OP Name|Reason|Count\nWhere|not supported|2\nWhere|rank is unknown|1\nNoOp|no data|1\n");
}

}  // namespace
}  // namespace graft::partition
