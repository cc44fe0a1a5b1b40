// Modules and plans for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "backend_api/backend.h"
#include "ir/stages.h"
#include "plan/plan.h"

namespace graft::testing {

inline ir::PointwiseAttributes AddProgram() {
  ir::PointwiseAttributes a;
  a.program.inputs = 2;
  a.program.Add(PointwiseOp::kAdd, DType::kFloat32, 0, 1);
  return a;
}
inline ir::PointwiseAttributes NegateProgram() {
  ir::PointwiseAttributes a;
  a.program.inputs = 1;
  a.program.Add(PointwiseOp::kNeg, DType::kFloat32, 0);
  return a;
}

class ModuleBuilder {
 public:
  ir::Module module;
  // The first dimension of input 0.
  ir::SymbolId Batch() {
    ir::Symbol symbol;
    symbol.name = "x.0";
    return module.AddSymbol(std::move(symbol));
  }
  ir::ValueId Node(ir::Attributes attributes, std::vector<ir::ValueId> inputs, std::string name) {
    const Result<ir::NodeId> id =
        module.AddNode(std::move(attributes), std::move(inputs), std::move(name));
    EXPECT_TRUE(id.ok()) << id.status().ToString();
    return module.node(*id).outputs[0];
  }
  // Its positions, at most as many as x has elements.
  ir::ValueId Where(ir::ValueId x, const std::string& name) {
    ir::Symbol symbol;
    symbol.kind = ir::Symbol::Kind::kResultDim;
    symbol.name = name + ".0";
    symbol.upper_bound = ir::Product(module.value(x).shape);
    const ir::SymbolId id = module.AddSymbol(std::move(symbol));
    return Node(ir::WhereAttributes{ir::Dim::Symbol(id)}, {x}, name);
  }
  void Output(ir::ValueId id, std::string name) {
    module.outputs.push_back(id);
    module.output_names.push_back(std::move(name));
  }
};

// Every node by the first tactic of the backend that accepts it.
inline Plan PlanFor(ir::Module module, const Backend& backend) {
  Plan plan;
  plan.backend = backend.name();
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    StepChoice choice;
    for (const Candidate& c : backend.Candidates(module, module.node(id))) {
      if (!c.refusal)
        choice.tactics.push_back({std::string(c.tactic->name()), c.tactic->version()});
    }
    plan.choices.steps.push_back(std::move(choice));
  }
  plan.module = std::move(module);
  return plan;
}

// An element-wise op of one operand.
inline ir::PointwiseAttributes UnaryProgram(PointwiseOp op, DType dtype = DType::kFloat32) {
  ir::PointwiseAttributes a;
  a.program.inputs = 1;
  a.program.Add(op, dtype, 0);
  return a;
}

inline Tensor RandomTensor(Dims dims, std::minstd_rand& random) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, std::move(dims));
  for (float& x : tensor.mutable_data<float>())
    x = static_cast<float>(static_cast<int>(random() % 201) - 100) / 32;
  return tensor;
}

// Operands that are written into concatenations and slices that are views, as the passes would.
inline void ShareBytes(ir::Module& m) {
  const Result<ir::Stages> stages = ir::FindStages(m);
  ASSERT_TRUE(stages.ok()) << stages.status().ToString();
  // Only a first operand may have rows that are not dense.
  const ir::Uses uses(m);
  const auto may_be_view = [&](ir::ValueId v, ir::ValueId base) {
    if (m.value(v).view || m.value(v).producer < 0) return false;
    if (stages->Of(m.value(base)) > stages->Of(m.value(v))) return false;
    for (const ir::NodeId reader : uses.of(v)) {
      const std::vector<ir::ValueId>& inputs = m.node(reader).inputs;
      if (m.node(reader).kind() == ir::OpKind::kConcat && m.node(reader).outputs[0] != base)
        return false;
      if (m.node(reader).kind() != ir::OpKind::kConcat &&
          std::count(inputs.begin() + 1, inputs.end(), v) > 0)
        return false;
    }
    return true;
  };
  for (ir::NodeId id = 0; id < m.node_count(); ++id) {
    const ir::Node& node = m.node(id);
    if (node.kind() == ir::OpKind::kConcat && node.inputs[0] != node.inputs[1] &&
        may_be_view(node.inputs[0], node.outputs[0]) &&
        may_be_view(node.inputs[1], node.outputs[0])) {
      const int64_t axis = std::get<ir::ConcatAttributes>(node.attributes).axis;
      m.value(node.inputs[0]).view = {node.outputs[0], axis, 0};
      m.value(node.inputs[1]).view = {node.outputs[0], axis, m.value(node.inputs[0]).shape[axis]};
    }
    if (const auto* slice = node.get<ir::SliceAttributes>();
        slice && may_be_view(node.outputs[0], node.inputs[0]))
      m.value(node.outputs[0]).view = {node.inputs[0], 1, slice->begin[1]};
  }
}

// Nodes of all kinds that share bytes: element-wise chains, concatenations that are views of
// their operands, slices that are views, reshapes; with a dynamic batch and several outputs.
inline ir::Module RandomModule(unsigned seed) {
  std::minstd_rand random(seed * 7919 + 1);
  ModuleBuilder b;
  ir::Module& m = b.module;
  const ir::Dim n = ir::Dim::Symbol(b.Batch());
  std::vector<ir::ValueId> values = {m.AddInput("x:0", DType::kFloat32, {n, 4})};
  const auto columns = [&](ir::ValueId v) { return *m.value(v).shape[1].constant(); };
  const auto pick = [&] { return values[random() % values.size()]; };
  const int nodes = 4 + static_cast<int>(random() % 12);
  for (int i = 0; i < nodes; ++i) {
    const std::string name = fmt::format("n{}", i);
    const ir::ValueId x = pick();
    const int64_t c = columns(x);
    switch (random() % 7) {
      case 0:
        values.push_back(b.Node(NegateProgram(), {x}, name));
        break;
      case 1:
        values.push_back(b.Node(
            AddProgram(), {x, m.AddConstant(name + "/bias", RandomTensor({c}, random))}, name));
        break;
      case 2: {
        const ir::ValueId y = pick();
        if (columns(y) == c) values.push_back(b.Node(AddProgram(), {x, y}, name));
        break;
      }
      case 3: {
        const int64_t out = 1 + static_cast<int64_t>(random() % 6);
        values.push_back(b.Node(ir::MatMulAttributes(),
                                {x, m.AddConstant(name + "/w", RandomTensor({c, out}, random))},
                                name));
        break;
      }
      case 4:
        values.push_back(b.Node(ir::ConcatAttributes{1}, {x, pick()}, name));
        break;
      case 5: {
        const int64_t begin = static_cast<int64_t>(random() % c);
        values.push_back(
            b.Node(ir::SliceAttributes{{0, begin}, {n, c - begin}, {1, 1}}, {x}, name));
        break;
      }
      default: {
        const ir::ValueId flat = b.Node(ir::ReshapeAttributes{{n * c}}, {x}, name + "/flat");
        values.push_back(b.Node(ir::ReshapeAttributes{{n, c}}, {flat}, name));
      }
    }
  }
  for (int i = 0; i < 3; ++i) b.Output(pick(), fmt::format("out{}", i));
  b.Output(values.back(), "last");
  EXPECT_TRUE(m.Compact().ok());

  ShareBytes(m);
  return m;
}

// The same with nodes whose data decides how many rows their results have, in several stages.
inline ir::Module StagedModule(unsigned seed) {
  std::minstd_rand random(seed * 7919 + 5);
  ModuleBuilder b;
  ir::Module& m = b.module;
  const ir::Dim n = ir::Dim::Symbol(b.Batch());
  std::vector<ir::ValueId> values = {m.AddInput("x:0", DType::kFloat32, {n, 4})};
  const auto rows = [&](ir::ValueId v) { return m.value(v).shape[0]; };
  const auto columns = [&](ir::ValueId v) { return *m.value(v).shape[1].constant(); };
  const auto pick = [&] { return values[random() % values.size()]; };
  const int nodes = 5 + static_cast<int>(random() % 14);
  for (int i = 0; i < nodes; ++i) {
    const std::string name = fmt::format("n{}", i);
    const ir::ValueId x = pick();
    const ir::ValueId y = pick();
    const int64_t c = columns(x);
    switch (random() % 9) {
      case 0:
        values.push_back(b.Node(NegateProgram(), {x}, name));
        break;
      case 1:
        if (rows(x) == rows(y) && columns(x) == columns(y))
          values.push_back(b.Node(AddProgram(), {x, y}, name));
        break;
      case 2:
        if (rows(x) == rows(y)) values.push_back(b.Node(ir::ConcatAttributes{1}, {x, y}, name));
        break;
      case 3:
        if (columns(x) == columns(y))
          values.push_back(b.Node(ir::ConcatAttributes{0}, {x, y}, name));
        break;
      case 4: {
        const int64_t begin = static_cast<int64_t>(random() % c);
        values.push_back(
            b.Node(ir::SliceAttributes{{0, begin}, {rows(x), c - begin}, {1, 1}}, {x}, name));
        break;
      }
      case 5: {
        const ir::ValueId flat = b.Node(ir::ReshapeAttributes{{rows(x) * c}}, {x}, name + "/flat");
        values.push_back(b.Node(ir::ReshapeAttributes{{rows(x) * c, 1}}, {flat}, name));
        break;
      }
      default: {
        const ir::ValueId positive =
            b.Node(UnaryProgram(PointwiseOp::kRelu), {x}, name + "/positive");
        const ir::ValueId at = b.Where(positive, name + "/where");
        const ir::ValueId chosen = b.Node(ir::GatherNdAttributes(), {x, at}, name + "/chosen");
        const ir::Dim count = m.value(chosen).shape[0];
        values.push_back(b.Node(ir::ReshapeAttributes{{count, 1}}, {chosen}, name));
        if (random() % 2) b.Output(at, name + "/where");
        if (random() % 2)
          b.Output(b.Node(ir::DimsAttributes{{count, n}, DType::kInt64, 1}, {}, name + "/count"),
                   name + "/count");
      }
    }
  }
  for (int i = 0; i < 2; ++i) b.Output(pick(), fmt::format("out{}", i));
  b.Output(values.back(), "last");
  EXPECT_TRUE(m.Compact().ok());
  ShareBytes(m);
  return m;
}

}  // namespace graft::testing
