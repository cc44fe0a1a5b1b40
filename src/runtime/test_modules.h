// Modules and plans for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "backend_api/backend.h"
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
    const Result<ir::NodeId> id = module.AddNode(std::move(attributes), std::move(inputs), name);
    EXPECT_TRUE(id.ok()) << id.status().ToString();
    return module.node(*id).outputs[0];
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

inline Tensor RandomTensor(Dims dims, std::minstd_rand& random) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, std::move(dims));
  for (float& x : tensor.mutable_data<float>())
    x = static_cast<float>(static_cast<int>(random() % 201) - 100) / 32;
  return tensor;
}

// Nodes of all kinds that share bytes: element-wise chains, concatenations written in place, slices
// that are views, reshapes; with a dynamic batch and several outputs.
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

  // Only a first operand may have rows that are not dense.
  const ir::Uses uses(m);
  const auto may_be_view = [&](ir::ValueId v, ir::ValueId base) {
    if (m.value(v).view || m.value(v).producer < 0) return false;
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
      m.value(node.inputs[0]).view = {node.outputs[0], 1, 0};
      m.value(node.inputs[1]).view = {node.outputs[0], 1, m.value(node.inputs[0]).shape[1]};
    }
    if (const auto* slice = node.get<ir::SliceAttributes>();
        slice && may_be_view(node.outputs[0], node.inputs[0]))
      m.value(node.outputs[0]).view = {node.inputs[0], 1, slice->begin[1]};
  }
  return m;
}

}  // namespace graft::testing
