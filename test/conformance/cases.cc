#include "cases.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/dtype_visit.h"

namespace graft::conformance {
namespace {

using Cases = std::vector<Case>;
using ir::Dim;

constexpr DType kMovedTypes[] = {DType::kFloat32, DType::kInt64, DType::kUint8, DType::kBFloat16};
constexpr DType kNumericTypes[] = {DType::kFloat32,  DType::kFloat64, DType::kFloat16,
                                   DType::kBFloat16, DType::kInt32,   DType::kInt64,
                                   DType::kUint8,    DType::kInt8,    DType::kBool};

Operand Constant(Dims dims, DType dtype = DType::kFloat32) {
  return {std::move(dims), dtype, Fill::kNormal, true};
}

// Domains where an instruction is defined, and its error is not that of its argument's rounding.
Fill DomainOf(PointwiseOp op) {
  switch (op) {
    case PointwiseOp::kLog:
    case PointwiseOp::kLog1p:
    case PointwiseOp::kSqrt:
    case PointwiseOp::kRsqrt:
    case PointwiseOp::kReciprocal:
    case PointwiseOp::kDiv:
    case PointwiseOp::kPow:
    case PointwiseOp::kXdivy:
    case PointwiseOp::kXlogy:
    case PointwiseOp::kFloorDiv:
    case PointwiseOp::kFloorMod:
    case PointwiseOp::kTruncMod:
      return Fill::kPositive;
    case PointwiseOp::kAsin:
    case PointwiseOp::kAcos:
    case PointwiseOp::kAtanh:
      return Fill::kUnit;
    case PointwiseOp::kAcosh:
      return Fill::kAboveOne;
    default:
      return Fill::kNormal;
  }
}

// Sines of huge numbers are those of the reduction's rounding.
bool TakesSpecials(PointwiseOp op) {
  return op != PointwiseOp::kSin && op != PointwiseOp::kCos && op != PointwiseOp::kTan;
}

// One instruction over operands of `dtype`, or none where it is not defined on them.
std::optional<PointwiseProgram> Single(PointwiseOp op, DType dtype) {
  PointwiseProgram program;
  program.inputs = OperandCount(op);
  std::vector<DType> inputs(program.inputs, dtype);
  if (op == PointwiseOp::kSelect) inputs[0] = DType::kBool;
  for (DType result : {dtype, DType::kBool}) {
    program.instructions.clear();
    program.Add(op, result, program.inputs > 0 ? 0 : -1, program.inputs > 1 ? 1 : -1,
                program.inputs > 2 ? 2 : -1, op == PointwiseOp::kConstant ? 3 : 0.25, 4);
    if (VerifyTypes(program, inputs).ok()) return program;
  }
  return std::nullopt;
}

PointwiseProgram Parse(std::string_view text) { return ParsePointwise(text).value(); }

Cases PointwiseCases() {
  Cases cases;
  auto add = [&](const PointwiseProgram& program, DType dtype, const Dims& dims, Fill fill) {
    Case c{ir::PointwiseAttributes{program}, {}};
    for (int i = 0; i < program.inputs; ++i) c.operands.push_back({dims, dtype, fill});
    if (program.instructions[0].op == PointwiseOp::kSelect) c.operands[0].dtype = DType::kBool;
    cases.push_back(std::move(c));
  };
  for (const PointwiseOp op : {
#define GRAFT_POINTWISE(id, name, operands, formula) PointwiseOp::id,
#include "base/pointwise.inc"
#undef GRAFT_POINTWISE
       }) {
    for (DType dtype : kNumericTypes) {
      const std::optional<PointwiseProgram> program = Single(op, dtype);
      if (!program || op == PointwiseOp::kCast) continue;
      add(*program, dtype, {3, 37}, DomainOf(op));
      if (dtype == DType::kFloat32) {
        add(*program, dtype, {0, 5}, Fill::kNormal);
        add(*program, dtype, {}, DomainOf(op));
        if (TakesSpecials(op)) add(*program, dtype, {225}, Fill::kSpecial);
      }
    }
  }
  // Rows of fours.
  for (const DType dtype : {DType::kFloat16, DType::kInt8, DType::kInt64})
    add(*Single(PointwiseOp::kAdd, dtype), dtype, {7, 12}, Fill::kNormal);
  for (DType from : kNumericTypes) {
    for (DType to : kNumericTypes) {
      PointwiseProgram program;
      program.inputs = 1;
      program.Add(PointwiseOp::kCast, to, 0);
      add(program, from, {3, 37}, Fill::kNormal);
      if (IsFloating(from)) add(program, from, {19}, Fill::kSpecial);
    }
  }
  // Broadcasting, and programs of several instructions.
  const PointwiseProgram scale = Parse("3:r3=mul.f32(r0,r1);r4=add.f32(r3,r2);r5=relu.f32(r4)");
  const Dims shapes[][3] = {{{2, 5, 33}, {33}, {33}},
                            {{2, 5, 33}, {5, 1}, {2, 1, 33}},
                            {{5, 1}, {1, 7}, {}},
                            {{2, 1, 3, 1}, {4, 1, 17}, {2, 4, 3, 17}},
                            {{1, 1, 1, 513}, {1}, {3, 1, 1}},
                            {{0, 4}, {4}, {1}}};
  for (const auto& [a, b, c] : shapes) {
    cases.push_back({ir::PointwiseAttributes{scale}, {{a}, {b}, {c}}});
  }
  for (const char* text : {"1:r1=hardswish.f32(r0);r2=clamp.f32(r1|-0.5,2);r3=square.f32(r2)",
                           "2:r2=lt.f32(r0,r1);r3=select.f32(r2,r0,r1)",
                           "1:r1=cast.i32(r0);r2=cast.f32(r1);r3=sub.f32(r0,r2)",
                           "2:r2=sub.f32(r0,r1);r3=exp.f32(r2);r4=tanh.f32(r3)"}) {
    PointwiseProgram program = Parse(std::string_view(text).find("lt.f32") == std::string_view::npos
                                         ? text
                                         : "2:r2=lt.bool(r0,r1);r3=select.f32(r2,r0,r1)");
    add(program, DType::kFloat32, {4, 65}, Fill::kNormal);
  }
  // What ends in integers, at the bounds, halfway between integers, and where there are none.
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> edges = {0.5,   1.5,   2.5,    -0.5,   -1.5,        -0.0,
                                     126.5, 127.5, -126.5, -127.5, 127.49,      3e9,
                                     -3e9,  1e38,  inf,    -inf,   std::nan("")};
  for (const char* end : {"-127,127);r3=cast.i8(r2)", "0,127);r3=cast.i8(r2)",
                          "0,255);r3=cast.u8(r2)", "-200,200);r3=cast.i8(r2)"}) {
    add(Parse(fmt::format("1:r1=round.f32(r0);r2=clamp.f32(r1|{}", end)), DType::kFloat32, {225},
        Fill::kSpecial);
    cases.back().operands[0].values = edges;
  }
  return cases;
}

// Epilogues as the passes make them, with their operands for a result of `dims`.
struct Epilogue {
  PointwiseProgram program;
  std::vector<Operand> operands;
};
std::vector<Epilogue> Epilogues(const Dims& dims) {
  const Dims channels = {dims.back()};
  return {
      {},
      {Parse("2:r2=add.f32(r0,r1)"), {Constant(channels)}},
      {Parse("2:r2=add.f32(r0,r1);r3=relu.f32(r2)"), {Constant(channels)}},
      {Parse("2:r2=add.f32(r0,r1);r3=clamp.f32(r2|0,6)"), {Constant(channels)}},
      {Parse("3:r3=add.f32(r0,r1);r4=add.f32(r3,r2)"), {Constant(channels), {dims}}},
      {Parse("3:r3=add.f32(r0,r1);r4=add.f32(r3,r2);r5=relu.f32(r4)"),
       {Constant(channels), {dims}}},
      {Parse("2:r2=add.f32(r0,r1);r3=hardswish.f32(r2)"), {Constant(channels)}},
      {Parse("3:r3=mul.f32(r0,r1);r4=add.f32(r3,r2);r5=swish.f32(r4)"),
       {Constant(channels), Constant(channels)}},
  };
}

// The dims of a node's result with the operands as they are.
Dims ResultDims(const ir::Attributes& attributes, const std::vector<Operand>& operands) {
  ir::Module module;
  ir::Node node;
  node.attributes = attributes;
  for (const Operand& o : operands)
    node.inputs.push_back(module.AddInput("", o.dtype, ir::MakeShape(o.dims)));
  return *ir::ConstantDims(ir::InferResults(module, node).value()[0].shape);
}

// The node with every epilogue, or with one of them, chosen by its number in the list.
template <class Attributes>
void AddFused(Cases& cases, Attributes attributes, const std::vector<Operand>& operands,
              bool all_epilogues) {
  const std::vector<Epilogue> epilogues = Epilogues(ResultDims(attributes, operands));
  for (size_t i = 0; i < epilogues.size(); ++i) {
    if (!all_epilogues && i != cases.size() % epilogues.size()) continue;
    Case c{attributes, operands};
    std::get<Attributes>(c.attributes).epilogue = epilogues[i].program;
    c.operands.insert(c.operands.end(), epilogues[i].operands.begin(), epilogues[i].operands.end());
    cases.push_back(std::move(c));
    if (!all_epilogues) return;
  }
}

// The node over operands whose sums are of another dtype: 8-bit integers as they are and
// requantised for a next one, and weights stored in 16 bits; the second operand constant and
// computed.
template <class Attributes>
void AddMixed(Cases& cases, const Attributes& attributes, const Dims& x, const Dims& w) {
  auto add = [&](DType accumulator, const std::vector<Operand>& operands, std::string_view epilogue,
                 std::vector<Operand> further) {
    Case c{attributes, operands};
    auto& a = std::get<Attributes>(c.attributes);
    a.accumulator = accumulator;
    const int64_t channels = ResultDims(c.attributes, operands).back();
    if (!epilogue.empty()) a.epilogue = Parse(epilogue);
    // Scales under which most sums keep to eight bits, and some do not.
    const int64_t products = CountElements(w) / std::max<int64_t>(channels, 1);
    const auto depth = static_cast<double>(products);
    for (Operand& o : further) {
      o.dims = {channels};
      for (int64_t i = 0; o.fill == Fill::kUnit && i < channels; ++i) {
        o.values.push_back(static_cast<double>(1 + i % 5) / (100 * std::sqrt(depth + 1)));
      }
      c.operands.push_back(std::move(o));
    }
    cases.push_back(std::move(c));
  };
  for (const bool constant : {true, false}) {
    for (const auto& [dtype, fill] :
         {std::pair(DType::kInt8, Fill::kAll8), std::pair(DType::kUint8, Fill::kAll8),
          std::pair(DType::kInt8, Fill::kAll7)}) {
      const std::vector<Operand> operands = {{x, dtype, fill},
                                             {w, DType::kInt8, Fill::kAll8, constant}};
      const Operand bias = Constant({}, DType::kInt32);
      const Operand scale = {{}, DType::kFloat32, Fill::kUnit, true};
      add(DType::kInt32, operands, "", {});
      // clamp(rne(float(sum + bias) * m), low, high)
      add(DType::kInt32, operands,
          "3:r3=add.i32(r0,r1);r4=cast.f32(r3);r5=mul.f32(r4,r2);r6=round.f32(r5);"
          "r7=clamp.f32(r6|-127,127);r8=cast.i8(r7)",
          {bias, scale});
      add(DType::kInt32, operands,
          "3:r3=add.i32(r0,r1);r4=cast.f32(r3);r5=mul.f32(r4,r2);r6=relu.f32(r5)", {bias, scale});
    }
    for (const DType half : {DType::kFloat16, DType::kBFloat16}) {
      const std::vector<Operand> operands = {{x}, {w, half, Fill::kNormal, constant}};
      add(DType::kFloat32, operands, "2:r2=add.f32(r0,r1);r3=relu.f32(r2)", {Constant({})});
      add(DType::kFloat32, operands, fmt::format("1:r1=cast.{}(r0)", Name(half)), {});
    }
  }
  // Sums of floats that the epilogue turns into integers.
  add(DType::kInvalid, {{x}, Constant(w)},
      "2:r2=add.f32(r0,r1);r3=round.f32(r2);r4=clamp.f32(r3|-127,127);r5=cast.i8(r4)",
      {Constant({})});
}

// The node over 8-bit integers with constant weights, as the layers of a network computed on
// integers are: the sums as they are, and requantised with a residual, which gives integers or
// floats.
template <class Attributes>
void AddIntegers(Cases& cases, Attributes attributes, const Dims& x, const Dims& w) {
  attributes.accumulator = DType::kInt32;
  const std::vector<Operand> factors = {{x, DType::kInt8, Fill::kAll8},
                                        {w, DType::kInt8, Fill::kAll8, true}};
  cases.push_back({attributes, factors});
  const Dims result = ResultDims(attributes, factors);
  const int64_t channels = result.back();
  const int64_t products = CountElements(w) / channels;
  const auto depth = static_cast<double>(products);
  Operand scale = {{channels}, DType::kFloat32, Fill::kUnit, true};
  for (int64_t i = 0; i < channels; ++i)
    scale.values.push_back(static_cast<double>(1 + i % 5) / (100 * std::sqrt(depth + 1)));
  for (const std::string_view end :
       {"", ";r11=round.f32(r10);r12=clamp.f32(r11|0,127);r13=cast.i8(r12)"}) {
    cases.push_back({attributes, factors});
    std::get<Attributes>(cases.back().attributes).epilogue =
        Parse(fmt::format("5:r5=add.i32(r0,r1);r6=cast.f32(r5);r7=mul.f32(r6,r2);r8=cast.f32(r3);"
                          "r9=mul.f32(r8,r4);r10=add.f32(r7,r9){}",
                          end));
    std::vector<Operand>& operands = cases.back().operands;
    operands.push_back(Constant({channels}, DType::kInt32));
    operands.push_back(scale);
    operands.push_back({result, DType::kInt8, Fill::kAll8});
    operands.push_back({{1}, DType::kFloat32, Fill::kUnit, true});
  }
}

// The node over halves with sums in f32: as they are, with a bias and a rounding, and with a
// residual as well.
template <class Attributes>
void AddHalves(Cases& cases, Attributes attributes, const Dims& x, const Dims& w) {
  attributes.accumulator = DType::kFloat32;
  for (const DType half : {DType::kFloat16, DType::kBFloat16}) {
    if (half == DType::kBFloat16 && cases.size() % 3 != 0) continue;
    Case c{attributes, {{x, half}, {w, half, Fill::kNormal, half == DType::kFloat16}}};
    cases.push_back(c);
    const Dims result = ResultDims(c.attributes, c.operands);
    if (half == DType::kFloat16) {
      Case biased = c;
      std::get<Attributes>(biased.attributes).epilogue =
          Parse("2:r2=add.f32(r0,r1);r3=clamp.f32(r2|0,6);r4=cast.f16(r3)");
      biased.operands.push_back(Constant({result.back()}));
      cases.push_back(std::move(biased));
    }
    std::get<Attributes>(c.attributes).epilogue = Parse(fmt::format(
        "3:r3=cast.f32(r2);r4=add.f32(r0,r1);r5=add.f32(r4,r3);r6=relu.f32(r5);r7=cast.{}(r6)",
        Name(half)));
    c.operands.push_back(Constant({result.back()}));
    c.operands.push_back({result, half});
    cases.push_back(std::move(c));
  }
}

// The node over operands of every dtype that products are formed of, the second one computed, with
// and without an epilogue.
template <class Attributes>
void AddTyped(Cases& cases, const Attributes& attributes, const Dims& x, const Dims& w) {
  for (const DType dtype :
       {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUint8}) {
    Case c{attributes, {{x, dtype}, {w, dtype}}};
    cases.push_back(c);
    if (dtype != DType::kFloat64 && dtype != DType::kInt32) continue;
    const std::string_view name = Name(dtype);
    std::get<Attributes>(c.attributes).epilogue =
        Parse(fmt::format("2:r2=add.{}(r0,r1);r3=relu.{}(r2)", name, name));
    c.operands.push_back(Constant({ResultDims(attributes, c.operands).back()}, dtype));
    cases.push_back(c);
  }
}

Cases ConvCases() {
  struct Geometry {
    Dims x;  // N, spatial…, C
    std::vector<int64_t> kernel, strides, dilations, before, after;
    int64_t groups, outputs;

    ir::ConvAttributes attributes() const {
      ir::ConvAttributes conv;
      conv.strides = strides;
      conv.dilations = dilations;
      conv.pads_before.assign(before.begin(), before.end());
      conv.pads_after.assign(after.begin(), after.end());
      conv.groups = groups;
      return conv;
    }
    Dims filter() const {
      Dims dims = kernel;
      dims.push_back(x.back() / groups);
      dims.push_back(outputs);
      return dims;
    }
  };
  const Geometry geometries[] = {
      {{1, 7, 9, 5}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1, 19},
      {{3, 5, 5, 64}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1, 48},
      {{1, 8, 8, 16}, {1, 1}, {2, 2}, {1, 1}, {0, 0}, {0, 0}, 1, 32},
      {{2, 9, 11, 3}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, 17},
      {{1, 14, 14, 32}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, 40},
      {{1, 13, 6, 33}, {3, 3}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1, 16},
      {{1, 15, 15, 8}, {3, 3}, {2, 2}, {1, 1}, {0, 0}, {1, 1}, 1, 24},
      {{1, 16, 16, 7}, {3, 3}, {1, 1}, {2, 3}, {2, 3}, {2, 3}, 1, 9},
      {{1, 21, 19, 3}, {7, 7}, {2, 2}, {1, 1}, {3, 3}, {3, 3}, 1, 33},
      {{1, 9, 9, 6}, {5, 2}, {3, 1}, {1, 2}, {2, 0}, {1, 1}, 1, 4},
      {{1, 6, 6, 1}, {5, 5}, {1, 1}, {1, 1}, {4, 4}, {4, 4}, 1, 1},
      {{2, 5, 21, 9}, {3, 5}, {1, 1}, {1, 1}, {1, 2}, {1, 2}, 1, 1},
      {{2, 9, 40, 21}, {2, 3}, {2, 1}, {1, 2}, {0, 2}, {1, 2}, 1, 3},
      {{2, 8, 8, 12}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 3, 6},
      {{1, 7, 7, 8}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 2, 10},
      {{1, 10, 9, 16}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 16, 16},
      {{2, 11, 8, 37}, {3, 3}, {2, 2}, {1, 1}, {0, 1}, {1, 1}, 37, 37},
      {{1, 12, 12, 19}, {5, 5}, {1, 1}, {1, 1}, {2, 2}, {2, 2}, 19, 19},
      {{1, 12, 12, 24}, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}, 24, 24},
      {{1, 9, 9, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 5, 15},
      {{2, 23, 6}, {5}, {2}, {1}, {2}, {1}, 1, 11},
      {{1, 31, 4}, {3}, {1}, {4}, {8}, {0}, 1, 4},
      {{1, 5, 6, 7, 3}, {2, 3, 3}, {1, 2, 1}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}, 1, 5},
      {{0, 7, 7, 4}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, 8},
      {{1, 1, 1, 130}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1, 1001},
      {{1, 7, 7, 96}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, 72},
      {{1, 19, 17, 24}, {3, 3}, {2, 2}, {1, 1}, {0, 0}, {1, 1}, 24, 24},
  };
  Cases cases;
  for (const Geometry& g : geometries) {
    const ir::ConvAttributes conv = g.attributes();
    const Dims filter = g.filter();
    AddFused(cases, conv, {{g.x}, Constant(filter)}, /*all_epilogues=*/g.groups != 1 || g.x[0] > 1);
    AddTyped(cases, conv, g.x, filter);
    AddMixed(cases, conv, g.x, filter);
    AddHalves(cases, conv, g.x, filter);
  }
  // Of several tiles, slices and images, for tensor cores.
  const Geometry wide[] = {
      {{3, 17, 19, 72}, {3, 3}, {2, 2}, {1, 1}, {1, 0}, {1, 1}, 1, 136},
      {{2, 23, 21, 136}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1, 264},
      {{2, 9, 9, 256}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, 64},
      {{5, 8, 7, 64}, {5, 3}, {1, 2}, {1, 2}, {2, 2}, {2, 2}, 1, 24},
      {{1, 40, 37, 3}, {3, 3}, {2, 2}, {1, 1}, {0, 1}, {1, 1}, 1, 72},
      {{2, 33, 18, 4}, {5, 6}, {1, 1}, {1, 1}, {2, 2}, {2, 3}, 1, 40},
      {{2, 21, 9, 40}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 40, 40},
      // Rows of fours and twos.
      {{2, 9, 11, 44}, {5, 5}, {1, 1}, {1, 1}, {2, 2}, {2, 2}, 44, 44},
      {{1, 14, 13, 22}, {7, 7}, {2, 2}, {1, 1}, {2, 3}, {3, 3}, 22, 22},
      {{2, 9, 11, 44}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1, 44},
      {{1, 7, 9, 520}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1, 44},
  };
  const Geometry integers[] = {
      {{3, 17, 19, 80}, {3, 3}, {2, 2}, {1, 1}, {1, 0}, {1, 1}, 1, 136},
      {{2, 23, 21, 144}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1, 264},
      {{2, 9, 9, 256}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, 64},
      {{5, 8, 7, 64}, {5, 3}, {1, 2}, {1, 2}, {2, 2}, {2, 2}, 1, 24},
      {{1, 14, 14, 1024}, {1, 1}, {2, 2}, {1, 1}, {0, 0}, {0, 0}, 1, 512},
      {{1, 40, 37, 3}, {7, 7}, {2, 2}, {1, 1}, {2, 3}, {3, 3}, 1, 64},
      {{2, 33, 18, 1}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, 16},
      {{2, 21, 9, 24}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, 40},
      {{2, 21, 9, 48}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, 48, 48},
      {{2, 9, 21, 16}, {5, 5}, {1, 1}, {1, 1}, {2, 2}, {2, 2}, 16, 16},
      {{2, 9, 21, 12}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 12, 12},
  };
  for (const Geometry& g : integers) AddIntegers(cases, g.attributes(), g.x, g.filter());
  for (const Geometry& g : wide) AddHalves(cases, g.attributes(), g.x, g.filter());
  // Values that are not finite.
  ir::ConvAttributes conv;
  conv.strides = conv.dilations = {1, 1};
  conv.pads_before = conv.pads_after = {0, 0};
  cases.push_back(
      {conv, {{{1, 5, 5, 3}, DType::kFloat32, Fill::kSpecial}, Constant({1, 1, 3, 8})}});
  return cases;
}

Cases ConvTransposeCases() {
  struct Geometry {
    Dims dy;
    std::vector<int64_t> kernel, strides, before, after, output;
    int64_t channels;
  };
  const Geometry geometries[] = {
      {{1, 5, 6, 7}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {10, 12}, 9},
      {{2, 4, 4, 16}, {3, 3}, {2, 2}, {0, 0}, {1, 1}, {8, 8}, 5},
      {{1, 7, 5, 3}, {4, 4}, {2, 2}, {1, 1}, {1, 1}, {14, 10}, 17},
      {{1, 6, 6, 4}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {6, 6}, 4},
      {{1, 3, 5, 2}, {2, 5}, {3, 2}, {0, 2}, {0, 1}, {8, 9}, 3},
      {{2, 9, 5}, {4}, {2}, {1}, {1}, {18}, 6},
      {{0, 3, 3, 2}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {6, 6}, 3},
  };
  Cases cases;
  for (const Geometry& g : geometries) {
    ir::ConvTransposeAttributes a;
    a.strides = g.strides;
    a.dilations.assign(g.strides.size(), 1);
    a.pads_before.assign(g.before.begin(), g.before.end());
    a.pads_after.assign(g.after.begin(), g.after.end());
    a.output_size.assign(g.output.begin(), g.output.end());
    Dims filter = g.kernel;
    filter.push_back(g.channels);
    filter.push_back(g.dy.back());
    AddFused(cases, a, {{g.dy}, Constant(filter)}, /*all_epilogues=*/g.channels == 9);
    AddTyped(cases, a, g.dy, filter);
    AddMixed(cases, a, g.dy, filter);
    AddHalves(cases, a, g.dy, filter);
  }
  return cases;
}

Cases MatMulCases() {
  Cases cases;
  for (bool transpose_a : {false, true}) {
    for (bool transpose_b : {false, true}) {
      for (const auto& [m, k, n] : {std::array<int64_t, 3>{1, 1, 1},
                                    {7, 33, 5},
                                    {1, 130, 71},
                                    {65, 16, 48},
                                    {3, 0, 4},
                                    {0, 3, 4}}) {
        const Dims a = transpose_a ? Dims{k, m} : Dims{m, k};
        const Dims b = transpose_b ? Dims{n, k} : Dims{k, n};
        const ir::MatMulAttributes attributes{transpose_a, transpose_b, {}};
        AddFused(cases, attributes, {{a}, Constant(b)}, /*all_epilogues=*/m == 7);
        cases.push_back({attributes, {{a}, {b}}});
        AddTyped(cases, attributes, a, b);
        AddMixed(cases, attributes, a, b);
        if (m == 7 || m == 65) AddHalves(cases, attributes, a, b);
      }
      const ir::MatMulAttributes attributes{transpose_a, transpose_b, {}};
      const Dims a = transpose_a ? Dims{2, 3, 9, 4} : Dims{2, 3, 4, 9};
      const Dims b = transpose_b ? Dims{3, 5, 9} : Dims{3, 9, 5};
      AddFused(cases, attributes, {{a}, {b}}, /*all_epilogues=*/true);
      AddTyped(cases, attributes, a, b);
      AddMixed(cases, attributes, transpose_a ? Dims{3, 9, 4} : Dims{3, 4, 9}, b);
      AddHalves(cases, attributes, a, b);
      const bool deep = transpose_a || transpose_b;
      AddHalves(cases, attributes, transpose_a ? Dims{600, 33} : Dims{33, 600},
                transpose_b ? Dims{72, 600} : Dims{600, 72});
      if (!deep) AddHalves(cases, attributes, {2, 200, 256}, {2, 256, 136});
      // One row.
      if (!deep) AddHalves(cases, attributes, {1, 5000}, {5000, 136});
      if (!deep) AddHalves(cases, attributes, {1, 1, 72}, {72, 1000});
      if (!transpose_a)
        AddHalves(cases, attributes, {3, 70, 328}, transpose_b ? Dims{264, 328} : Dims{328, 264});
      if (!transpose_a) {
        AddIntegers(cases, attributes, {3, 70, 336}, transpose_b ? Dims{264, 336} : Dims{336, 264});
        AddIntegers(cases, attributes, {33, 640}, transpose_b ? Dims{72, 640} : Dims{640, 72});
      }
    }
  }
  return cases;
}

Cases PoolCases() {
  struct Geometry {
    Dims x;
    std::vector<int64_t> window, strides, before, after;
  };
  const Geometry geometries[] = {
      {{2, 9, 7, 5}, {3, 3}, {2, 2}, {1, 1}, {1, 1}},
      {{1, 8, 8, 37}, {2, 2}, {2, 2}, {0, 0}, {0, 0}},
      {{1, 7, 7, 64}, {7, 7}, {7, 7}, {0, 0}, {0, 0}},
      {{1, 6, 9, 3}, {3, 2}, {1, 3}, {2, 0}, {0, 1}},
      {{1, 15, 4}, {3}, {2}, {1}, {0}},
      {{2, 9, 7, 12}, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
      {{1, 4, 5, 6, 3}, {2, 2, 3}, {2, 1, 2}, {0, 1, 1}, {0, 0, 1}},
      {{0, 5, 5, 3}, {2, 2}, {1, 1}, {0, 0}, {0, 0}},
      {{2, 21, 24, 5}, {21, 24}, {21, 24}, {0, 0}, {0, 0}},
      {{1, 30, 31, 40}, {17, 19}, {11, 9}, {3, 2}, {4, 5}},
      {{1, 6, 7, 9, 3}, {6, 7, 5}, {1, 1, 2}, {0, 1, 1}, {0, 0, 1}},
  };
  Cases cases;
  for (const Geometry& g : geometries) {
    for (const auto& [kind, count] : {std::pair{ir::PoolKind::kMax, false},
                                      {ir::PoolKind::kAverage, false},
                                      {ir::PoolKind::kAverage, true}}) {
      ir::PoolAttributes a;
      a.kind = kind;
      a.window = g.window;
      a.strides = g.strides;
      a.pads_before.assign(g.before.begin(), g.before.end());
      a.pads_after.assign(g.after.begin(), g.after.end());
      a.count_padding = count;
      for (const DType dtype : kNumericTypes) {
        if (dtype == DType::kBool) continue;
        if (kind == ir::PoolKind::kMax || IsFloating(dtype)) cases.push_back({a, {{g.x, dtype}}});
      }
    }
  }
  return cases;
}

Cases ReduceCases() {
  Cases cases;
  const std::vector<int64_t> axes[] = {{0}, {1}, {2}, {1, 2}, {0, 2}, {0, 1, 2}, {}};
  for (ir::ReduceKind kind : {ir::ReduceKind::kSum, ir::ReduceKind::kMean, ir::ReduceKind::kMax,
                              ir::ReduceKind::kMin, ir::ReduceKind::kProd}) {
    for (const std::vector<int64_t>& a : axes) {
      for (const Dims& dims : {Dims{3, 7, 19}, {2, 49, 64}, {2, 0, 3}})
        cases.push_back({ir::ReduceAttributes{kind, a, a.size() == 1}, {{dims}}});
    }
    for (DType dtype : {DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUint8, DType::kInt8})
      for (const std::vector<int64_t>& a : axes)
        cases.push_back({ir::ReduceAttributes{kind, a, false}, {{{3, 7, 19}, dtype}}});
    cases.push_back({ir::ReduceAttributes{kind, {0, 2}, false}, {{{900, 2, 77}, DType::kInt8}}});
    cases.push_back({ir::ReduceAttributes{kind, {1}, false}, {{{2, 0, 3}, DType::kInt32}}});
    cases.push_back(
        {ir::ReduceAttributes{kind, {1}, false}, {{{9, 25}, DType::kFloat32, Fill::kSpecial}}});
  }
  for (ir::ReduceKind kind : {ir::ReduceKind::kAll, ir::ReduceKind::kAny})
    cases.push_back({ir::ReduceAttributes{kind, {1}, true}, {{{3, 5}, DType::kBool}}});
  return cases;
}

Cases ArgReduceCases() {
  Cases cases;
  for (ir::ArgReduceKind kind : {ir::ArgReduceKind::kMax, ir::ArgReduceKind::kMin}) {
    for (int64_t axis : {0, 1, 2}) {
      for (DType index : {DType::kInt32, DType::kInt64}) {
        const ir::ArgReduceAttributes a{kind, axis, index};
        cases.push_back({a, {{{3, 5, 37}, DType::kFloat32, Fill::kTies}}});
        cases.push_back({a, {{{3, 5, 15}, DType::kFloat32, Fill::kSpecial}}});
        cases.push_back({a, {{{0, 5, 3}}}});
      }
    }
    for (DType dtype : {DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUint8, DType::kInt8})
      cases.push_back({ir::ArgReduceAttributes{kind, 1}, {{{4, 9, 3}, dtype}}});
  }
  std::erase_if(cases, [](const Case& c) {  // the least of nothing is not defined
    return c.operands[0].dims[0] == 0 && std::get<ir::ArgReduceAttributes>(c.attributes).axis == 0;
  });
  return cases;
}

Cases SoftmaxCases() {
  Cases cases;
  for (bool log : {false, true}) {
    for (const Dims& dims : {Dims{1, 1001}, {7, 5}, {2, 3, 33}, {4, 1}, {0, 3}, {3, 0}})
      cases.push_back({ir::SoftmaxAttributes{log}, {{dims}}});
    cases.push_back({ir::SoftmaxAttributes{log}, {{{15, 15}, DType::kFloat32, Fill::kSpecial}}});
    cases.push_back({ir::SoftmaxAttributes{log}, {{{3, 5}, DType::kFloat64}}});
  }
  return cases;
}

Cases ReshapeCases() {
  return {{ir::ReshapeAttributes{{6, 35}}, {{{2, 3, 5, 7}}}},
          {ir::ReshapeAttributes{{1, 1, 4}}, {{{4}, DType::kInt64}}},
          {ir::ReshapeAttributes{{0, 9}}, {{{3, 0}}}},
          {ir::ReshapeAttributes{{}}, {{{1, 1}}}}};
}

Cases TransposeCases() {
  Cases cases;
  for (DType dtype : kMovedTypes) {
    for (const auto& [dims, permutation] : {std::pair<Dims, std::vector<int64_t>>{{5, 7}, {1, 0}},
                                            {{2, 9, 5, 3}, {0, 3, 1, 2}},
                                            {{2, 3, 9, 5}, {0, 2, 3, 1}},
                                            {{4, 33, 17}, {2, 1, 0}},
                                            {{3, 4, 5, 2, 3}, {4, 1, 0, 3, 2}},
                                            {{4, 1, 6}, {1, 0, 2}},
                                            {{0, 4}, {1, 0}},
                                            {{8}, {0}}})
      cases.push_back({ir::TransposeAttributes{permutation}, {{dims, dtype}}});
  }
  return cases;
}

Cases ConcatCases() {
  Cases cases;
  for (DType dtype : kMovedTypes) {
    cases.push_back(
        {ir::ConcatAttributes{2}, {{{2, 3, 5}, dtype}, {{2, 3, 1}, dtype}, {{2, 3, 4}, dtype}}});
    cases.push_back({ir::ConcatAttributes{0}, {{{2, 3}, dtype}, {{5, 3}, dtype}}});
    cases.push_back({ir::ConcatAttributes{1}, {{{2, 0, 3}, dtype}, {{2, 4, 3}, dtype}}});
    cases.push_back({ir::ConcatAttributes{0}, {{{7}, dtype}}});
  }
  return cases;
}

Cases SliceCases() {
  Cases cases;
  for (DType dtype : kMovedTypes) {
    cases.push_back({ir::SliceAttributes{{1, 0, 2}, {2, 5, 3}, {1, 1, 2}}, {{{3, 5, 8}, dtype}}});
    cases.push_back({ir::SliceAttributes{{2, 4}, {3, 5}, {-1, -1}}, {{{3, 5}, dtype}}});
    cases.push_back(
        {ir::SliceAttributes{{0, 1, 1, 0}, {2, 3, 3, 7}, {1, 2, 1, 1}}, {{{2, 7, 5, 7}, dtype}}});
    cases.push_back({ir::SliceAttributes{{1}, {0}, {1}}, {{{4}, dtype}}});
  }
  return cases;
}

Cases PadCases() {
  Cases cases;
  for (DType dtype : {DType::kFloat32, DType::kFloat16, DType::kInt32, DType::kBool}) {
    for (ir::PadMode mode :
         {ir::PadMode::kConstant, ir::PadMode::kReflect, ir::PadMode::kSymmetric}) {
      cases.push_back(
          {ir::PadAttributes{mode, {0, 2, 1, 0}, {0, 1, 3, 0}, 1}, {{{2, 4, 5, 3}, dtype}}});
      cases.push_back({ir::PadAttributes{mode, {2, 1}, {0, 4}, 0}, {{{3, 6}, dtype}}});
    }
    cases.push_back(
        {ir::PadAttributes{ir::PadMode::kConstant, {1, 2}, {1, 0}, 1}, {{{0, 3}, dtype}}});
  }
  return cases;
}

Cases BroadcastCases() {
  Cases cases;
  for (DType dtype : kMovedTypes) {
    cases.push_back({ir::BroadcastAttributes{{3, 5}}, {{{}, dtype}}});
    cases.push_back({ir::BroadcastAttributes{{2, 3, 4, 5}}, {{{3, 1, 5}, dtype}}});
    cases.push_back({ir::BroadcastAttributes{{4, 0}}, {{{1}, dtype}}});
  }
  return cases;
}

Cases TileCases() {
  Cases cases;
  for (DType dtype : kMovedTypes) {
    cases.push_back({ir::TileAttributes{{2, 1, 3}}, {{{2, 3, 5}, dtype}}});
    cases.push_back({ir::TileAttributes{{3}}, {{{1}, dtype}}});
    cases.push_back({ir::TileAttributes{{0, 2}}, {{{2, 2}, dtype}}});
  }
  return cases;
}

Operand Indices(Dims dims, DType dtype) { return {std::move(dims), dtype, Fill::kIndices}; }

Cases GatherCases() {
  Cases cases;
  for (DType dtype : kMovedTypes) {
    for (DType index : {DType::kInt32, DType::kInt64}) {
      cases.push_back({ir::GatherAttributes{0, 0}, {{{4, 7}, dtype}, Indices({2, 3}, index)}});
      cases.push_back({ir::GatherAttributes{1, 0}, {{{2, 5, 3}, dtype}, Indices({4}, index)}});
      cases.push_back({ir::GatherAttributes{2, 1}, {{{2, 3, 5}, dtype}, Indices({2, 4}, index)}});
      cases.push_back({ir::GatherAttributes{0, 0}, {{{4, 2}, dtype}, Indices({}, index)}});
      cases.push_back({ir::GatherAttributes{0, 0}, {{{4, 2}, dtype}, Indices({0}, index)}});
    }
  }
  return cases;
}

Cases GatherNdCases() {
  Cases cases;
  for (DType dtype : kMovedTypes) {
    for (DType index : {DType::kInt32, DType::kInt64}) {
      cases.push_back({ir::GatherNdAttributes{0}, {{{4, 5, 3}, dtype}, Indices({6, 2}, index)}});
      cases.push_back({ir::GatherNdAttributes{0}, {{{4, 5}, dtype}, Indices({2, 3, 2}, index)}});
      cases.push_back({ir::GatherNdAttributes{1}, {{{2, 4, 5}, dtype}, Indices({2, 3, 1}, index)}});
      cases.push_back({ir::GatherNdAttributes{0}, {{{4, 5}, dtype}, Indices({0, 1}, index)}});
    }
  }
  return cases;
}

Cases ResizeCases() {
  Cases cases;
  for (ir::ResizeMode mode : {ir::ResizeMode::kNearest, ir::ResizeMode::kBilinear,
                              ir::ResizeMode::kBicubic, ir::ResizeMode::kArea}) {
    for (const auto& [align, half] : {std::pair{false, false}, {true, false}, {false, true}}) {
      if (mode == ir::ResizeMode::kArea && half) continue;
      for (const auto& [dims, h, w] : {std::tuple<Dims, int64_t, int64_t>{{2, 5, 7, 3}, 10, 14},
                                       {{1, 6, 9, 17}, 4, 5},
                                       {{1, 1, 4, 2}, 3, 1},
                                       {{1, 8, 8, 64}, 8, 8},
                                       {{1, 3, 3, 1}, 1, 1},
                                       {{0, 3, 3, 1}, 6, 6}}) {
        cases.push_back({ir::ResizeAttributes{mode, {h, w}, align, half}, {{dims}}});
      }
      for (DType dtype :
           {DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUint8, DType::kInt8})
        cases.push_back({ir::ResizeAttributes{mode, {6, 4}, align, half}, {{{1, 3, 5, 3}, dtype}}});
    }
  }
  return cases;
}

Cases DepthToSpaceCases() {
  Cases cases;
  for (DType dtype : kMovedTypes) {
    cases.push_back({ir::DepthToSpaceAttributes{2, false}, {{{2, 3, 5, 12}, dtype}}});
    cases.push_back({ir::DepthToSpaceAttributes{3, false}, {{{1, 2, 2, 9}, dtype}}});
    cases.push_back({ir::DepthToSpaceAttributes{2, true}, {{{2, 4, 6, 3}, dtype}}});
    cases.push_back({ir::DepthToSpaceAttributes{2, true}, {{{0, 4, 6, 3}, dtype}}});
  }
  return cases;
}

Cases DimsCases() {
  return {{ir::DimsAttributes{{1, 224, -1}, DType::kInt32, 1}, {}},
          {ir::DimsAttributes{{int64_t{1} << 40}, DType::kInt64, 0}, {}},
          {ir::DimsAttributes{{}, DType::kInt32, 1}, {}}};
}

Cases TopKCases() {
  Cases cases;
  for (const auto& [dims, k] :
       {std::pair<Dims, int64_t>{{3, 37}, 5}, {{11}, 11}, {{2, 3, 4}, 1}, {{4, 5}, 0}, {{0, 5}, 2}})
    cases.push_back({ir::TopKAttributes{k}, {{dims, DType::kFloat32, Fill::kTies}}});
  for (DType dtype : {DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUint8, DType::kInt8})
    cases.push_back({ir::TopKAttributes{3}, {{{2, 9}, dtype}}});
  return cases;
}

Cases WhereCases() {
  Cases cases;
  const ir::WhereAttributes a{Dim::Symbol(0)};
  for (DType dtype : {DType::kBool, DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64,
                      DType::kUint8, DType::kInt8})
    cases.push_back({a, {{{5, 13}, dtype, Fill::kTies}}, 65});
  for (const Dims& dims : {Dims{17}, {1}, {2, 3, 4, 5}, {3, 1, 7}, {0}, {4, 0}, {3, 25000}})
    cases.push_back({a, {{dims, DType::kBool}}, CountElements(dims)});
  cases.push_back({a, {{{15}, DType::kFloat32, Fill::kSpecial}}, 15});
  return cases;
}

Cases ReadIntegerCases() {
  Cases cases;
  for (DType dtype : {DType::kInt32, DType::kInt64}) {
    cases.push_back({ir::ReadIntegerAttributes{Dim::Symbol(0), 0}, {{{}, dtype}}});
    cases.push_back({ir::ReadIntegerAttributes{Dim::Symbol(0), 4}, {{{5}, dtype}}});
    cases.push_back(
        {ir::ReadIntegerAttributes{Dim::Symbol(0), 3}, {{{2, 3}, dtype, Fill::kSpecial}}});
  }
  return cases;
}

Cases NonMaxSuppressionCases() {
  Cases cases;
  struct Thresholds {
    double iou = 0.5, score = 0, sigma = 0;
  };
  auto add = [&](int64_t boxes, int64_t most, Thresholds t, Fill fill, bool overlaps = false,
                 DType dtype = DType::kFloat32) {
    const Dims dims = {boxes, overlaps ? boxes : 4};
    cases.push_back({ir::NonMaxSuppressionAttributes{Dim::Symbol(0), overlaps},
                     {{dims, dtype, fill},
                      {{boxes}, dtype, fill},
                      {.dims = {3}, .values = {t.iou, t.score, t.sigma}}},
                     most});
  };
  for (const Fill fill : {Fill::kNormal, Fill::kTies}) {
    for (const double iou : {0.0, 0.3, 1.0}) {
      add(60, 60, {iou, -10}, fill);
      add(60, 7, {iou, 0.2}, fill);
      add(20, 20, {iou}, fill, true);
    }
    add(60, 40, {.sigma = 0.5}, fill);
    add(60, 60, {1, -3, 2}, fill);
  }
  add(15, 15, {.score = -1}, Fill::kSpecial);
  add(15, 15, {.score = -1, .sigma = 1}, Fill::kSpecial);
  add(15, 15, {.score = -1}, Fill::kSpecial, true);
  add(0, 0, {}, Fill::kNormal);
  add(9, 0, {}, Fill::kNormal);
  for (const double sigma : {0.0, 0.5})
    add(40, 30, {0.5, 0.1, sigma}, Fill::kNormal, false, DType::kFloat16);
  return cases;
}

Cases CombinedNonMaxSuppressionCases() {
  Cases cases;
  struct Sizes {
    int64_t batch, boxes, groups, classes, per_class, size;
  };
  for (const auto& [batch, boxes, groups, classes, per_class, size] : {Sizes{2, 30, 1, 3, 5, 10},
                                                                       {1, 30, 4, 4, 100, 50},
                                                                       {3, 8, 1, 1, 3, 9},
                                                                       {2, 0, 1, 3, 5, 4},
                                                                       {0, 5, 1, 2, 3, 4}}) {
    for (const Fill fill : {Fill::kNormal, Fill::kTies, Fill::kSpecial}) {
      for (const bool clip : {false, true}) {
        const std::vector<double> thresholds = {clip ? 0.5 : 0.1, clip ? 0.1 : -2};
        cases.push_back({ir::CombinedNonMaxSuppressionAttributes{per_class, size, clip},
                         {{{batch, boxes, groups, 4}, DType::kFloat32, fill},
                          {{batch, boxes, classes}, DType::kFloat32, fill},
                          {.dims = {2}, .values = thresholds}}});
      }
    }
  }
  return cases;
}

Cases UniqueCases() {
  Cases cases;
  for (DType index : {DType::kInt32, DType::kInt64}) {
    const ir::UniqueAttributes a{Dim::Symbol(0), index};
    for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64,
                        DType::kUint8, DType::kInt8, DType::kBool})
      cases.push_back({a, {{{50}, dtype, Fill::kTies}}, 50});
    for (int64_t n : {0, 1, 1000}) cases.push_back({a, {{{n}, DType::kInt32}}, n});
    cases.push_back({a, {{{45}, DType::kFloat32, Fill::kSpecial}}, 45});
    for (const Dims& dims : {Dims{80, 2}, {70, 1, 2}, {40, 1}, {5, 0}, {0, 3}})
      cases.push_back({a, {{dims, DType::kFloat32, Fill::kTies}}, dims[0]});
    cases.push_back({a, {{{45, 2}, DType::kFloat64, Fill::kSpecial}}, 45});
    cases.push_back({a, {{{60, 2}, DType::kBool}}, 60});
  }
  return cases;
}

Cases CumulativeCases() {
  Cases cases;
  for (ir::CumulativeKind kind : {ir::CumulativeKind::kSum, ir::CumulativeKind::kProd}) {
    for (const auto& [exclusive, reverse] :
         {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
      for (int64_t axis : {0, 1, 2})
        cases.push_back({ir::CumulativeAttributes{kind, axis, exclusive, reverse}, {{{3, 7, 19}}}});
      const ir::CumulativeAttributes last{kind, 1, exclusive, reverse};
      cases.push_back({last, {{{4, 0}}}});
      for (DType dtype : {DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUint8})
        cases.push_back({last, {{{5, 9}, dtype}}});
    }
  }
  return cases;
}

Cases ScatterNdCases() {
  Cases cases;
  for (ir::ScatterKind kind :
       {ir::ScatterKind::kUpdate, ir::ScatterKind::kAdd, ir::ScatterKind::kSub,
        ir::ScatterKind::kMin, ir::ScatterKind::kMax}) {
    const ir::ScatterNdAttributes a{kind};
    for (DType dtype : kMovedTypes) {
      for (DType index : {DType::kInt32, DType::kInt64}) {
        cases.push_back({a, {{{4, 5, 33}, dtype}, Indices({6, 2}, index), {{6, 33}, dtype}}});
        cases.push_back({a, {{{5, 4}, dtype}, Indices({2, 3, 1}, index), {{2, 3, 4}, dtype}}});
        cases.push_back({a, {{{4, 4}, dtype}, Indices({9, 2}, index), {{9}, dtype}}});
        cases.push_back({a, {{{4}, dtype}, Indices({3, 0}, index), {{3, 4}, dtype}}});
        cases.push_back({a, {{{4, 3}, dtype}, Indices({0, 1}, index), {{0, 3}, dtype}}});
      }
    }
  }
  return cases;
}

Cases CropAndResizeCases() {
  Cases cases;
  const Operand images = Indices({6}, DType::kInt32);
  for (ir::ResizeMode mode : {ir::ResizeMode::kNearest, ir::ResizeMode::kBilinear}) {
    for (const auto& [h, w] : {std::pair<int64_t, int64_t>{5, 3}, {1, 7}, {14, 1}}) {
      const ir::CropAndResizeAttributes a{mode, {h, w}, 0.5};
      for (const Dims& dims : {Dims{4, 9, 11, 17}, {4, 1, 6, 3}})
        cases.push_back({a, {{dims}, {{6, 4}}, images}});
      cases.push_back({a, {{{4, 5, 6, 3}, DType::kUint8}, {{6, 4}}, images}});
    }
    const ir::CropAndResizeAttributes a{mode, {4, 4}, 0};
    cases.push_back({a, {{{2, 5, 5, 3}}, {{0, 4}}, Indices({0}, DType::kInt32)}});
    cases.push_back({a, {{{4, 6, 6, 9}}, {{6, 4}, DType::kFloat32, Fill::kPositive}, images}});
  }
  return cases;
}

Cases LrnCases() {
  Cases cases;
  for (const Dims& dims : {Dims{2, 5, 7, 33}, {1, 3, 3, 4}, {7, 1}, {0, 5}, {3, 0}}) {
    cases.push_back({ir::LrnAttributes{}, {{dims}}});
    cases.push_back({ir::LrnAttributes{2, 2, 1e-4, 0.75}, {{dims}}});
    cases.push_back({ir::LrnAttributes{0, 0.5, 3, 1}, {{dims}}});
  }
  return cases;
}

Cases IotaCases() {
  return {{ir::IotaAttributes{37, DType::kInt32}, {}},
          {ir::IotaAttributes{300, DType::kInt64}, {}},
          {ir::IotaAttributes{100, DType::kUint8}, {}},
          {ir::IotaAttributes{0, DType::kInt32}, {}}};
}

Cases BitcastCases() {
  return {{ir::BitcastAttributes{DType::kInt32}, {{{3, 5}}}},
          {ir::BitcastAttributes{DType::kUint8}, {{{3, 5}}}},
          {ir::BitcastAttributes{DType::kInt32}, {{{3, 5, 4}, DType::kUint8}}},
          {ir::BitcastAttributes{DType::kInt64}, {{{2}, DType::kInt32}}},
          {ir::BitcastAttributes{DType::kInt8}, {{{0, 2}, DType::kUint8}}},
          {ir::BitcastAttributes{DType::kQuint8}, {{{7, 3}, DType::kUint8}}},
          {ir::BitcastAttributes{DType::kQint32}, {{{7}, DType::kInt32}}}};
}

Cases QuantizeCases() {
  Cases cases;
  for (DType to : {DType::kInt8, DType::kUint8, DType::kInt16, DType::kUint16}) {
    const Operand scale = {{}, DType::kFloat32, Fill::kPositive, true, {20.5}};
    cases.push_back({ir::QuantizeAttributes{.dtype = to}, {{{3, 37}}, scale, {{}, to}}});
    cases.push_back({ir::QuantizeAttributes{.dtype = to},
                     {{{15}, DType::kFloat32, Fill::kSpecial}, scale, {{}, to}}});
    cases.push_back(
        {ir::QuantizeAttributes{.dtype = to, .axis = 1},
         {{{2, 5, 3}, DType::kFloat16}, {{5}, DType::kFloat32, Fill::kPositive}, {{5}, to}}});
  }
  return cases;
}

Cases DequantizeCases() {
  Cases cases;
  for (DType from : {DType::kInt8, DType::kUint8, DType::kInt16, DType::kUint16, DType::kInt32}) {
    cases.push_back({ir::DequantizeAttributes{},
                     {{{3, 37}, from}, {{}, DType::kFloat32, Fill::kPositive}, {{}, from}}});
    cases.push_back({ir::DequantizeAttributes{.axis = 0},
                     {{{5, 3}, from}, {{5}, DType::kFloat32, Fill::kPositive}, {{5}, from}}});
  }
  return cases;
}

Cases FakeQuantizeCases() {
  Cases cases;
  auto add = [&](const ir::FakeQuantizeAttributes& a, DType dtype, Fill fill) {
    const Operand low = {{}, dtype, Fill::kNormal, true, {-1.5}};
    const Operand high = {{}, dtype, Fill::kNormal, true, {2}};
    cases.push_back({a, {{{3, 37}, dtype, fill}, low, high}});
  };
  using enum ir::FakeQuantizeArithmetic;
  for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16}) {
    for (bool range_given : {true, false}) {
      add({.bits = 4, .range_given = range_given}, dtype, Fill::kNormal);
      add({.is_signed = false, .rounding = ir::Rounding::kHalfUp, .range_given = range_given},
          dtype, Fill::kNormal);
    }
    add({.narrow_range = true}, dtype, Fill::kSpecial);
  }
  for (auto arithmetic : {kNudged, kNudgedDividing}) {
    for (bool narrow : {true, false}) {
      const ir::FakeQuantizeAttributes nudged = {.arithmetic = arithmetic,
                                                 .is_signed = false,
                                                 .narrow_range = narrow,
                                                 .rounding = ir::Rounding::kHalfUp};
      add(nudged, DType::kFloat32, Fill::kTies);
      add(nudged, DType::kFloat32, Fill::kSpecial);
    }
  }
  cases.push_back({ir::FakeQuantizeAttributes{.axis = 1},
                   {{{2, 3, 5}},
                    {{3}, DType::kFloat32, Fill::kNormal, false, {-1, -2, 0}},
                    {{3}, DType::kFloat32, Fill::kNormal, false, {0.5, 1, 0}}}});
  return cases;
}

// No backend runs it: one of its bodies takes its place.
Cases ChoiceCases() { return {}; }
Cases OpaqueCases() { return {}; }

float Special(int64_t i) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kValues[] = {0,    -0.0f, 1,      -1,    0.5f,   -2.5f,     88,        -88,
                               1000, -1000, 1e-30f, 3e38f, -3e38f, kInfinity, -kInfinity};
  constexpr int64_t kCount = std::size(kValues);
  // NaN follows the others, so that small tensors have results without it.
  return i < 4 * kCount || i % 16 != 0 ? kValues[i % kCount]
                                       : std::numeric_limits<float>::quiet_NaN();
}

class Filler {
 public:
  Filler(Fill fill, int operand) : fill_(fill), operand_(operand), generator_(operand + 1) {}

  template <class T>
  T Next() {
    const int64_t i = index_++;
    const double normal = normal_(generator_);
    if constexpr (std::is_same_v<T, bool>) {
      return normal > 0;
    } else if constexpr (kIsFloat<T>) {
      switch (fill_) {
        case Fill::kPositive:
          return static_cast<T>(std::abs(normal) + 0.1);
        case Fill::kUnit:
          return static_cast<T>(0.99 * std::sin(normal));
        case Fill::kAboveOne:
          return static_cast<T>(1 + std::abs(normal));
        case Fill::kTies:
          return static_cast<T>(std::round(normal * 10) / 10);
        case Fill::kSpecial:
          return static_cast<T>(operand_ == 0 ? Special(i) : Special(i / 15));
        default:
          return static_cast<T>(normal);
      }
    } else {
      const auto small = static_cast<int64_t>(std::lround(normal * 3));
      if (fill_ == Fill::kAll8) return static_cast<T>(generator_());
      if (fill_ == Fill::kAll7) return static_cast<T>(generator_() % 128);
      if (fill_ == Fill::kIndices) return static_cast<T>(std::clamp<int64_t>(small + 2, 0, 3));
      if (fill_ == Fill::kPositive) return static_cast<T>(std::abs(small) + 1);
      return static_cast<T>(std::is_unsigned_v<T> ? std::abs(small) : small);
    }
  }

 private:
  Fill fill_;
  int operand_;
  int64_t index_ = 0;
  std::mt19937 generator_;
  std::normal_distribution<double> normal_;
};

}  // namespace

Cases CasesOf(ir::OpKind op) {
  switch (op) {
#define GRAFT_OP(Id, name, flags) \
  case ir::OpKind::k##Id:         \
    return Id##Cases();
#include "ir/ops.inc"
#undef GRAFT_OP
  }
  return {};
}

Tensor MakeTensor(const Case& c, int operand) {
  const Operand& o = c.operands[operand];
  Tensor tensor = Tensor::Allocate(o.dtype, o.dims).value();
  Filler filler(o.fill, operand);
  VisitDType(kEngineTypes, o.dtype, [&]<class T>(T) {
    for (T& v : tensor.mutable_data<T>()) v = filler.Next<T>();
    for (size_t i = 0; i < o.values.size(); ++i)
      tensor.mutable_data<T>()[i] = static_cast<T>(o.values[i]);
  });
  return tensor;
}

}  // namespace graft::conformance
