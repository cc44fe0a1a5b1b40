#include <gtest/gtest.h>

#include <cmath>

#include "ir/module.h"

namespace graft::ir {
namespace {

// x[s0,4] → relu → y
Module Example() {
  Module m;
  m.AddSymbol({.kind = Symbol::Kind::kInputDim, .input = 0, .axis = 0});
  const ValueId x = m.AddInput("x", DType::kFloat32, {Dim::Symbol(0), 4});
  m.AddConstant("c", Tensor::Of<int32_t>({2}, {1, 2}));
  PointwiseAttributes relu;
  relu.program.inputs = 1;
  relu.program.Add(PointwiseOp::kRelu, DType::kFloat32, 0);
  m.outputs = {m.node(*m.AddNode(relu, {x}, "relu")).outputs[0]};
  m.output_names = {"y"};
  return m;
}

// Makes of the node what the module's functions would not.
void Spoil(Module& m, NodeId spoiled, void (*spoil)(Node&)) {
  Module copy;
  copy.symbols = m.symbols;
  copy.inputs = m.inputs;
  copy.outputs = m.outputs;
  copy.input_names = m.input_names;
  copy.output_names = m.output_names;
  for (ValueId id = 0; id < m.value_count(); ++id) copy.AddValue(m.value(id));
  for (NodeId id = 0; id < m.node_count(); ++id) {
    Node node = m.node(id);
    if (id == spoiled) spoil(node);
    copy.AppendNode(std::move(node));
  }
  m = std::move(copy);
}

void ExpectBad(const Module& m, std::string_view part) {
  const Status status = Verify(m);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
}

TEST(Verifier, AcceptsAGoodModule) {
  EXPECT_TRUE(Verify(Example()).ok()) << Verify(Example()).message();
  EXPECT_TRUE(Verify(Module()).ok());
}

TEST(Verifier, RefusesWhatDoesNotHold) {
  struct Case {
    std::string_view reason;
    void (*spoil)(Module&);
  };
  const Case cases[] = {
      {"value 99 does not exist", [](Module& m) { m.inputs[0] = 99; }},
      {"value -1 does not exist", [](Module& m) { m.outputs[0] = -1; }},
      {"names for", [](Module& m) { m.output_names.clear(); }},
      {"input twice",
       [](Module& m) {
         m.inputs.push_back(0);
         m.input_names.push_back("again");
       }},
      {"is a constant", [](Module& m) { m.inputs[0] = 1; }},
      {"symbol that does not exist", [](Module& m) { m.symbols.clear(); }},
      {"shape [-1,4]", [](Module& m) { m.value(0).shape[0] = -1; }},
      {"not known", [](Module& m) { m.value(0).has_shape = false; }},
      {"known elements", [](Module& m) { m.value(1).contents->pop_back(); }},
      {"range", [](Module& m) { m.value(0).low = NAN; }},
      {"a constant i32[2] with", [](Module& m) { m.value(1).dtype = DType::kInt64; }},
      {"operand relu is not computed before",
       [](Module& m) { Spoil(m, 0, [](Node& node) { node.inputs[0] = 2; }); }},
      {"value 7 does not exist",
       [](Module& m) { Spoil(m, 0, [](Node& node) { node.inputs[0] = 7; }); }},
      {"defined twice", [](Module& m) { Spoil(m, 0, [](Node& node) { node.outputs[0] = 0; }); }},
      {"belongs to another", [](Module& m) { m.value(2).result = 1; }},
      {"result 0 is f32[s0,4], not f32[s0,5]", [](Module& m) { m.value(2).shape[1] = 5; }},
      {"1 results, not 0",
       [](Module& m) { Spoil(m, 0, [](Node& node) { node.outputs.clear(); }); }},
      {"never computed", [](Module& m) { m.RemoveNode(0); }},
      {"register 3",
       [](Module& m) {
         Spoil(m, 0, [](Node& node) {
           node.get<PointwiseAttributes>()->program.instructions[0].operands[0] = 3;
         });
       }},
      {"no value 77",
       [](Module& m) {
         Spoil(m, 0, [](Node& node) {
           node.attributes = ReduceAttributes{.kind = static_cast<ReduceKind>(77)};
         });
       }},
      {"view of itself",
       [](Module& m) {
         m.value(2).view = View{2, 0, 0};
       }},
      {"past the end",
       [](Module& m) {
         m.value(2).view = View{0, 1, 1};
       }},
      {"does not fit",
       [](Module& m) {
         m.value(2).view = View{0, 2, 0};
       }},
      {"symbol s0: x has no position 2", [](Module& m) { m.symbols[0].axis = 2; }},
      {"symbol s0: input 1", [](Module& m) { m.symbols[0].input = 1; }},
      {"no small integer input", [](Module& m) { m.symbols[0].kind = Symbol::Kind::kHostValue; }},
  };
  for (const Case& c : cases) {
    Module m = Example();
    c.spoil(m);
    ExpectBad(m, c.reason);
  }
}

TEST(Verify, RangesOfQuantisationFit) {
  Module m;
  const ValueId x = m.AddInput("x", DType::kFloat32, {2, 3});
  m.outputs = {x};
  m.output_names = {"y"};
  auto holds = [&](QuantizationRange range) {
    m.value(x).quantization = std::move(range);
    return Verify(m).ok();
  };
  EXPECT_TRUE(holds({{1}}));
  EXPECT_TRUE(holds({{1, 2, 3}, 1}));
  EXPECT_FALSE(holds({{}}));
  EXPECT_FALSE(holds({{0}}));
  EXPECT_FALSE(holds({{-1}}));
  EXPECT_FALSE(holds({{NAN}}));
  EXPECT_FALSE(holds({{INFINITY}}));
  EXPECT_FALSE(holds({{1, 2}, 1}));
  EXPECT_FALSE(holds({{1, 2}, -1}));
  EXPECT_FALSE(holds({{1, 2}, 2}));
  EXPECT_FALSE(holds({{1}, -1, static_cast<RangeOrigin>(9)}));
}

TEST(Verify, QuantisationTakesWhatItIsDefinedFor) {
  Module m;
  const ValueId x = m.AddInput("x", DType::kFloat32, {2, 3});
  const ValueId one = m.AddConstant("one", Tensor::Scalar(1.0f));
  const ValueId three = m.AddConstant("three", Tensor::Of<float>({3}, {1, 2, 3}));
  const ValueId zero = m.AddConstant("zero", Tensor::Scalar(int8_t{0}));
  EXPECT_TRUE(m.AddNode(QuantizeAttributes{}, {x, one, zero}, "q").ok());
  EXPECT_FALSE(m.AddNode(QuantizeAttributes{.dtype = DType::kUint8}, {x, one, zero}, "q").ok());
  EXPECT_FALSE(m.AddNode(QuantizeAttributes{}, {x, three, zero}, "q").ok());
  const ValueId wide = m.AddConstant("wide", Tensor::Scalar(int32_t{0}));
  EXPECT_FALSE(m.AddNode(QuantizeAttributes{.dtype = DType::kInt32}, {x, one, wide}, "q").ok());
  EXPECT_TRUE(m.AddNode(DequantizeAttributes{}, {wide, one, wide}, "d").ok());
  EXPECT_FALSE(m.AddNode(DequantizeAttributes{}, {x, one, wide}, "d").ok());
  auto fake = [&](FakeQuantizeAttributes a, ValueId low, ValueId high) {
    return m.AddNode(a, {x, low, high}, "f").ok();
  };
  EXPECT_TRUE(fake({}, one, one));
  EXPECT_TRUE(fake({.axis = 1}, three, three));
  EXPECT_FALSE(fake({}, three, three));
  EXPECT_FALSE(fake({.axis = 0}, three, three));
  EXPECT_FALSE(fake({.axis = 2}, one, one));
  EXPECT_TRUE(fake({.range_given = false}, three, one)) << "they are not read";
  EXPECT_FALSE(fake({.bits = 0}, one, one));
  EXPECT_FALSE(fake({.bits = 62}, one, one));
  EXPECT_TRUE(fake({.bits = 62, .is_signed = false}, one, one));
  EXPECT_FALSE(fake({.arithmetic = FakeQuantizeArithmetic::kNudged}, one, one));
  EXPECT_TRUE(fake({.arithmetic = FakeQuantizeArithmetic::kNudged,
                    .is_signed = false,
                    .rounding = Rounding::kHalfUp},
                   one, one));
}

}  // namespace
}  // namespace graft::ir
