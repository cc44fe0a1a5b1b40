#include "convert/engine_timer.h"

#include <algorithm>
#include <chrono>

namespace graft::convert {

class EngineTimer::Buffer {
 public:
  static Result<BufferPointer> Of(Device& device, MemorySpace space, size_t bytes) {
    BufferPointer buffer(new Buffer(device, space, bytes));
    if (space == MemorySpace::kHost) {
      buffer->host_.resize(bytes);
      buffer->memory_ = buffer->host_.data();
    } else {
      GRAFT_ASSIGN_OR_RETURN(buffer->memory_, device.Allocate(bytes));
    }
    return buffer;
  }
  ~Buffer() {
    if (space_ == MemorySpace::kDevice && memory_ != nullptr) device_.Free(memory_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  OutputMemory memory() const { return {memory_, space_}; }
  bool Fits(const OutputRequest& request) const {
    return space_ == request.space && bytes_ >= request.bytes;
  }

 private:
  Buffer(Device& device, MemorySpace space, size_t bytes)
      : device_(device), space_(space), bytes_(bytes) {}

  Device& device_;
  const MemorySpace space_;
  const size_t bytes_;
  std::vector<std::byte> host_;
  void* memory_ = nullptr;
};

void EngineTimer::Free::operator()(Buffer* buffer) const { delete buffer; }

Result<EngineTimer> EngineTimer::Create(std::shared_ptr<const Engine> engine,
                                        std::shared_ptr<Executor> executor,
                                        std::vector<Tensor> inputs) {
  EngineTimer timer;
  timer.engine_ = std::move(engine);
  timer.inputs_ = std::move(inputs);
  Device& device = timer.engine_->backend().device();
  const auto is_shape = [&](int32_t input) {
    return std::ranges::any_of(timer.engine_->module().symbols, [&](const ir::Symbol& symbol) {
      return symbol.kind == ir::Symbol::Kind::kHostValue && symbol.input == input;
    });
  };
  for (const Tensor& input : timer.inputs_) {
    TensorView& view = timer.views_.emplace_back(ViewOf(input));
    if (device.host_accessible() || is_shape(static_cast<int32_t>(timer.views_.size()) - 1))
      continue;
    GRAFT_ASSIGN_OR_RETURN(BufferPointer buffer,
                           Buffer::Of(device, MemorySpace::kDevice, input.bytes()));
    view.data = buffer->memory().data;
    view.space = MemorySpace::kDevice;
    timer.input_buffers_.push_back(std::move(buffer));
    GRAFT_RETURN_IF_ERROR(CopyBytes(device, timer.input_buffers_.back()->memory().data,
                                    MemorySpace::kDevice, input.raw(), MemorySpace::kHost,
                                    input.bytes(), nullptr));
  }
  if (!device.host_accessible()) GRAFT_RETURN_IF_ERROR(device.Synchronize(nullptr));
  timer.output_buffers_.resize(timer.engine_->outputs().size());
  ContextOptions options;
  options.executor = std::move(executor);
  GRAFT_ASSIGN_OR_RETURN(timer.context_, Context::Create(timer.engine_, options));
  return timer;
}

Result<OutputMemory> EngineTimer::Place(const OutputRequest& request) {
  BufferPointer& buffer = output_buffers_[request.output];
  if (buffer == nullptr || !buffer->Fits(request)) {
    GRAFT_ASSIGN_OR_RETURN(buffer,
                           Buffer::Of(engine_->backend().device(), request.space, request.bytes));
  }
  return buffer->memory();
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
