#include "runtime/context.h"

#include <algorithm>
#include <new>

#include "backend_api/flops.h"
#include "backend_api/thread_mode.h"
#include "runtime/symbol_binding.h"

namespace graft {
namespace {

// Of each stage, with their addresses and recordings.
constexpr size_t kPreparedPlans = 8;

class DeviceAllocator final : public ArenaAllocator {
 public:
  explicit DeviceAllocator(Device& device) : device_(device) {}
  Result<void*> Allocate(size_t bytes, void* stream) override {
    return device_.AllocateAsync(bytes, stream);
  }
  // A failure of the stream's work is the status of whatever asks next.
  void Free(void* memory, void* stream) override {
    static_cast<void>(device_.FreeAsync(memory, stream));
  }

 private:
  Device& device_;
};

bool IsOutside(const Location& location) {
  return location.base == Location::Base::kInput || location.base == Location::Base::kOutput ||
         location.base == Location::Base::kKept;
}

std::string OperandTypes(const BoundNode& node) {
  if (node.inputs.empty()) return std::string(Name(node.outputs[0].dtype));
  const DType first = node.inputs[0].dtype;
  std::string types(Name(first));
  for (const BoundValue& operand : node.inputs) {
    if (!operand.constant || operand.dtype == first || !IsFloating(operand.dtype)) continue;
    return fmt::format("{} × {}", types, Name(operand.dtype));
  }
  return types;
}

}  // namespace

Context::Context(std::shared_ptr<const Engine> engine, ContextOptions options)
    : engine_(std::move(engine)),
      device_(engine_->backend().device()),
      options_(std::move(options)) {
  if (!options_.executor) options_.executor = std::make_shared<InlineExecutor>();
  executor_ = std::make_unique<ThreadModeExecutor>(device_, options_.executor);
  device_allocator_ = std::make_unique<DeviceAllocator>(device_);
  if (!options_.allocator) options_.allocator = device_allocator_.get();
  input_pointers_.resize(engine_->inputs().size());
  input_copies_.resize(engine_->inputs().size());
  output_pointers_.resize(engine_->outputs().size());
  output_copies_.resize(engine_->outputs().size());
  outputs_.resize(engine_->outputs().size());
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
  GRAFT_ASSIGN_OR_RETURN(context->own_stream_, context->device_.CreateStream());
  context->stream_ = context->own_stream_;
  return context;
}

Context::~Context() {
  for (const Flight& flight : in_flight_) static_cast<void>(device_.SynchronizeEvent(flight.event));
  // Work of a run that failed half-way may still be under way in the arena.
  static_cast<void>(device_.Synchronize(own_stream_));
  in_flight_.insert(in_flight_.end(), idle_.begin(), idle_.end());
  for (const Flight& flight : in_flight_) device_.DestroyEvent(flight.event);
  stages_.clear();
  stages_.resize(engine_->stages().count);
  stream_ = own_stream_;
  FreeAll();
  if (own_stream_) {
    static_cast<void>(device_.Synchronize(own_stream_));
    device_.DestroyStream(own_stream_);
  }
}

// The inputs, with the engine's defaults in place of those that are not fed.
std::span<const TensorView> Context::WithDefaults(std::span<const TensorView> inputs) {
  const auto takes = [&](size_t i) {
    return inputs[i].dtype == DType::kInvalid && engine_->input_default(i) != nullptr;
  };
  size_t first = 0;
  while (first < inputs.size() && !takes(first)) ++first;
  if (first == inputs.size()) return inputs;
  inputs_.assign(inputs.begin(), inputs.end());
  for (size_t i = first; i < inputs.size(); ++i) {
    if (takes(i)) inputs_[i] = ViewOf(*engine_->input_default(i));
  }
  return inputs_;
}

bool Context::SameShape(std::span<const TensorView> inputs) const {
  const ir::Module& module = engine_->module();
  if (!stages_[0].current) return false;
  const ShapePlan* plan = stages_[0].current->plan.get();
  if (inputs.size() != plan->input_dims.size()) return false;
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
    const TensorView& input = inputs[symbol.input];
    if (Staged(MemorySpace::kHost) && input.space != MemorySpace::kHost) return false;
    if (ReadHostValue(input, symbol.axis) != symbols_[s]) return false;
  }
  return true;
}

Status Context::Bind(std::span<const TensorView> inputs) {
  if (SameShape(inputs)) return OkStatus();
  stages_[0].current = nullptr;
  GRAFT_RETURN_IF_ERROR(
      BindSymbols(engine_->module(), inputs, device_.host_accessible(), &symbols_));
  GRAFT_RETURN_IF_ERROR(BindStage(0));
  if (profiling_) StartProfile();
  return OkStatus();
}

// The stage's shape plan for the symbols that are known now.
Status Context::BindStage(int index) {
  Stage& stage = stages_[index];
  if (stage.current && engine_->IsPlanOf(*stage.current->plan, symbols_)) return OkStatus();
  stage.current = nullptr;
  auto& prepared = stage.prepared;
  const auto found = std::find_if(prepared.begin(), prepared.end(), [&](const auto& p) {
    return engine_->IsPlanOf(*p->plan, symbols_);
  });
  if (found != prepared.end()) {
    std::rotate(prepared.begin(), found, found + 1);
  } else {
    auto made = std::make_shared<Prepared>();
    GRAFT_ASSIGN_OR_RETURN(made->plan, engine_->FindShapePlan(symbols_, *executor_, index));
    if (prepared.size() == kPreparedPlans) {
      Retire(std::move(prepared.back()));
      prepared.pop_back();
    }
    prepared.insert(prepared.begin(), std::move(made));
  }
  stage.current = prepared.front().get();
  return OkStatus();
}

// Takes what ran to its end out of the flights. When one has failed, all are waited for.
Status Context::Land(void* stream) {
  Status status;
  size_t done = 0;
  for (; done < in_flight_.size(); ++done) {
    if (!status.ok()) {
      static_cast<void>(device_.SynchronizeEvent(in_flight_[done].event));
      continue;
    }
    const Result<bool> landed = device_.Done(in_flight_[done].event);
    if (landed.ok() && !*landed) break;
    if (!landed.ok()) status = landed.status().WithContext("an earlier run");
  }
  for (size_t i = 0; i < done; ++i) {
    in_flight_[i].holds.clear();
    idle_.push_back(std::move(in_flight_[i]));
  }
  in_flight_.erase(in_flight_.begin(), in_flight_.begin() + static_cast<ptrdiff_t>(done));
  // The failure has been told; the stream is to go on.
  if (!status.ok() && stream == stream_) static_cast<void>(device_.Synchronize(stream));
  return status;
}

Status Context::Follow(void* stream) {
  if (!in_flight_.empty()) {
    GRAFT_RETURN_IF_ERROR(Land(stream));
    if (!in_flight_.empty() && stream != stream_)
      GRAFT_RETURN_IF_ERROR(device_.Wait(stream, in_flight_.back().event));
  }
  stream_ = stream;
  return OkStatus();
}

// The run that was queued is under way from now on.
Status Context::TakeOff(void* stream) {
  if (idle_.empty()) {
    GRAFT_ASSIGN_OR_RETURN(void* const event, device_.CreateEvent());
    idle_.push_back({event, {}});
  }
  GRAFT_RETURN_IF_ERROR(device_.Record(idle_.back().event, stream));
  in_flight_.push_back(std::move(idle_.back()));
  idle_.pop_back();
  return OkStatus();
}

// Destroys what no run uses any more, now or when the last one that is under way has landed.
void Context::Retire(std::shared_ptr<const void> object) {
  if (!in_flight_.empty()) in_flight_.back().holds.push_back(std::move(object));
}

// Whether steps cannot use memory of this space.
bool Context::Staged(MemorySpace space) const {
  return space == MemorySpace::kHost && !device_.host_accessible();
}

Status Context::Grow(Memory* memory, size_t bytes) {
  if (bytes <= memory->bytes) return OkStatus();
  Free(memory);
  GRAFT_ASSIGN_OR_RETURN(void* address, options_.allocator->Allocate(bytes, stream_));
  *memory = {static_cast<std::byte*>(address), bytes};
  return OkStatus();
}

void Context::Free(Memory* memory) {
  if (memory->address) options_.allocator->Free(memory->address, stream_);
  *memory = {};
}

void Context::FreeAll() {
  Displace();
  Free(&arena_);
  for (std::vector<Memory>* each : {&kept_, &input_copies_, &output_copies_}) {
    for (Memory& memory : *each) Free(&memory);
  }
}

// The arena goes: what has its addresses is made again.
void Context::Displace() {
  for (Stage& stage : stages_) {
    for (const auto& prepared : stage.prepared) {
      prepared->placed = prepared->ran = false;
      if (prepared->recording) Retire(std::move(prepared->recording));
    }
  }
}

// No stage's work needs what is in the arena any more, or it is queued before.
Status Context::Reserve(const ShapePlan& plan) {
  if (plan.arena_bytes > arena_.bytes) {
    Displace();
    GRAFT_RETURN_IF_ERROR(Grow(&arena_, plan.arena_bytes));
  }
  for (const ShapePlan::KeptValue& kept : plan.kept)
    GRAFT_RETURN_IF_ERROR(Grow(&kept_[kept.value], kept.bytes));
  return OkStatus();
}

// Copies the inputs that steps cannot read where they are.
Status Context::PlaceInputs(std::span<const TensorView> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    input_pointers_[i] = inputs[i].data;
    if (!Staged(inputs[i].space) || !engine_->ReadsInput(i)) continue;
    const size_t bytes =
        static_cast<size_t>(CountElements(inputs[i].dims)) * SizeOf(inputs[i].dtype);
    if (bytes == 0) continue;
    const ObservedPart observed(observer_, RunPart::kCopy, engine_->inputs()[i].name);
    GRAFT_RETURN_IF_ERROR(Grow(&input_copies_[i], bytes));
    input_pointers_[i] = input_copies_[i].address;
    GRAFT_RETURN_IF_ERROR(CopyBytes(device_, input_copies_[i].address, MemorySpace::kDevice,
                                    inputs[i].data, MemorySpace::kHost, bytes, stream_));
  }
  return OkStatus();
}

void Context::PlacePointers(Prepared* prepared) {
  const ShapePlan& plan = *prepared->plan;
  const std::vector<Location>& locations = plan.pointers;
  if (prepared->placed) {
    for (const OutsidePointer& p : prepared->outside)
      prepared->pointers[p.pointer] = Address(locations[p.pointer]);
    return;
  }
  prepared->pointers.resize(locations.size());
  prepared->outside.clear();
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    const ShapePlan::Step& step = plan.steps[s];
    const int32_t end = step.first_pointer + step.inputs + step.outputs + 1;
    for (int32_t p = step.first_pointer; p < end; ++p) {
      prepared->pointers[p] = Address(locations[p]);
      if (IsOutside(locations[p])) prepared->outside.push_back({p, static_cast<int32_t>(s)});
    }
  }
  prepared->placed = true;
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
  GRAFT_RETURN_IF_ERROR(Start(inputs, allocate, own_stream_));
  return device_.Synchronize(own_stream_);
}

Status Context::Enqueue(std::span<const TensorView> inputs, OutputAllocator allocate,
                        void* stream) {
  if (stream == nullptr) stream = own_stream_;
  GRAFT_RETURN_IF_ERROR(Start(inputs, allocate, stream));
  return stream ? TakeOff(stream) : OkStatus();
}

Status Context::Start(std::span<const TensorView> inputs, OutputAllocator allocate, void* stream) {
  const ObservedPart observed(observer_, RunPart::kRun, "run");
  GRAFT_RETURN_IF_ERROR(Follow(stream));
  inputs = WithDefaults(inputs);
  GRAFT_RETURN_IF_ERROR(Bind(inputs));
  const ScopedThreadMode mode(device_);
  Status status = RunStages(inputs, allocate);
  // Nothing may touch the caller's memory after a failure.
  if (!status.ok()) static_cast<void>(device_.Synchronize(stream));
  if (options_.arena_per_run) FreeAll();
  profiled_runs_ += profiling_ && status.ok();
  return status;
}

Status Context::RunStages(std::span<const TensorView> inputs, OutputAllocator allocate) {
  GRAFT_RETURN_IF_ERROR(PlaceInputs(inputs));
  for (size_t i = 0; i < stages_.size(); ++i) {
    if (i > 0) GRAFT_RETURN_IF_ERROR(BindStage(static_cast<int>(i)));
    Prepared* const prepared = stages_[i].current;
    const ShapePlan& plan = *prepared->plan;
    GRAFT_RETURN_IF_ERROR(Reserve(plan));
    GRAFT_RETURN_IF_ERROR(AllocateOutputs(plan, allocate));
    PlacePointers(prepared);
    GRAFT_RETURN_IF_ERROR(Execute(prepared));
    GRAFT_RETURN_IF_ERROR(CopyOutputs(plan));
    if (!plan.counts.empty()) GRAFT_RETURN_IF_ERROR(ReadCounts(plan));
  }
  return OkStatus();
}

Status Context::AllocateOutputs(const ShapePlan& plan, OutputAllocator allocate) {
  const MemorySpace space = device_.host_accessible() ? MemorySpace::kHost : MemorySpace::kDevice;
  for (const ShapePlan::Output& output : plan.outputs) {
    const int32_t i = output.index;
    GRAFT_ASSIGN_OR_RETURN(
        outputs_[i], allocate({i, engine_->outputs()[i].dtype, output.dims, output.bytes, space}));
    output_pointers_[i] = outputs_[i].data;
    if (!output.direct || output.bytes == 0 || !Staged(outputs_[i].space)) continue;
    GRAFT_RETURN_IF_ERROR(Grow(&output_copies_[i], output.bytes));
    output_pointers_[i] = output_copies_[i].address;
  }
  return OkStatus();
}

Status Context::EnqueueStep(const Prepared& prepared, size_t index, Executor& executor,
                            void* stream) {
  const ShapePlan::Step& step = prepared.plan->steps[index];
  void* const* pointers = prepared.pointers.data() + step.first_pointer;
  const StepPointers operands = {{pointers, static_cast<size_t>(step.inputs)},
                                 {pointers + step.inputs, static_cast<size_t>(step.outputs)},
                                 pointers[step.inputs + step.outputs]};
  Status status;
  try {
    status = step.step->Enqueue(operands, {&executor, stream});
  } catch (const std::bad_alloc&) {
    status = ResourceExhaustedError("out of memory");
  } catch (const std::exception& e) {
    status = InternalError("{}", e.what());
  }
  return status.ok() ? status : status.WithContext(engine_->module().node(step.node).name);
}

Status Context::Execute(Prepared* prepared) {
  const ShapePlan& plan = *prepared->plan;
  const bool watched = profiling_ || observer_ != nullptr;
  const bool records = options_.record && !options_.arena_per_run && !watched &&
                       plan.capture_safe && !plan.steps.empty() && device_.records();
  if (records && prepared->ran) {
    if (prepared->recording) GRAFT_RETURN_IF_ERROR(UpdateRecording(prepared));
    if (!prepared->recording) {
      // Another thread that waits for the whole device may break a recording off: this run is plain
      // then, and the next one tries again.
      const Status recorded = Record(prepared);
      if (recorded.code() != StatusCode::kUnsupported) GRAFT_RETURN_IF_ERROR(recorded);
    }
    if (prepared->recording) return prepared->recording->Launch(stream_);
  }
  if (watched) {
    GRAFT_RETURN_IF_ERROR(ExecuteWatched(*prepared));
  } else {
    for (size_t s = 0; s < plan.steps.size(); ++s)
      GRAFT_RETURN_IF_ERROR(EnqueueStep(*prepared, s, *executor_, stream_));
  }
  prepared->ran = true;
  return OkStatus();
}

// Step by step, each waited for.
Status Context::ExecuteWatched(const Prepared& prepared) {
  const ShapePlan& plan = *prepared.plan;
  Executor& executor = observer_ ? *observed_executor_ : *executor_;
  const ObservedPart stage(observer_, RunPart::kStage,
                           observer_ ? fmt::format("stage {}", plan.stage) : "");
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    const ShapePlan::Step& step = plan.steps[s];
    const ObservedPart observed(observer_, RunPart::kStep, engine_->module().node(step.node).name,
                                plan.choices[step.choice].tactic->name());
    const int64_t start = SteadyNow();
    GRAFT_RETURN_IF_ERROR(EnqueueStep(prepared, s, executor, stream_));
    GRAFT_RETURN_IF_ERROR(device_.Synchronize(stream_));
    if (profiling_) step_ns_[step.node] += SteadyNow() - start;
  }
  return OkStatus();
}

// On the context's own stream: others may use the caller's at the same time, and a device's default
// stream records nothing.
Status Context::Record(Prepared* prepared) {
  GRAFT_RETURN_IF_ERROR(device_.BeginRecording(own_stream_));
  Status status;
  const std::vector<std::vector<int>>& waits = prepared->plan->waits;
  std::vector<int> before;  // the step before
  for (size_t s = 0; s < prepared->plan->steps.size() && status.ok(); ++s) {
    status = device_.MarkPart(own_stream_, waits.empty() ? before : waits[s]);
    before = {static_cast<int>(s)};
    if (status.ok()) status = EnqueueStep(*prepared, s, *executor_, own_stream_);
  }
  Result<std::unique_ptr<Recording>> recording = device_.EndRecording(own_stream_);
  GRAFT_RETURN_IF_ERROR(status);
  if (!recording.ok()) return recording.status();
  prepared->recording = std::move(recording).value();
  prepared->recorded = prepared->pointers;
  return OkStatus();
}

// Gives the steps of the recording whose pointers have changed the new ones. One that cannot be
// changed goes.
Status Context::UpdateRecording(Prepared* prepared) {
  const std::vector<OutsidePointer>& outside = prepared->outside;
  for (size_t i = 0; i < outside.size();) {
    const int32_t step = outside[i].step;
    bool changed = false;
    size_t end = i;
    for (; end < outside.size() && outside[end].step == step; ++end) {
      const int32_t p = outside[end].pointer;
      changed |= prepared->recorded[p] != prepared->pointers[p];
    }
    if (changed) {
      const Status status = prepared->recording->Update(step, own_stream_, [&] {
        return EnqueueStep(*prepared, static_cast<size_t>(step), *executor_, own_stream_);
      });
      if (!status.ok()) Retire(std::move(prepared->recording));
      if (status.code() == StatusCode::kUnsupported) return OkStatus();
      GRAFT_RETURN_IF_ERROR(status);
      for (size_t k = i; k < end; ++k)
        prepared->recorded[outside[k].pointer] = prepared->pointers[outside[k].pointer];
    }
    i = end;
  }
  return OkStatus();
}

Status Context::CopyOutputs(const ShapePlan& plan) {
  for (const ShapePlan::Output& output : plan.outputs) {
    const int32_t i = output.index;
    if (output_pointers_[i] == outputs_[i].data || output.bytes == 0) continue;
    const ObservedPart observed(observer_, RunPart::kCopy, engine_->outputs()[i].name);
    GRAFT_RETURN_IF_ERROR(CopyBytes(device_, outputs_[i].data, outputs_[i].space,
                                    output_pointers_[i], MemorySpace::kDevice, output.bytes,
                                    stream_));
  }
  for (const ShapePlan::OutputCopy& copy : plan.output_copies) {
    const ObservedPart observed(observer_, RunPart::kCopy, engine_->outputs()[copy.index].name);
    GRAFT_RETURN_IF_ERROR(device_.Copy({.target = outputs_[copy.index].data,
                                        .target_space = outputs_[copy.index].space,
                                        .target_stride = copy.row_bytes,
                                        .source = Address(copy.source),
                                        .source_space = MemorySpace::kDevice,
                                        .source_stride = copy.row_stride,
                                        .row_bytes = copy.row_bytes,
                                        .rows = copy.rows},
                                       stream_));
  }
  return OkStatus();
}

// Waits for the stage's work and binds what it found out.
Status Context::ReadCounts(const ShapePlan& plan) {
  for (const ShapePlan::Count& count : plan.counts) {
    GRAFT_RETURN_IF_ERROR(CopyBytes(device_, &counts_[count.symbol], MemorySpace::kHost,
                                    Address(count.location), MemorySpace::kDevice, sizeof(int64_t),
                                    stream_));
  }
  GRAFT_RETURN_IF_ERROR(device_.Synchronize(stream_));
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
  return Run(inputs, [&](const OutputRequest& request) -> Result<OutputMemory> {
    return OutputMemory{outputs[request.output]};
  });
}

Result<std::vector<Tensor>> Context::Run(std::span<const Tensor> inputs) {
  std::vector<TensorView> views;
  for (const Tensor& tensor : inputs) views.push_back(ViewOf(tensor));
  std::vector<Tensor> outputs(output_pointers_.size());
  const auto allocate = [&](const OutputRequest& request) -> Result<OutputMemory> {
    Tensor& tensor = outputs[request.output];
    GRAFT_ASSIGN_OR_RETURN(
        tensor, Tensor::Allocate(request.dtype, Dims(request.dims.begin(), request.dims.end())));
    return OutputMemory{tensor.mutable_raw()};
  };
  GRAFT_RETURN_IF_ERROR(Run(views, allocate));
  return outputs;
}

int Context::steps() const {
  size_t steps = 0;
  for (const Stage& stage : stages_) steps += stage.current ? stage.current->plan->steps.size() : 0;
  return static_cast<int>(steps);
}

void Context::Observe(RunObserver* observer) {
  observer_ = observer;
  observed_executor_ =
      observer ? std::make_unique<ObservedExecutor>(*executor_, *observer) : nullptr;
}

std::vector<std::shared_ptr<const ShapePlan>> Context::shape_plans() const {
  std::vector<std::shared_ptr<const ShapePlan>> plans;
  for (const Stage& stage : stages_) {
    if (stage.current) plans.push_back(stage.current->plan);
  }
  return plans;
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
    if (!stage.current) continue;
    const ShapePlan& plan = *stage.current->plan;
    for (const ShapePlan::Step& step : plan.steps) {
      const ir::Node& node = module.node(step.node);
      GRAFT_ASSIGN_OR_RETURN(BoundNode bound, BindNode(module, node, plan.symbols));
      ForgetStrideOfSingleRow(&bound);
      StepProfile& p = profile.emplace_back();
      p.node = step.node;
      p.name = node.name;
      p.op = ir::Name(node.kind());
      p.tactic = plan.choices[step.choice].tactic->name();
      p.problem = ProblemString(bound);
      p.types = OperandTypes(bound);
      p.result = Describe(bound.outputs[0].dtype, bound.outputs[0].dims);
      p.flops = Flops(bound);
      p.bytes = BytesMoved(bound);
      p.runs = profiled_runs_;
      p.total_ms = static_cast<double>(step_ns_[step.node]) * 1e-6;
    }
  }
  return profile;
}

}  // namespace graft
