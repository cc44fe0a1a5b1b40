#include "runtime/context.h"

#include <algorithm>
#include <chrono>

#include "backend_api/flops.h"
#include "backend_api/thread_mode.h"
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
  return location.base == Location::Base::kInput || location.base == Location::Base::kOutput ||
         location.base == Location::Base::kKept;
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
  executor_ = std::make_unique<ThreadModeExecutor>(engine_->backend().device(), options_.executor);
  device_allocator_ = std::make_unique<DeviceAllocator>(engine_->backend().device());
  if (!options_.allocator) options_.allocator = device_allocator_.get();
  input_pointers_.resize(engine_->inputs().size());
  output_pointers_.resize(engine_->outputs().size());
  stages_.resize(engine_->stages().count);
  if (stages_.size() > 1) {
    kept_.resize(engine_->module().value_count());
    counts_.resize(engine_->module().symbols.size());
  }
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
  FreeAll();
  if (stream_) device.DestroyStream(stream_);
}

bool Context::SameShape(std::span<const TensorView> inputs) const {
  const ir::Module& module = engine_->module();
  const ShapePlan* plan = stages_[0].plan.get();
  if (!plan || inputs.size() != plan->input_dims.size()) return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    // Without data it may not be what it seems: Bind looks closer.
    if (inputs[i].data == nullptr || inputs[i].dtype != engine_->inputs()[i].dtype ||
        !std::equal(inputs[i].dims.begin(), inputs[i].dims.end(), plan->input_dims[i].begin(),
                    plan->input_dims[i].end())) {
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
  stages_[0].plan = nullptr;
  GRAFT_RETURN_IF_ERROR(BindSymbols(engine_->module(), inputs, &symbols_));
  GRAFT_RETURN_IF_ERROR(BindStage(0));
  if (profiling_) StartProfile();
  return OkStatus();
}

// The stage's shape plan for the symbols that are known now.
Status Context::BindStage(int index) {
  Stage& stage = stages_[index];
  if (stage.plan && engine_->IsPlanOf(*stage.plan, symbols_)) return OkStatus();
  stage.plan = nullptr;
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const ShapePlan> plan,
                         engine_->FindShapePlan(symbols_, *executor_, index));
  stage.plan = std::move(plan);
  stage.placed = false;
  return OkStatus();
}

Status Context::Grow(Memory* memory, size_t bytes) {
  if (bytes <= memory->bytes) return OkStatus();
  Free(memory);
  GRAFT_ASSIGN_OR_RETURN(void* address, options_.allocator->Allocate(bytes));
  *memory = {static_cast<std::byte*>(address), bytes};
  return OkStatus();
}

void Context::Free(Memory* memory) {
  if (memory->address) options_.allocator->Free(memory->address);
  *memory = {};
}

void Context::FreeAll() {
  Free(&arena_);
  for (Memory& memory : kept_) Free(&memory);
  for (Stage& stage : stages_) stage.placed = false;
}

// No stage's work is under way: what is in the arena is needed no more.
Status Context::Reserve(const ShapePlan& plan) {
  if (plan.arena_bytes > arena_.bytes) {
    for (Stage& stage : stages_) stage.placed = false;
    GRAFT_RETURN_IF_ERROR(Grow(&arena_, plan.arena_bytes));
  }
  for (const ShapePlan::KeptValue& kept : plan.kept)
    GRAFT_RETURN_IF_ERROR(Grow(&kept_[kept.value], kept.bytes));
  return OkStatus();
}

void Context::PlacePointers(Stage* stage) {
  const std::vector<Location>& locations = stage->plan->pointers;
  if (!stage->placed) {
    stage->pointers.resize(locations.size());
    stage->outside_pointers.clear();
    for (size_t i = 0; i < locations.size(); ++i) {
      stage->pointers[i] = Address(locations[i]);
      if (IsOutside(locations[i])) stage->outside_pointers.push_back(static_cast<int32_t>(i));
    }
    stage->placed = true;
    return;
  }
  for (const int32_t p : stage->outside_pointers) stage->pointers[p] = Address(locations[p]);
}

void* Context::Address(const Location& location) const {
  const void* base = nullptr;
  switch (location.base) {
    case Location::Base::kNone:
      break;
    case Location::Base::kArena:
      base = arena_.address;
      break;
    case Location::Base::kKept:
      base = kept_[location.index].address;
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
  for (size_t i = 0; i < inputs.size(); ++i) input_pointers_[i] = inputs[i].data;
  const ScopedThreadMode mode(engine_->backend().device());
  const Status status = RunStages(allocate);
  // Whatever happened, nothing may touch the caller's memory afterwards.
  const Status synchronized = engine_->backend().device().Synchronize(stream_);
  if (options_.arena_per_run) FreeAll();
  profiled_runs_ += profiling_ && status.ok();
  return status.ok() ? synchronized : status;
}

Status Context::RunStages(OutputAllocator allocate) {
  for (size_t i = 0; i < stages_.size(); ++i) {
    if (i > 0) GRAFT_RETURN_IF_ERROR(BindStage(static_cast<int>(i)));
    Stage& stage = stages_[i];
    GRAFT_RETURN_IF_ERROR(Reserve(*stage.plan));
    GRAFT_RETURN_IF_ERROR(AllocateOutputs(*stage.plan, allocate));
    PlacePointers(&stage);
    GRAFT_RETURN_IF_ERROR(Execute(stage));
    if (!stage.plan->counts.empty()) GRAFT_RETURN_IF_ERROR(ReadCounts(*stage.plan));
  }
  return OkStatus();
}

Status Context::AllocateOutputs(const ShapePlan& plan, OutputAllocator allocate) {
  for (const ShapePlan::Output& output : plan.outputs) {
    GRAFT_ASSIGN_OR_RETURN(
        output_pointers_[output.index],
        allocate(output.index, engine_->outputs()[output.index].dtype, output.dims, output.bytes));
  }
  return OkStatus();
}

Status Context::Execute(const Stage& stage) {
  Device& device = engine_->backend().device();
  for (const ShapePlan::Transfer& t : stage.plan->uploads) {
    GRAFT_RETURN_IF_ERROR(
        device.CopyToDevice(Address(t.ours), input_pointers_[t.index], t.row_bytes, stream_));
  }
  const Queue queue = {executor_.get(), stream_};
  for (const ShapePlan::Step& step : stage.plan->steps) {
    void* const* pointers = stage.pointers.data() + step.first_pointer;
    const StepPointers operands = {{pointers, static_cast<size_t>(step.inputs)},
                                   {pointers + step.inputs, static_cast<size_t>(step.outputs)},
                                   pointers[step.inputs + step.outputs]};
    const int64_t start = profiling_ ? Now() : 0;
    if (Status status = step.step->Enqueue(operands, queue); !status.ok())
      return status.WithContext(engine_->module().node(step.node).name);
    if (profiling_) {
      GRAFT_RETURN_IF_ERROR(device.Synchronize(stream_));
      step_ns_[step.node] += Now() - start;
    }
  }
  for (const ShapePlan::Transfer& t : stage.plan->downloads) {
    const auto* source = static_cast<const std::byte*>(Address(t.ours));
    auto* target = static_cast<std::byte*>(output_pointers_[t.index]);
    for (int64_t row = 0; row < t.rows; ++row) {
      GRAFT_RETURN_IF_ERROR(device.CopyToHost(target + row * t.row_bytes,
                                              source + row * t.row_stride, t.row_bytes, stream_));
    }
  }
  return OkStatus();
}

// Waits for the stage's work and binds what it found out.
Status Context::ReadCounts(const ShapePlan& plan) {
  Device& device = engine_->backend().device();
  for (const ShapePlan::Count& count : plan.counts) {
    GRAFT_RETURN_IF_ERROR(device.CopyToHost(&counts_[count.symbol], Address(count.location),
                                            sizeof(int64_t), stream_));
  }
  GRAFT_RETURN_IF_ERROR(device.Synchronize(stream_));
  for (const ShapePlan::Count& count : plan.counts) {
    const int64_t found = counts_[count.symbol];
    if (found < count.least || found > count.most) {
      return InternalError("{}: {} results, at most {} are possible",
                           engine_->module().symbols[count.symbol].name, found, count.most);
    }
    symbols_[count.symbol] = found;
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
  std::vector<Tensor> outputs(output_pointers_.size());
  const auto allocate = [&](int output, DType dtype, std::span<const int64_t> dims,
                            size_t) -> Result<void*> {
    GRAFT_ASSIGN_OR_RETURN(outputs[output],
                           Tensor::Allocate(dtype, Dims(dims.begin(), dims.end())));
    return outputs[output].mutable_raw();
  };
  GRAFT_RETURN_IF_ERROR(Run(views, allocate));
  return outputs;
}

int Context::steps() const {
  size_t steps = 0;
  for (const Stage& stage : stages_) steps += stage.plan ? stage.plan->steps.size() : 0;
  return static_cast<int>(steps);
}

void Context::StartProfile() {
  profiling_ = true;
  profiled_runs_ = 0;
  step_ns_.assign(engine_->module().node_count(), 0);
}

Result<std::vector<StepProfile>> Context::Profile() const {
  if (!profiling_ || profiled_runs_ == 0) return FailedPreconditionError("no run was profiled");
  const ir::Module& module = engine_->module();
  std::vector<StepProfile> profile;
  for (const Stage& stage : stages_) {
    if (!stage.plan) continue;
    for (const ShapePlan::Step& step : stage.plan->steps) {
      const ir::Node& node = module.node(step.node);
      GRAFT_ASSIGN_OR_RETURN(const BoundNode bound, BindNode(module, node, stage.plan->symbols));
      profile.push_back({step.node, node.name, std::string(ir::Name(node.kind())),
                         std::string(stage.plan->choices[step.choice].tactic->name()),
                         ProblemString(bound), Flops(bound), profiled_runs_,
                         static_cast<double>(step_ns_[step.node]) * 1e-6});
    }
  }
  return profile;
}

}  // namespace graft
