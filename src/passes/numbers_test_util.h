// Runs modules on the reference kernels with random inputs, to see that passes keep the numbers.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "backend_api/tolerance.h"
#include "backend_api/widened.h"
#include "backends/reference/evaluator.h"
#include "base/dtype_visit.h"
#include "passes/pass.h"

namespace graft::passes {

inline PassContext ContextForTests() {
  auto yes = [](const ir::Module&, const ir::Node&) { return true; };
  // A backend that does element-wise work in 16 bits, and no more.
  auto supports = [](const ir::Module& module, const ir::Node& node) {
    return !CanWiden(module, node);
  };
  return {[](const ir::Module& module, const ir::Node& node, std::span<const Tensor> inputs) {
            return reference::Evaluate(module, node, inputs);
          },
          supports,
          yes,
          yes,
          {},
          [](const ir::Node&) { return true; }};
}

// For tests of the pass alone.
inline PassContext ContextFor(const Pass& pass) {
  PassContext context = ContextForTests();
  if (pass.exactness == Exactness::kHalves) {
    context.store_halves = true;
    context.supports = nullptr;
  }
  return context;
}

// The module with its choices decided, in as many ways as one of them has bodies: all for the first
// body, all for the second, ….
inline std::vector<ir::Module> Decided(const ir::Module& module) {
  size_t ways = 1;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (const auto* choice = module.node(id).get<ir::ChoiceAttributes>())
      ways = std::max(ways, choice->bodies.size());
  }
  std::vector<ir::Module> decided(ways, module);
  for (size_t way = 0; way < ways; ++way) {
    PassContext context;
    context.choose = [&](const ir::Module&, const ir::Node& node) {
      const auto last = static_cast<int>(node.get<ir::ChoiceAttributes>()->bodies.size()) - 1;
      return std::min(static_cast<int>(way), last);
    };
    const Result<bool> changed = ResolveChoices(decided[way], context);
    EXPECT_TRUE(changed.ok()) << changed.status().message();
    const Status compact = decided[way].Compact();
    EXPECT_TRUE(compact.ok()) << compact.message();
  }
  return decided;
}

// Normal numbers within the input's range; every symbol is `size`.
inline Tensor RandomInput(const ir::Module& module, const ir::Value& input, int64_t size,
                          std::mt19937& random) {
  const std::vector<int64_t> symbols(module.symbols.size(), size);
  Dims dims;
  for (const ir::Dim& d : input.shape) dims.push_back(*d.Evaluate(symbols));
  Tensor tensor = *Tensor::Allocate(input.dtype, dims);
  std::normal_distribution<float> normal;
  VisitDType(kFloatTypes + TypeSet<int8_t, int32_t>{}, input.dtype, [&]<class T>(T) {
    for (T& v : tensor.mutable_data<T>()) {
      if constexpr (kIsFloat<T>) {
        v = static_cast<T>(std::clamp(normal(random), input.low, input.high));
      } else {
        v = static_cast<T>(random() % 100);
      }
    }
  });
  return tensor;
}

inline std::vector<Tensor> RandomInputs(const ir::Module& module, int64_t size,
                                        std::mt19937& random) {
  std::vector<Tensor> inputs;
  for (ir::ValueId id : module.inputs) {
    inputs.push_back(RandomInput(module, module.value(id), size, random));
  }
  return inputs;
}

// kExact: the same bits. kRounded: what a few roundings at other places may change; kHalves: a few
// roundings to halves; kQuantized: a few steps of 8 bits.
inline void ExpectSameNumbers(const std::vector<Tensor>& before, const std::vector<Tensor>& after,
                              Exactness exactness, const std::string& title) {
  Tolerance tolerance;
  if (exactness == Exactness::kRounded) tolerance = {1e-5, 1e-6};
  if (exactness == Exactness::kHalves) tolerance = {4e-3, 2e-3};
  if (exactness == Exactness::kQuantized) tolerance = {0, 0.05};
  ASSERT_EQ(before.size(), after.size()) << title;
  for (size_t i = 0; i < before.size(); ++i) {
    BoundValue type;
    type.dtype = before[i].dtype();
    type.dims = before[i].dims();
    type.row_stride = type.dims.empty() ? 1 : type.dims.back();
    ASSERT_EQ(after[i].dtype(), type.dtype) << title;
    ASSERT_EQ(after[i].dims(), type.dims) << title;
    EXPECT_EQ(Difference(type, tolerance, before[i].raw(), after[i].raw()), "")
        << title << ", output " << i;
  }
}

}  // namespace graft::passes
