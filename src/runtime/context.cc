#include "runtime/context.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "runtime/denormals.h"
#include "runtime/symbol_binding.h"

namespace graft {
namespace {

class DeviceAllocator final : public ArenaAllocator {
 public:
  explicit DeviceAllocator(Device& device) : device_(device) {}
  Result<void*> Allocate(size_t bytes) override { return device_.Allocate(bytes); }
  void Free(void* memory) override { device_.Free(memory); }

 private:
  Device& device_;
};

bool IsOutside(const Location& location) {
  return location.base == Location::Base::kInput || location.base == Location::Base::kOutput;
}

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Context::Context(std::shared_ptr<const Engine> engine, ContextOptions options)
    : engine_(std::move(engine)), options_(std::move(options)) {
  if (!options_.executor) options_.executor = std::make_shared<InlineExecutor>();
  executor_ = std::make_unique<FlushingExecutor>(options_.executor);
  device_allocator_ = std::make_unique<DeviceAllocator>(engine_->backend().device());
  if (!options_.allocator) options_.allocator = device_allocator_.get();
  input_pointers_.resize(engine_->inputs().size());
  output_pointers_.resize(engine_->outputs().size());
  const std::vector<ir::Symbol>& symbols = engine_->module().symbols;
  for (size_t s = 0; s < symbols.size(); ++s) {
    if (symbols[s].kind == ir::Symbol::Kind::kHostValue)
      host_symbols_.push_back(static_cast<int32_t>(s));
  }
}

Result<std::unique_ptr<Context>> Context::Create(std::shared_ptr<const Engine> engine,
                                                 ContextOptions options) {
  std::unique_ptr<Context> context(new Context(std::move(engine), std::move(options)));
  GRAFT_ASSIGN_OR_RETURN(context->stream_, context->engine_->backend().device().CreateStream());
  return context;
}

Context::~Context() {
  Device& device = engine_->backend().device();
  // Work of a run that failed half-way may still be under way in the arena.
  static_cast<void>(device.Synchronize(stream_));
  FreeArena();
  if (stream_) device.DestroyStream(stream_);
}

bool Context::SameShape(std::span<const TensorView> inputs) const {
  const ir::Module& module = engine_->module();
  if (!shape_plan_ || inputs.size() != shape_plan_->input_dims.size()) return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    // Without data it may not be what it seems: Bind looks closer.
    if (inputs[i].data == nullptr || inputs[i].dtype != engine_->inputs()[i].dtype ||
        !std::equal(inputs[i].dims.begin(), inputs[i].dims.end(),
                    shape_plan_->input_dims[i].begin(), shape_plan_->input_dims[i].end())) {
      return false;
    }
  }
  for (const int32_t s : host_symbols_) {
    const ir::Symbol& symbol = module.symbols[s];
    if (ReadHostValue(inputs[symbol.input], symbol.axis) != symbols_[s]) return false;
  }
  return true;
}

Status Context::Bind(std::span<const TensorView> inputs) {
  if (SameShape(inputs)) return OkStatus();
  shape_plan_ = nullptr;
  GRAFT_RETURN_IF_ERROR(BindSymbols(engine_->module(), inputs, &symbols_));
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const ShapePlan> plan,
                         engine_->FindShapePlan(symbols_, *executor_));
  GRAFT_RETURN_IF_ERROR(Prepare(*plan));
  shape_plan_ = std::move(plan);
  if (profiling_) StartProfile();
  return OkStatus();
}

Status Context::Prepare(const ShapePlan& plan) {
  if (plan.arena_bytes > arena_bytes_) {
    FreeArena();
    GRAFT_ASSIGN_OR_RETURN(void* memory, options_.allocator->Allocate(plan.arena_bytes));
    arena_ = static_cast<std::byte*>(memory);
    arena_bytes_ = plan.arena_bytes;
  }
  pointers_.assign(plan.pointers.size(), nullptr);
  outside_pointers_.clear();
  for (size_t i = 0; i < plan.pointers.size(); ++i) {
    if (IsOutside(plan.pointers[i])) {
      outside_pointers_.push_back(static_cast<int32_t>(i));
    } else {
      pointers_[i] = Address(plan.pointers[i]);
    }
  }
  return OkStatus();
}

void Context::FreeArena() {
  if (arena_) options_.allocator->Free(arena_);
  arena_ = nullptr;
  arena_bytes_ = 0;
}

void* Context::Address(const Location& location) const {
  const void* base = nullptr;
  switch (location.base) {
    case Location::Base::kNone:
      break;
    case Location::Base::kArena:
      base = arena_;
      break;
    case Location::Base::kConstant:
      base = engine_->constant(location.index);
      break;
    case Location::Base::kInput:
      base = input_pointers_[location.index];
      break;
    case Location::Base::kOutput:
      base = output_pointers_[location.index];
      break;
  }
  // Steps only read through the addresses of inputs and constants.
  auto* address = static_cast<std::byte*>(const_cast<void*>(base));
  return address ? address + location.offset : nullptr;
}

Status Context::Run(std::span<const TensorView> inputs, OutputAllocator allocate) {
  GRAFT_RETURN_IF_ERROR(Bind(inputs));
  if (arena_bytes_ < shape_plan_->arena_bytes) GRAFT_RETURN_IF_ERROR(Prepare(*shape_plan_));
  for (size_t i = 0; i < inputs.size(); ++i) input_pointers_[i] = inputs[i].data;
  for (size_t i = 0; i < output_pointers_.size(); ++i) {
    const DType dtype = engine_->outputs()[i].dtype;
    const Dims& dims = shape_plan_->output_dims[i];
    const size_t bytes = static_cast<size_t>(CountElements(dims)) * SizeOf(dtype);
    GRAFT_ASSIGN_OR_RETURN(output_pointers_[i], allocate(static_cast<int>(i), dtype, dims, bytes));
  }
  for (const int32_t p : outside_pointers_) pointers_[p] = Address(shape_plan_->pointers[p]);

  const ScopedFlushDenormals flush;
  const Status status = Execute();
  // Whatever happened, nothing may touch the caller's memory afterwards.
  const Status synchronized = engine_->backend().device().Synchronize(stream_);
  if (options_.arena_per_run) FreeArena();
  return status.ok() ? synchronized : status;
}

Status Context::Execute() {
  Device& device = engine_->backend().device();
  for (const ShapePlan::Transfer& t : shape_plan_->uploads) {
    GRAFT_RETURN_IF_ERROR(
        device.CopyToDevice(Address(t.ours), input_pointers_[t.index], t.row_bytes, stream_));
  }
  const Queue queue = {executor_.get(), stream_};
  const std::vector<ShapePlan::Step>& steps = shape_plan_->steps;
  for (size_t i = 0; i < steps.size(); ++i) {
    const ShapePlan::Step& step = steps[i];
    void* const* pointers = pointers_.data() + step.first_pointer;
    const StepPointers operands = {{pointers, static_cast<size_t>(step.inputs)},
                                   {pointers + step.inputs, static_cast<size_t>(step.outputs)},
                                   pointers[step.inputs + step.outputs]};
    const int64_t start = profiling_ ? Now() : 0;
    if (Status status = step.step->Enqueue(operands, queue); !status.ok())
      return status.WithContext(engine_->module().node(step.node).name);
    if (profiling_) {
      GRAFT_RETURN_IF_ERROR(device.Synchronize(stream_));
      step_ns_[i] += Now() - start;
    }
  }
  profiled_runs_ += profiling_;
  for (const ShapePlan::Transfer& t : shape_plan_->downloads) {
    const auto* source = static_cast<const std::byte*>(Address(t.ours));
    auto* target = static_cast<std::byte*>(output_pointers_[t.index]);
    for (int64_t row = 0; row < t.rows; ++row) {
      GRAFT_RETURN_IF_ERROR(device.CopyToHost(target + row * t.row_bytes,
                                              source + row * t.row_stride, t.row_bytes, stream_));
    }
  }
  return OkStatus();
}

Status Context::Run(std::span<const TensorView> inputs, std::span<void* const> outputs) {
  if (outputs.size() != output_pointers_.size()) {
    return InvalidArgumentError("{} outputs are given, the engine has {}", outputs.size(),
                                output_pointers_.size());
  }
  return Run(inputs, [&](int output, DType, std::span<const int64_t>, size_t) -> Result<void*> {
    return outputs[output];
  });
}

Result<std::vector<Tensor>> Context::Run(std::span<const Tensor> inputs) {
  std::vector<TensorView> views;
  for (const Tensor& tensor : inputs) views.push_back(ViewOf(tensor));
  std::vector<Tensor> outputs;
  const auto allocate = [&](int, DType dtype, std::span<const int64_t> dims,
                            size_t) -> Result<void*> {
    GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(dtype, Dims(dims.begin(), dims.end())));
    outputs.push_back(std::move(tensor));
    return outputs.back().mutable_raw();
  };
  GRAFT_RETURN_IF_ERROR(Run(views, allocate));
  return outputs;
}

void Context::StartProfile() {
  profiling_ = true;
  profiled_runs_ = 0;
  step_ns_.assign(shape_plan_ ? shape_plan_->steps.size() : 0, 0);
}

Result<std::vector<StepProfile>> Context::Profile() const {
  if (!shape_plan_ || !profiling_) return FailedPreconditionError("no run was profiled");
  const ir::Module& module = engine_->module();
  std::vector<StepProfile> profile;
  for (size_t i = 0; i < shape_plan_->steps.size(); ++i) {
    const ShapePlan::Step& step = shape_plan_->steps[i];
    const ir::Node& node = module.node(step.node);
    GRAFT_ASSIGN_OR_RETURN(const BoundNode bound, BindNode(module, node, shape_plan_->symbols));
    profile.push_back({step.node, node.name, std::string(ir::Name(node.kind())),
                       std::string(shape_plan_->choices[step.choice].tactic->name()),
                       ProblemString(bound), profiled_runs_,
                       static_cast<double>(step_ns_[i]) * 1e-6});
  }
  return profile;
}

}  // namespace graft
