#include "convert/precision_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tf/test_util.h"

namespace graft::convert {
namespace {

using testing::ElementsAre;
using testing::Key;
using testing::Pair;
using tf::Get;

PrecisionReport Report() {
  PrecisionReport report;
  report.layers = {{.node = "a"},
                   {.node = "b: c", .in_floats = FloatReason::kAccuracy},
                   {.node = "d", .in_floats = FloatReason::kTime}};
  return report;
}

TEST(PrecisionChoice, ComesBackOutOfTheTablesText) {
  quant::CalibrationTable table;
  table.scales = {{"a", 0.5F}};
  EXPECT_EQ(ChosenFloats(table), std::nullopt) << "ranges are no choice";
  AddChoice(Report(), &table);
  const std::string text = Get(quant::ToText(table));
  EXPECT_EQ(text,
            "TRT-8602-EntropyCalibration2\n"
            "a: 3f000000\n"
            "a[precision]: 00000000\n"
            "b: c[precision]: 3f800000\n"
            "d[precision]: 40000000\n");
  const auto floats = ChosenFloats(Get(quant::ParseCalibrationTable(text)));
  ASSERT_TRUE(floats.has_value());
  EXPECT_THAT(*floats, ElementsAre(Pair("b: c", "integers are too coarse for it"),
                                   Pair("d", "the engine is faster so")));
}

TEST(PrecisionChoice, AModelThatIsFasterInFloatsHasAllProductsThere) {
  PrecisionReport report = Report();
  report.integers = false;
  quant::CalibrationTable table;
  AddChoice(report, &table);
  EXPECT_THAT(*ChosenFloats(table), ElementsAre(Key("a"), Key("b: c"), Key("d")));
}

TEST(PrecisionChoice, AllOnIntegersIsAChoiceToo) {
  PrecisionReport report;
  report.layers = {{.node = "a"}};
  quant::CalibrationTable table;
  AddChoice(report, &table);
  ASSERT_TRUE(ChosenFloats(table).has_value());
  EXPECT_TRUE(ChosenFloats(table)->empty());
}

TEST(PrecisionChoice, OtherNumbersMeanIntegers) {
  quant::CalibrationTable table;
  table.scales = {{"a[precision]", 7.0F}, {"b[precision]", 1.0F}};
  EXPECT_THAT(*ChosenFloats(table), ElementsAre(Key("b")));
}

}  // namespace
}  // namespace graft::convert
