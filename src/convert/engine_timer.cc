#include "convert/engine_timer.h"

#include <algorithm>
#include <chrono>

#include "runtime/symbol_binding.h"

namespace graft::convert {

Result<EngineTimer> EngineTimer::Create(std::shared_ptr<const Engine> engine,
                                        std::shared_ptr<Executor> executor,
                                        std::vector<Tensor> inputs) {
  EngineTimer timer;
  timer.engine_ = std::move(engine);
  timer.inputs_ = std::move(inputs);
  Device& device = timer.engine_->backend().device();
  const std::vector<bool> say_shapes = InputsThatSayShapes(timer.engine_->module());
  for (size_t i = 0; i < timer.inputs_.size(); ++i) {
    const Tensor& input = timer.inputs_[i];
    TensorView& view = timer.views_.emplace_back(ViewOf(input));
    if (device.host_accessible() || say_shapes[i]) continue;
    GRAFT_ASSIGN_OR_RETURN(DeviceBuffer buffer, DeviceBuffer::Of(device, input.bytes()));
    GRAFT_RETURN_IF_ERROR(CopyBytes(device, buffer.get(), MemorySpace::kDevice, input.raw(),
                                    MemorySpace::kHost, input.bytes(), nullptr));
    view.data = buffer.get();
    view.space = MemorySpace::kDevice;
    timer.input_buffers_.push_back(std::move(buffer));
  }
  if (!device.host_accessible()) GRAFT_RETURN_IF_ERROR(device.Synchronize(nullptr));
  timer.output_buffers_.resize(timer.engine_->outputs().size());
  ContextOptions options;
  options.executor = std::move(executor);
  GRAFT_ASSIGN_OR_RETURN(timer.context_, Context::Create(timer.engine_, options));
  return timer;
}

Result<OutputMemory> EngineTimer::Place(const OutputRequest& request) {
  OutputBuffer& buffer = output_buffers_[request.output];
  if (request.space == MemorySpace::kHost) {
    if (buffer.host.size() < request.bytes) buffer.host.resize(request.bytes);
    return OutputMemory{buffer.host.data(), MemorySpace::kHost};
  }
  if (buffer.device.bytes() < request.bytes) {
    GRAFT_ASSIGN_OR_RETURN(buffer.device,
                           DeviceBuffer::Of(engine_->backend().device(), request.bytes));
  }
  return OutputMemory{buffer.device.get(), MemorySpace::kDevice};
}

Status EngineTimer::RunOnce() {
  return context_->Run(views_, [this](const OutputRequest& request) { return Place(request); });
}

Status EngineTimer::WarmUp() {
  // A shape that a device meets again is recorded.
  const int runs = engine_->backend().device().host_accessible() ? 1 : 2;
  for (int run = 0; run < runs; ++run) GRAFT_RETURN_IF_ERROR(RunOnce());
  return OkStatus();
}

Status EngineTimer::Run(double microseconds) {
  using Clock = std::chrono::steady_clock;
  double spent = 0;
  do {
    const Clock::time_point start = Clock::now();
    GRAFT_RETURN_IF_ERROR(RunOnce());
    const double time = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    best_ = std::min(best_, time);
    spent += std::max(time, 0.1);
  } while (spent < microseconds);
  return OkStatus();
}

}  // namespace graft::convert
