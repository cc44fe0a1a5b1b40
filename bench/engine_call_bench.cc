// What a call of an engine costs beside its arithmetic: one addition of 16 floats on the CPU, from
// C++. `threads` are those of the context's executor.
//
//   engine_call_bench
#include <benchmark/benchmark.h>

#include <array>

#include "runtime/backend_table.h"
#include "runtime/context.h"

namespace graft {
namespace {

// y = x + x, by the first tactic of the CPU backend that takes it.
Result<std::shared_ptr<const Engine>> MakeEngine() {
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend("cpu"));
  Plan plan;
  plan.backend = backend->name();
  ir::Module& module = plan.module;
  module.AddSymbol({.kind = ir::Symbol::Kind::kInputDim, .input = 0, .axis = 0, .name = "x.0"});
  const ir::ValueId x = module.AddInput("x:0", DType::kFloat32, {ir::Dim::Symbol(0), 16});
  ir::PointwiseAttributes add;
  add.program.inputs = 2;
  add.program.Add(PointwiseOp::kAdd, DType::kFloat32, 0, 1);
  GRAFT_ASSIGN_OR_RETURN(const ir::NodeId node, module.AddNode(std::move(add), {x, x}, "add"));
  module.outputs = {module.node(node).outputs[0]};
  module.output_names = {"y:0"};
  StepChoice choice;
  for (const Candidate& c : backend->Candidates(module, module.node(node))) {
    if (!c.refusal) choice.tactics.push_back({std::string(c.tactic->name()), c.tactic->version()});
  }
  plan.choices.steps = {choice};
  return Engine::Create(std::move(plan), *backend);
}

void CallOneOp(benchmark::State& state) {
  const Result<std::shared_ptr<const Engine>> engine = MakeEngine();
  if (!engine.ok()) return state.SkipWithError(engine.status().message().c_str());
  const auto context =
      Context::Create(*engine, {.executor = MakeTbbExecutor(static_cast<int>(state.range(0)))});
  if (!context.ok()) return state.SkipWithError(context.status().message().c_str());
  alignas(64) std::array<float, 16> x = {1, 2, 3};
  alignas(64) std::array<float, 16> y = {};
  const int64_t dims[] = {1, 16};
  const TensorView inputs[] = {{DType::kFloat32, dims, x.data()}};
  void* const outputs[] = {y.data()};
  for (auto _ : state) {
    const Status status = (*context)->Run(inputs, std::span<void* const>(outputs));
    if (!status.ok()) return state.SkipWithError(status.message().c_str());
    benchmark::DoNotOptimize(y);
  }
  if (y[2] != 6) state.SkipWithError("a wrong result");
}
BENCHMARK(CallOneOp)->ArgName("threads")->Arg(1)->Arg(2);

}  // namespace
}  // namespace graft

BENCHMARK_MAIN();
