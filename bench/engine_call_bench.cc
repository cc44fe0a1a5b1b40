// What a call of an engine costs beside its arithmetic: additions of 16 floats on the CPU, one or a
// chain of them, from C++. `threads` are those of the context's executor; `ns_per_step` is what
// each step of a chain costs beyond a call with one.
//
//   engine_call_bench
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "runtime/backend_table.h"
#include "runtime/context.h"

namespace graft {
namespace {

// x + x, and its sum with x again and again, by the first tactic of the CPU backend that takes it.
Result<std::shared_ptr<const Engine>> MakeEngine(int64_t steps) {
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend("cpu"));
  Plan plan;
  plan.backend = backend->name();
  ir::Module& module = plan.module;
  module.AddSymbol({.kind = ir::Symbol::Kind::kInputDim, .input = 0, .axis = 0, .name = "x.0"});
  const ir::ValueId x = module.AddInput("x:0", DType::kFloat32, {ir::Dim::Symbol(0), 16});
  ir::PointwiseAttributes add;
  add.program.inputs = 2;
  add.program.Add(PointwiseOp::kAdd, DType::kFloat32, 0, 1);
  ir::ValueId sum = x;
  for (int64_t s = 0; s < steps; ++s) {
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId node,
                           module.AddNode(add, {sum, x}, fmt::format("add {}", s)));
    sum = module.node(node).outputs[0];
    StepChoice& choice = plan.choices.steps.emplace_back();
    for (const Candidate& c : backend->Candidates(module, module.node(node))) {
      if (!c.refusal)
        choice.tactics.push_back({std::string(c.tactic->name()), c.tactic->version()});
    }
  }
  module.outputs = {sum};
  module.output_names = {"y:0"};
  return Engine::Create(std::move(plan), *backend);
}

// A context of such an engine with its input and output.
class Chain {
 public:
  static Result<std::unique_ptr<Chain>> Create(int64_t steps, int threads) {
    auto chain = std::make_unique<Chain>();
    GRAFT_ASSIGN_OR_RETURN(const std::shared_ptr<const Engine> engine, MakeEngine(steps));
    GRAFT_ASSIGN_OR_RETURN(chain->context_,
                           Context::Create(engine, {.executor = MakeTbbExecutor(threads)}));
    GRAFT_RETURN_IF_ERROR(chain->Run());
    if (chain->y_[2] != static_cast<float>(3 * (steps + 1))) return InternalError("a wrong result");
    return chain;
  }
  Status Run() {
    const int64_t dims[] = {1, 16};
    const TensorView inputs[] = {{DType::kFloat32, dims, x_.data()}};
    void* const outputs[] = {y_.data()};
    return context_->Run(inputs, std::span<void* const>(outputs));
  }

 private:
  std::unique_ptr<Context> context_;
  alignas(64) std::array<float, 16> x_ = {1, 2, 3};
  alignas(64) std::array<float, 16> y_ = {};
};

double Nanoseconds(Chain& chain, int runs) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < runs; ++i) static_cast<void>(chain.Run());
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count() / runs;
}

void Call(benchmark::State& state) {
  const int64_t steps = state.range(0);
  const int threads = static_cast<int>(state.range(1));
  const auto chain = Chain::Create(steps, threads);
  const auto single = Chain::Create(1, threads);
  for (const Status& status : {chain.status(), single.status()}) {
    if (!status.ok()) return state.SkipWithError(status.message().c_str());
  }
  for (auto _ : state) {
    const Status status = (*chain)->Run();
    if (!status.ok()) return state.SkipWithError(status.message().c_str());
    benchmark::ClobberMemory();
  }
  if (steps == 1) return;
  // The least of many, in turns: the machine's other work adds, and never takes away.
  double many = 1e30, one = 1e30;
  for (int turn = 0; turn < 50; ++turn) {
    many = std::min(many, Nanoseconds(**chain, 100));
    one = std::min(one, Nanoseconds(**single, 100));
  }
  state.counters["ns_per_step"] = (many - one) / static_cast<double>(steps - 1);
}
BENCHMARK(Call)
    ->ArgNames({"steps", "threads"})
    ->Args({1, 1})
    ->Args({1, 2})
    ->Args({65, 1})
    ->Args({65, 2});

}  // namespace
}  // namespace graft

BENCHMARK_MAIN();
