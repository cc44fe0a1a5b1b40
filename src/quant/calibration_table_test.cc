#include "quant/calibration_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace graft::quant {
namespace {

using testing::HasSubstr;

TEST(CalibrationTable, ReadsWhatTensorRtWrites) {
  const Result<CalibrationTable> table = ParseCalibrationTable(
      "TRT-7202-EntropyCalibration2\n"
      "data: 3c008912\n"
      "(Unnamed Layer* 4) [Fully Connected]_output: 3d65992f\n"
      "a/b: c:1: 3c010204\r\n"
      "\n"
      "short: 1\n"
      "NOTHING: 0\n");
  ASSERT_TRUE(table.ok()) << table.status().message();
  EXPECT_EQ(table->version, "7202");
  EXPECT_EQ(table->algorithm, "EntropyCalibration2");
  ASSERT_EQ(table->scales.size(), 5u);
  EXPECT_EQ(table->scales[1].first, "(Unnamed Layer* 4) [Fully Connected]_output");
  // An image of 256 grey levels over 256: the entropy's threshold is half a bin beyond the largest.
  EXPECT_NEAR(*table->Find("data") * 127, 0.99609375 * 2048.5 / 2048, 2e-6);
  EXPECT_FLOAT_EQ(*table->Find("a/b: c:1") * 127, 1);
  EXPECT_EQ(*table->Find("short"), std::bit_cast<float>(1)) << "leading zeros may be missing";
  EXPECT_EQ(*table->Find("NOTHING"), 0);
  EXPECT_EQ(table->Find("none"), nullptr);
}

TEST(CalibrationTable, TakesEveryVersionAndAlgorithm) {
  for (const char* header :
       {"TRT-7000-EntropyCalibration", "TRT-8XXX-LegacyCalibration", "TRT-100300-MinMaxCalibration",
        "TRT-8510-EntropyCalibration2", "TRT-1.2-Some-Other"}) {
    const Result<CalibrationTable> table = ParseCalibrationTable(header);
    ASSERT_TRUE(table.ok()) << header;
    EXPECT_EQ(fmt::format("TRT-{}-{}", table->version, table->algorithm), header);
  }
}

TEST(CalibrationTable, WritesWhatItReads) {
  CalibrationTable table;
  table.scales = {{"conv1/Relu", 1.0F / 127}, {"x:1", 0.5F}, {"small", 1e-40F}};
  const Result<std::string> text = ToText(table);
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_EQ(*text,
            "TRT-8602-EntropyCalibration2\nconv1/Relu: 3c010204\nx:1: 3f000000\n"
            "small: 000116c2\n");
  const Result<CalibrationTable> read = ParseCalibrationTable(*text);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->scales, table.scales);
  for (const char* name : {"", "two\nlines", "x\r\ny"}) {
    table.scales = {{name, 1.0F}};
    EXPECT_FALSE(ToText(table).ok()) << name;
  }
  for (float scale : {-1.0F, std::numeric_limits<float>::infinity(), -0.0F}) {
    table.scales = {{"x", scale}};
    EXPECT_FALSE(ToText(table).ok()) << scale;
  }
}

TEST(CalibrationTable, NamesTheLineThatOffends) {
  const auto message = [](std::string_view text) {
    return std::string(ParseCalibrationTable(text).status().message());
  };
  for (const char* header : {"", "\n", "TRT-", "TRT-7000", "TRT--Entropy", "TRT-7000-", "x: 3f"}) {
    EXPECT_THAT(message(header), HasSubstr("line 1")) << header;
  }
  const std::string good = "TRT-7000-EntropyCalibration2\n\nx: 3f000000\n";
  for (const char* line :
       {"x", "x 3f000000", ": 3f000000", "x: ", "x: 3f00000g", "x: 03f000000", "y: bf800000",
        "y: 80000000", "y: 7f800000", "y: 7fc00000", "y: -1", "y: 0x1", "x: 3f000001"}) {
    EXPECT_THAT(message(good + line), HasSubstr("line 4")) << line;
  }
  EXPECT_EQ(message(good + "x: 3f000000"), "") << "the same again";
}

TEST(CalibrationTable, FuzzSeedsParse) {
  int seeds = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("test/fuzz/seeds/calibration_table")) {
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    EXPECT_TRUE(ParseCalibrationTable(text.str()).ok()) << entry.path();
    ++seeds;
  }
  EXPECT_GT(seeds, 0);
}

}  // namespace
}  // namespace graft::quant
