#include "convert/time_bodies.h"

#include <algorithm>

#include "convert/engine_timer.h"
#include "tune/measure.h"

namespace graft::convert {
namespace {

// Random numbers, as far as the body's input allows.
Result<std::vector<Tensor>> MakeInputs(const ir::Module& body) {
  std::vector<Tensor> inputs;
  for (const ir::ValueId v : body.inputs) {
    const ir::Value& value = body.value(v);
    GRAFT_ASSIGN_OR_RETURN(Tensor tensor,
                           Tensor::Allocate(value.dtype, *ir::ConstantDims(value.shape)));
    const auto limit = value.low >= 0 ? static_cast<int64_t>(std::min(value.high, 100.0F)) + 1 : 0;
    SeedValues(value.dtype, {tensor.mutable_raw(), tensor.bytes()}, limit);
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

}  // namespace

Result<std::vector<double>> TimeBodies(std::vector<TunedBody> bodies, Backend& backend,
                                       const std::shared_ptr<Executor>& executor,
                                       double milliseconds) {
  std::vector<EngineTimer> timers;
  for (TunedBody& body : bodies) {
    GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> inputs, MakeInputs(body.module));
    Plan plan;
    plan.backend = backend.name();
    plan.module = std::move(body.module);
    plan.choices = std::move(body.choices);
    GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const Engine> engine,
                           Engine::Create(std::move(plan), backend, {executor.get()}));
    GRAFT_ASSIGN_OR_RETURN(EngineTimer timer,
                           EngineTimer::Create(std::move(engine), executor, std::move(inputs)));
    GRAFT_RETURN_IF_ERROR(timer.WarmUp());
    timers.push_back(std::move(timer));
  }
  // Many short turns, so that a disturbance hits all alike.
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds; ++round) {
    for (EngineTimer& timer : timers)
      GRAFT_RETURN_IF_ERROR(timer.Run(milliseconds * 1000 / kRounds));
  }
  std::vector<double> times;
  for (const EngineTimer& timer : timers) times.push_back(timer.best());
  return times;
}

}  // namespace graft::convert
