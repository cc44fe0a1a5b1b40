#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/half.h"
#include "ir/module.h"

namespace graft::ir {
namespace {

// A module that uses every part of the text form.
Module Example() {
  Module m;
  m.AddSymbol({.kind = Symbol::Kind::kInputDim, .input = 0, .axis = 0, .name = "x.0"});
  m.AddSymbol({.kind = Symbol::Kind::kHostValue, .input = 1, .axis = 1, .name = "size[1]"});
  const Dim s0 = Dim::Symbol(0);
  const Dim s1 = Dim::Symbol(1);
  const ValueId x = m.AddInput("x", DType::kFloat32, {s0, 8, 8, 3});
  const ValueId size = m.AddInput("size", DType::kInt32, {2});
  m.value(size).contents = {{16, s1}};
  std::vector<float> weights(3 * 3 * 3 * 4);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i) / 7;
  const ValueId w = m.AddConstant("w", Tensor::Of<float>({3, 3, 3, 4}, weights));
  const ValueId bias = m.AddConstant("bias", Tensor::Of<float>({4}, {1, -0.0f, 1e-30f, INFINITY}));
  const ValueId mask = m.AddConstant("mask", Tensor::Of<bool>({2}, {true, false}));
  ConvAttributes conv;
  conv.strides = {1, 1};
  conv.dilations = {1, 1};
  conv.pads_before = {1, 1};
  conv.pads_after = {1, 1};
  conv.epilogue.inputs = 2;
  conv.epilogue.Add(PointwiseOp::kAdd, DType::kFloat32, 0, 1);
  conv.epilogue.Add(PointwiseOp::kClamp, DType::kFloat32, 2, -1, -1, 0, 6);
  const NodeId c = *m.AddNode(conv, {x, w, bias}, "conv \"1\"\n\xff\\");
  const ValueId y = m.node(c).outputs[0];
  m.SetOrigin(c, {3, 4});
  m.value(y).low = 0;
  m.value(y).high = 6;
  m.value(y).quantization = QuantizationRange{{6}, -1, RangeOrigin::kOp};
  m.value(w).quantization = QuantizationRange{{1, 0.1f, 2.5f, 3e-20f}, 3, RangeOrigin::kNode};
  const NodeId cat = *m.AddNode(ConcatAttributes{.axis = 3}, {y, y}, "cat");
  m.value(y).view = View{m.node(cat).outputs[0], 3, 0};
  const SymbolId r =
      m.AddSymbol({.kind = Symbol::Kind::kResultDim, .name = "r", .upper_bound = s0 * 4 + 1});
  const NodeId where = *m.AddNode(WhereAttributes{.result_dim = Dim::Symbol(r)}, {y}, "where");
  Value unknown;
  unknown.name = "custom:0";
  unknown.dtype = DType::kString;
  const NodeId opaque =
      m.AddOpaque({"Custom", std::string("\0\n\"{(", 5)}, {size, mask}, {unknown}, "custom");
  m.AddOpaque({"NoOp", ""}, {}, {}, "effect");
  m.outputs = {m.node(cat).outputs[0], m.node(where).outputs[1], m.node(opaque).outputs[0]};
  m.output_names = {"cat", "count", "custom"};
  return m;
}

// Keeps the constants of a text.
struct SideFile {
  std::map<std::string, Tensor> constants;
  TextOptions write{[this](const std::string& hash, const Tensor& t) {
    constants[hash] = t;
    return OkStatus();
  }};
  ParseOptions read{[this](const std::string& hash, DType, const Dims&) -> Result<Tensor> {
    auto at = constants.find(hash);
    if (at == constants.end()) return NotFoundError("no constant {}", hash);
    return at->second;
  }};
};

TEST(Text, RoundTripsEverything) {
  const Module module = Example();
  ASSERT_TRUE(Verify(module).ok()) << Verify(module).message();
  SideFile side;
  const Result<std::string> text = ToText(module, side.write);
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_EQ(side.constants.size(), 1u);
  const Result<Module> read = ParseText(*text, side.read);
  ASSERT_TRUE(read.ok()) << read.status().message() << "\n" << *text;
  EXPECT_TRUE(Verify(*read).ok()) << Verify(*read).message();
  EXPECT_EQ(*ToText(*read), *text);
  EXPECT_EQ(read->node(0).name, module.node(0).name);
  EXPECT_EQ(read->node(3).get<OpaqueAttributes>()->node_def,
            module.node(3).get<OpaqueAttributes>()->node_def);
}

TEST(Text, RangesOfQuantisationAreReadable) {
  const std::string text = R"(graft-ir 1
input "x" %0 f32[2,3] "x" amax=calibration[2.5]
constant %1 f32[2] "w" amax=table[1,0.5]@0 = {1,2.5}
output "y" %1
)";
  const Result<Module> module = ParseText(text);
  ASSERT_TRUE(module.ok()) << module.status().message();
  EXPECT_TRUE(Verify(*module).ok()) << Verify(*module).message();
  EXPECT_EQ(module->value(1).quantization, (QuantizationRange{{1, 0.5f}, 0, RangeOrigin::kTable}));
  EXPECT_EQ(*ToText(*module), text);
  EXPECT_FALSE(ParseText("graft-ir 1\ninput \"x\" %0 f32[2] \"x\" amax=guess[1]\n").ok());
}

TEST(Text, IsReadable) {
  Module m;
  m.AddSymbol({.kind = Symbol::Kind::kInputDim, .input = 0, .axis = 0, .name = "x.0"});
  const ValueId x = m.AddInput("x", DType::kFloat32, {Dim::Symbol(0), 2});
  const ValueId b = m.AddConstant("b", Tensor::Of<float>({2}, {1, 2.5}));
  PointwiseAttributes add;
  add.program.inputs = 2;
  add.program.Add(PointwiseOp::kAdd, DType::kFloat32, 0, 1);
  m.outputs = {m.node(*m.AddNode(add, {x, b}, "add")).outputs[0]};
  m.output_names = {"y"};
  EXPECT_EQ(*ToText(m), R"(graft-ir 1
symbol s0 input_dim 0 0 "x.0"
input "x" %0 f32[s0,2] "x"
constant %1 f32[2] "b" = {1,2.5}
%2 f32[s0,2] "add" = pointwise program={2:r2=add.f32(r0,r1)} (%0,%1) "add"
output "y" %2
)");
}

TEST(Text, HalvesAreNumbers) {
  Module m;
  m.outputs = {m.AddConstant("h", Tensor::Of<Float16>({2}, {Float16(0.1f), Float16(-2)})),
               m.AddConstant("b", Tensor::Of<BFloat16>({1}, {BFloat16(1e30f)}))};
  m.output_names = {"h", "b"};
  const std::string text = *ToText(m);
  EXPECT_NE(text.find("f16[2] \"h\" = {0.099975586,-2}"), std::string::npos) << text;
  const Result<Module> read = ParseText(text);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*ToText(*read), text);
}

TEST(Text, LeavesOutWhatNothingDefines) {
  Module m = Example();
  m.AddConstant("unused", Tensor::Scalar<float>(1));
  m.outputs = {m.inputs[0]};
  m.output_names = {"x"};
  m.value(m.node(0).outputs[0]).view.reset();
  m.symbols.pop_back();
  for (NodeId id = 0; id < m.node_count(); ++id) m.RemoveNode(id);
  const Result<std::string> text = ToText(m);
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_EQ(text->find('='), text->find(" contents=") + 9);
}

TEST(Text, RefusesWhatIsNotOne) {
  SideFile side;
  const std::string good = *ToText(Example(), side.write);
  auto refuse = [&](const std::string& from, const std::string& to) {
    std::string bad = good;
    const size_t at = bad.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    bad.replace(at, from.size(), to);
    const Result<Module> read = ParseText(bad, side.read);
    EXPECT_FALSE(read.ok()) << from << " -> " << to;
  };
  refuse("graft-ir 1", "graft-ir 2");
  refuse("input_dim", "dim");
  refuse("f32[s0,8,8,3]", "f32[s9,8,8,3]");
  refuse("f32[s0,8,8,3]", "f99[s0,8,8,3]");
  refuse("strides=[1,1]", "strides=[0,1]");
  refuse("strides=[1,1]", "stride=[1,1]");
  refuse("groups=1", "groups=99999999999999999999");
  refuse("f32[s0,8,8,4]", "f32[s0,8,8,5]");
  refuse("axis=3", "axis=4");
  refuse("(%0,", "(%50,");
  refuse("{1,0}", "{1}");
  refuse("\"x.0\"", "\"x.0");
  refuse("view=%", "view=%9");
  refuse("\"x.0\"\n", "\"x.0\nsymbol s9\"\n");
  EXPECT_FALSE(ParseText("graft-ir 1\nsymbol s0 result_dim 0 0 \"r\"\n").ok()) << "no node";
  EXPECT_FALSE(ParseText(good).ok()) << "constants without bytes";
  for (size_t size = 0; size < good.size(); size += 7) {
    // Losing whole trailing lines leaves a module; it reads or is refused, and nothing else.
    static_cast<void>(ParseText(good.substr(0, size), side.read).ok());
  }
}

TEST(Text, FuzzSeedsParse) {
  int seeds = 0;
  for (const auto& entry : std::filesystem::directory_iterator("test/fuzz/seeds/ir_text")) {
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const Result<Module> module = ParseText(text.str());
    ASSERT_TRUE(module.ok()) << entry.path() << ": " << module.status().message();
    EXPECT_TRUE(Verify(*module).ok()) << entry.path() << ": " << Verify(*module).message();
    EXPECT_EQ(*ToText(*module), text.str()) << entry.path();
    ++seeds;
  }
  EXPECT_GT(seeds, 0);
}

TEST(Attributes, EveryOpReadsBack){
#define GRAFT_OP(Id, name, flags)                                  \
  {                                                                \
    const std::string text = AttributesToString(Id##Attributes()); \
    const Result<Attributes> read = ParseAttributes(text, 0);      \
    ASSERT_TRUE(read.ok()) << read.status().message();             \
    EXPECT_EQ(AttributesToString(*read), text);                    \
  }
#include "ir/ops.inc"
#undef GRAFT_OP
}

TEST(Attributes, AnAccumulatorIsLeftOutWhereOperandsDecideIt) {
  MatMulAttributes product;
  EXPECT_EQ(AttributesToString(product), "matmul transpose_a=false transpose_b=false");
  product.accumulator = DType::kInt32;
  const std::string text = AttributesToString(product);
  EXPECT_EQ(text, "matmul transpose_a=false transpose_b=false accumulator=i32");
  EXPECT_EQ(std::get<MatMulAttributes>(ParseAttributes(text, 0).value()).accumulator,
            DType::kInt32);
  // A dtype that an op needs is not left out.
  EXPECT_FALSE(ParseAttributes("iota count=3", 0).ok());
}

TEST(Attributes, ErrorsNameTheField) {
  EXPECT_EQ(ParseAttributes("reduce kind=median", 0).status().message(),
            "reduce: kind: no value 'median'");
  EXPECT_FALSE(ParseAttributes("concat axis=1 ", 0).ok());
  EXPECT_FALSE(ParseAttributes("no_such_op", 0).ok());
}

}  // namespace
}  // namespace graft::ir
