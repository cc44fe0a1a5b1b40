#include "convert/time_bodies.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "runtime/context.h"
#include "tune/measure.h"

namespace graft::convert {
namespace {

// A body as an engine with memory for its inputs and outputs.
class Runner {
 public:
  static Result<Runner> Create(TunedBody body, Backend& backend,
                               std::shared_ptr<Executor> executor) {
    Runner runner;
    for (const ir::ValueId v : body.module.inputs) {
      const ir::Value& value = body.module.value(v);
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor,
                             Tensor::Allocate(value.dtype, *ir::ConstantDims(value.shape)));
      const auto limit =
          value.low >= 0 ? static_cast<int64_t>(std::min(value.high, 100.0F)) + 1 : 0;
      SeedValues(value.dtype, {tensor.mutable_raw(), tensor.bytes()}, limit);
      runner.inputs_.push_back(std::move(tensor));
    }
    for (const ir::ValueId v : body.module.outputs) {
      const ir::Value& value = body.module.value(v);
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor,
                             Tensor::Allocate(value.dtype, *ir::ConstantDims(value.shape)));
      runner.output_pointers_.push_back(tensor.mutable_raw());
      runner.outputs_.push_back(std::move(tensor));
    }
    Plan plan;
    plan.backend = backend.name();
    plan.module = std::move(body.module);
    plan.choices = std::move(body.choices);
    GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const Engine> engine,
                           Engine::Create(std::move(plan), backend, {executor.get()}));
    ContextOptions options;
    options.executor = std::move(executor);
    GRAFT_ASSIGN_OR_RETURN(runner.context_, Context::Create(std::move(engine), options));
    for (const Tensor& tensor : runner.inputs_) runner.views_.push_back(ViewOf(tensor));
    return runner;
  }

  // Runs for about `budget` microseconds and keeps the least time of one run.
  Status Run(double budget) {
    using Clock = std::chrono::steady_clock;
    double spent = 0;
    do {
      const Clock::time_point start = Clock::now();
      GRAFT_RETURN_IF_ERROR(context_->Run(views_, std::span<void* const>(output_pointers_)));
      const double time = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
      best_ = std::min(best_, time);
      spent += std::max(time, 0.1);
    } while (spent < budget);
    return OkStatus();
  }
  // Binds the shape, which is no part of a run.
  Status WarmUp() { return context_->Run(views_, std::span<void* const>(output_pointers_)); }
  double best() const { return best_; }

 private:
  std::vector<Tensor> inputs_, outputs_;
  std::vector<TensorView> views_;
  std::vector<void*> output_pointers_;
  std::unique_ptr<Context> context_;
  double best_ = std::numeric_limits<double>::infinity();
};

}  // namespace

Result<std::vector<double>> TimeBodies(std::vector<TunedBody> bodies, Backend& backend,
                                       const std::shared_ptr<Executor>& executor,
                                       double milliseconds) {
  std::vector<Runner> runners;
  for (TunedBody& body : bodies) {
    GRAFT_ASSIGN_OR_RETURN(Runner runner, Runner::Create(std::move(body), backend, executor));
    GRAFT_RETURN_IF_ERROR(runner.WarmUp());
    runners.push_back(std::move(runner));
  }
  // Many short turns, so that a disturbance hits all alike.
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds; ++round) {
    for (Runner& runner : runners) GRAFT_RETURN_IF_ERROR(runner.Run(milliseconds * 1000 / kRounds));
  }
  std::vector<double> times;
  for (const Runner& runner : runners) times.push_back(runner.best());
  return times;
}

}  // namespace graft::convert
