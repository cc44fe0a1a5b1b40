#include "quant/range_rules.h"

#include <gtest/gtest.h>

#include <map>

namespace graft::quant {
namespace {

using Ranges = std::map<std::string, std::string>;

// Every value's range by its name: "6 op".
Ranges RangesOf(const ir::Module& module) {
  static constexpr std::string_view kOrigins[] = {"op", "node", "table", "calibration"};
  Ranges ranges;
  for (ir::ValueId id = 0; id < module.value_count(); ++id) {
    const ir::Value& v = module.value(id);
    if (!v.quantization) continue;
    ranges[v.name] = fmt::format("{} {}", v.quantization->amax[0],
                                 kOrigins[static_cast<int>(v.quantization->origin)]);
  }
  return ranges;
}

std::vector<std::string> Names(const ir::Module& module, const std::vector<MissingRange>& missing) {
  std::vector<std::string> names;
  for (const MissingRange& m : missing) {
    names.push_back(fmt::format("{} < {}", module.value(m.value).name, module.node(m.reader).name));
  }
  return names;
}

constexpr std::string_view kConv =
    "conv strides=[1,1] dilations=[1,1] pads_before=[0,0] pads_after=[0,0] groups=1";

ir::Module Parse(const std::string& text) {
  Result<ir::Module> module = ir::ParseText("graft-ir 1\n" + text);
  EXPECT_TRUE(module.ok()) << module.status().message() << text;
  return module.ok() ? *std::move(module) : ir::Module();
}

TEST(FindRanges, OfNodesThenTheTableThenOps) {
  ir::Module module = Parse(R"(input "x" %0 f32[2,2] "x:0"
input "other" %1 f32[2,2] "given:0" amax=node[3]
%2 f32[2,2] "six:0" = pointwise program={1:r1=clamp.f32(r0|0,6)} (%0) "six"
%3 f32[2,2] "bound" amax=node[5] = pointwise program={1:r1=clamp.f32(r0|0,6)} (%0) "bound"
%4 f32[2,2] "tabled" = pointwise program={1:r1=clamp.f32(r0|0,6)} (%0) "tabled"
%5 f32[2,2] "s" = pointwise program={1:r1=sigmoid.f32(r0)} (%0) "s"
%6 f32[2,2] "t" = pointwise program={1:r1=relu.f32(r0);r2=tanh.f32(r1)} (%0) "t"
%7 f32[2,2] "softmax" = softmax log=false (%0) "softmax"
%8 f32[2,2] "log" = softmax log=true (%0) "log"
%9 f32[2,2] "open" = pointwise program={1:r1=clamp.f32(r0|0,inf)} (%0) "open"
%10 f32[2,2] "relu" = pointwise program={1:r1=relu.f32(r0)} (%0) "relu"
%11 i32[2,2] "whole" = pointwise program={1:r1=cast.i32(r0)} (%0) "whole"
output "y" %10
)");
  CalibrationTable table;
  table.scales = {{"x", 2.0F / 127},
                  {"given", 9},
                  {"tabled", 4.0F / 127},
                  {"bound", 9},
                  {"whole", 9},
                  {"open", 0},
                  {"TensorRTOutputPH_0", 8.0F / 127},
                  {"TensorRTInputPH_0", 9}};
  FindRanges(module, &table);
  EXPECT_EQ(RangesOf(module), (Ranges{{"x:0", "2 table"},
                                      {"given:0", "3 node"},
                                      {"six:0", "6 op"},
                                      {"bound", "5 node"},
                                      {"tabled", "4 table"},
                                      {"s", "1 op"},
                                      {"t", "1 op"},
                                      {"softmax", "1 op"},
                                      {"relu", "8 table"}}));
}

TEST(FindRanges, BothWaysThroughWhatKeepsTheScale) {
  ir::Module module = Parse(R"(input "x" %0 f32[1,4,4,2] "x"
%1 f32[1,6,6,2] "padded" = pad mode=constant before=[0,1,1,0] after=[0,1,1,0] value=0 (%0) "padded"
%2 f32[1,3,3,2] "max" amax=node[3] = pool kind=max window=[2,2] strides=[2,2] pads_before=[0,0] pads_after=[0,0] count_padding=false (%1) "max"
%3 f32[1,3,2,3] "turned" = transpose permutation=[0,1,3,2] (%2) "turned"
%4 f32[18] "flat" = reshape shape=[18] (%3) "flat"
%5 f32[4] "part" = slice begin=[0] size=[4] strides=[1] (%4) "part"
%6 f32[6] "one" = pad mode=constant before=[1] after=[1] value=1 (%5) "one"
%7 f32[1,3,3,2] "mean" = pool kind=average window=[2,2] strides=[2,2] pads_before=[0,0] pads_after=[0,0] count_padding=false (%1) "mean"
%8 f32[1,6,6,2] "relu" = pointwise program={1:r1=relu.f32(r0)} (%1) "relu"
output "y" %6
output "z" %7
output "r" %8
)");
  FindRanges(module, nullptr);
  EXPECT_EQ(RangesOf(module), (Ranges{{"x", "3 node"},
                                      {"padded", "3 node"},
                                      {"max", "3 node"},
                                      {"turned", "3 node"},
                                      {"flat", "3 node"},
                                      {"part", "3 node"}}));
}

TEST(FindRanges, TheNearestCounts) {
  ir::Module module = Parse(R"(input "x" %0 f32[4] "x" amax=node[1]
%1 f32[2,2] "a" = reshape shape=[2,2] (%0) "a"
%2 f32[4,1] "b" = reshape shape=[4,1] (%1) "b"
%3 f32[1,4] "c" amax=node[2] = reshape shape=[1,4] (%2) "c"
output "y" %3
)");
  FindRanges(module, nullptr);
  EXPECT_EQ(RangesOf(module),
            (Ranges{{"x", "1 node"}, {"a", "1 node"}, {"b", "2 node"}, {"c", "2 node"}}));
}

TEST(FindRanges, OfChannelsWhereProductsAloneReadThem) {
  const std::string conv =
      "conv strides=[1,1] dilations=[1,1] pads_before=[0,0] pads_after=[0,0] groups=1";
  ir::Module module = Parse(R"(input "x" %0 f32[1,2,2,2] "x"
constant %1 f32[1,1,2,2] "w" = {1,2,3,4}
%2 f32[1,2,2,2] "a" = )" + conv +
                            R"( (%0,%1) "a"
%3 f32[1,2,2,2] "b" = )" + conv +
                            R"( (%2,%1) "b"
%4 f32[1,2,2,2] "c" = )" + conv +
                            R"( epilogue={2:r2=add.f32(r0,r1)} (%3,%1,%3) "c"
%5 f32[1,2,2,2] "d" = )" + conv +
                            R"( (%4,%1) "d"
output "y" %5
)");
  CalibrationTable table;
  for (const char* name : {"x", "a", "b", "c"}) {
    table.scales.emplace_back(name, 4.0F / 127);
    table.scales.emplace_back(ChannelName(name, 0), 1.0F / 127);
    // Of "c" one is missing.
    if (*name != 'c') table.scales.emplace_back(ChannelName(name, 1), 8.0F / 127);
  }
  FindRanges(module, &table);
  for (ir::ValueId v = 0; v < module.value_count(); ++v) {
    const ir::Value& value = module.value(v);
    if (!value.quantization) continue;
    if (value.name == "a") {
      EXPECT_EQ(value.quantization->axis, 3);
      ASSERT_EQ(value.quantization->amax.size(), 2);
      EXPECT_FLOAT_EQ(value.quantization->amax[0], 1.5);
      EXPECT_FLOAT_EQ(value.quantization->amax[1], 4);
    } else {  // an input, a residual as well, a channel unknown
      EXPECT_EQ(value.quantization->axis, -1) << value.name;
      EXPECT_EQ(value.quantization->amax.size(), 1) << value.name;
    }
  }
}

// After fusion, only what integer kernels read needs a range.
TEST(FindMissingRanges, OfWhatIntegerKernelsRead) {
  ir::Module module = Parse(fmt::format(R"(input "x" %0 f32[1,4,4,2] "x"
constant %1 f32[1,1,2,2] "w" = {{1,2,3,4}}
constant %2 f32[2] "bias" = {{1,2}}
%3 f32[1,4,4,2] "a" = {0} epilogue={{2:r2=add.f32(r0,r1);r3=relu.f32(r2)}} (%0,%1,%2) "conv_a"
%4 f32[1,4,4,2] "b" = {0} (%3,%1) "conv_b"
%5 f32[1,4,4,2] "c" = {0} epilogue={{2:r2=add.f32(r0,r1);r3=clamp.f32(r2|0,6)}} (%3,%1,%4) "conv_c"
%6 f32[1,2,2,2] "max" = pool kind=max window=[2,2] strides=[2,2] pads_before=[0,0] pads_after=[0,0] count_padding=false (%4) "max"
%7 f32[1,2,2,2] "d" = {0} (%6,%1) "conv_d"
%8 f32[1,4,4,2] "e" = {0} (%5,%1) "conv_e"
%9 f32[1,8] "flat" = reshape shape=[1,8] (%7) "flat"
%10 f32[8,1] "turned" = transpose permutation=[1,0] (%9) "turned"
%11 f32[1,1] "f" = matmul transpose_a=false transpose_b=false (%9,%10) "product"
%12 f32[1,4,4,2] "float" = pointwise program={{1:r1=exp.f32(r0)}} (%8) "float"
output "f" %11
output "g" %12
)",
                                        kConv));
  FindRanges(module, nullptr);
  // b is read as a residual and through pooling; c has its op's; e and f are read by floats alone.
  EXPECT_EQ(Names(module, FindNeededRanges(module)),
            (std::vector<std::string>{"x < conv_a", "a < conv_b", "b < conv_c", "c < conv_e",
                                      "d < product"}));
  const std::vector<MissingRange> missing = FindMissingRanges(module);
  EXPECT_EQ(Names(module, missing),
            (std::vector<std::string>{"x < conv_a", "a < conv_b", "b < conv_c", "d < product"}));
  EXPECT_EQ(CheckNoneMissing(DescribeMissing(module)).message(),
            "INT8 without calibration: no range for 4 tensors; give them quantisation nodes, or a "
            "calibration table (`graft convert --calibration-data` makes one):\n  x (read by "
            "conv_a)\n  a (read by conv_b)\n  b (read by conv_c)"
            "\n  d (read by product)");
  EXPECT_TRUE(CheckNoneMissing({}).ok());
  CalibrationTable table;
  for (const char* name : {"x", "a", "max", "turned"}) table.scales.emplace_back(name, 1.0F);
  FindRanges(module, &table);
  EXPECT_TRUE(FindMissingRanges(module).empty()) << "ranges behind pooling and a transpose serve";
}

}  // namespace
}  // namespace graft::quant
