#include "engine_holder.h"

#include <sys/mman.h>

#include <algorithm>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "build_queue.h"
#include "environment.h"
#include "input_tensors.h"
#include "log.h"
#include "segment.h"
#include "step_profile.h"
#include "tensorflow/core/common_runtime/dma_helper.h"
#include "tensorflow/core/framework/allocator.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/lib/core/threadpool.h"

namespace graft_tf {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

// graft_schedule_fn over the device's worker pool.
void Schedule(void* pool, void (*closure)(void*), void* argument) {
  static_cast<tensorflow::thread::ThreadPool*>(pool)->Schedule(
      [closure, argument] { closure(argument); });
}

struct Outputs {
  OpKernelContext* context;
  absl::Status status;
  // graft_allocate_output_fn
  static void Allocate(void* self, const graft_output_request* request,
                       graft_output_memory* memory) {
    auto* outputs = static_cast<Outputs*>(self);
    if (request->dtype != outputs->context->expected_output_dtype(request->output)) {
      outputs->status =
          absl::InternalError("the engine's result has another dtype than the node's");
      return;
    }
    tensorflow::TensorShape shape;
    for (int32_t i = 0; i < request->rank; ++i) shape.AddDim(request->dims[i]);
    Tensor* tensor = nullptr;
    outputs->status = outputs->context->allocate_output(request->output, shape, &tensor);
    if (!outputs->status.ok()) return;
    // An empty tensor may have no buffer; any address will do for no bytes.
    static char nothing;
    void* data = tensorflow::DMAHelper::base(tensor);
    memory->data = data != nullptr ? data : &nothing;
  }
};

// graft_context_options::allocate. Arenas are swept from end to end, in huge pages where the system
// has them.
void* AllocateArena(void* allocator, size_t bytes, void*) {
  constexpr size_t kAlignment = 64, kPage = 4096, kHugePage = size_t{2} << 20;
  void* memory = static_cast<tensorflow::Allocator*>(allocator)->AllocateRaw(kAlignment, bytes);
  if (memory != nullptr && bytes >= 2 * kHugePage) {
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + kPage - 1) / kPage * kPage;
    const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) / kPage * kPage;
    static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE));
  }
  return memory;
}

// All of the process, for TrimAll.
struct Holders {
  std::mutex mutex;
  std::set<EngineHolder*> holders;
  static Holders& Global() {
    static Holders* all = new Holders;  // never destroyed: kernels may outlive static destruction
    return *all;
  }
};

std::vector<Argument> Arguments(OpKernelContext* context) {
  std::vector<Argument> arguments;
  for (int i = 0; i < context->num_inputs(); ++i) {
    Argument& argument = arguments.emplace_back();
    argument.dtype = context->input(i).dtype();
    for (const auto& d : context->input(i).shape()) argument.dims.push_back(d.size);
  }
  return arguments;
}

// Builds the engine once more, with its candidates timed. A model that goes takes its engines
// along.
void TuneWhenIdle(const std::weak_ptr<EngineState>& untuned, const EngineSpec& spec,
                  const NativeFunction& native, const std::vector<Argument>& arguments, int threads,
                  int level) {
  RunWhenIdle([=] {
    if (untuned.expired()) return;
    absl::StatusOr<MadeEngine> tuned = BuildEngine(spec, *native, arguments, threads, level);
    const std::shared_ptr<EngineState> state = untuned.lock();
    if (state == nullptr) return;
    if (tuned.ok()) {
      state->Replace(*std::move(tuned));
    } else if (absl::IsFailedPrecondition(tuned.status())) {
      GRAFT_TF_VLOG(1) << spec.node << ": " << tuned.status().message();  // the process ends
    } else {
      LOG(WARNING) << spec.node << ": its engine stays untuned: " << tuned.status().message();
    }
  });
}

}  // namespace

EngineHolder::EngineHolder(EngineSpec spec, const NativeSegment* native, NodeStatistics* statistics)
    : spec_(std::move(spec)), native_(native), state_(std::make_shared<EngineState>(statistics)) {
  Holders& all = Holders::Global();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.holders.insert(this);
}

EngineHolder::~EngineHolder() {
  {
    Holders& all = Holders::Global();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.holders.erase(this);
  }
  // The plan waits to be saved as long as its model lives.
  if (kept_in_ != nullptr) kept_in_->Remove(segment_);
}

// SerializeTRTResource writes what was built here.
absl::Status EngineHolder::KeepForSaving(OpKernelContext* context) {
  const std::lock_guard<std::mutex> lock(kept_mutex_);
  std::string plan = state_->TakePlan();
  if (plan.empty()) return absl::OkStatus();  // another call was faster
  const NativeFunction function = native_->Whole(context);
  if (function == nullptr) return absl::OkStatus();
  EngineResource* resource = nullptr;
  TF_RETURN_IF_ERROR(context->resource_manager()->LookupOrCreate<EngineResource>(
      std::string(kEngineContainer), ResourceName(spec_.node), &resource,
      [](EngineResource** created) {
        *created = new EngineResource;
        return absl::OkStatus();
      }));
  kept_in_.reset(resource);
  segment_ = SegmentKey(*function, spec_.input_shapes);
  kept_in_->Add({segment_, std::move(plan)});
  return absl::OkStatus();
}

void EngineHolder::DropBytes() {
  // A string that an empty one is assigned to keeps its memory.
  std::string().swap(spec_.serialized_segment);
}

// Ends with SetMade, here or in the background.
void EngineHolder::Make(OpKernelContext* context) {
  if (EngineBuildAborted()) {
    state_->SetMade(
        absl::AbortedError("Engine creation aborted by TF_TRT_ABORT_CUDA_ENGINE_BUILD variable"));
    return;
  }
  const NativeFunction native = native_->Whole(context);
  const auto saved = FindResource<EngineResource>(context, ResourceName(spec_.node));
  absl::StatusOr<std::optional<MadeEngine>> loaded = LoadEngine(spec_, native.get(), saved.get());
  // A node that has its engine needs no other copy.
  if (saved != nullptr && spec_.has_plan()) saved->Remove(spec_.engine_key);
  absl::StatusOr<MadeEngine> made;
  if (!loaded.ok()) {
    made = loaded.status();
  } else if (loaded->has_value()) {
    made = **std::move(loaded);
  } else if (!spec_.allow_build) {
    made = absl::FailedPreconditionError(
        "Found no engine in cache matching input shapes. Not building a new engine because "
        "allow_build_at_runtime=False");
  } else if (native == nullptr) {
    made = absl::NotFoundError("there is neither an engine nor a native segment to build one of");
  } else {
    DropBytes();
    return Build(context, native);
  }
  if (!state_->SetMade(std::move(made))) DropBytes();
}

void EngineHolder::Build(OpKernelContext* context, const NativeFunction& native) {
  const int threads = context->device()->tensorflow_cpu_worker_threads()->num_threads;
  // The variables are read now: they may change while it waits.
  auto build = [state = state_, spec = spec_, arguments = Arguments(context), threads, native,
                level = BuildLevel(), tune_level = BackgroundTuneLevel()] {
    absl::StatusOr<MadeEngine> made = BuildEngine(spec, *native, arguments, threads, level);
    const bool built = made.ok();
    state->SetMade(std::move(made));
    if (built && tune_level) TuneWhenIdle(state, spec, native, arguments, threads, *tune_level);
  };
  if (BuildsInBackground()) {
    state_->SetInBackground();
    RunWhenIdle(std::move(build));
    return;
  }
  // On a thread of its own: building allocates a lot and must not run on a small stack of
  // TensorFlow's.
  std::thread(std::move(build)).join();
}

absl::Status EngineHolder::BeReady(OpKernelContext* context) {
  absl::Status why;
  for (;;) {
    switch (state_->Ask(&why)) {
      case EngineState::Turn::kRun:
        return state_->has_plan() ? KeepForSaving(context) : absl::OkStatus();
      case EngineState::Turn::kMake:
        Make(context);
        break;
      case EngineState::Turn::kNone:
        return why;
    }
  }
}

absl::StatusOr<EngineHolder::Context> EngineHolder::TakeContext(OpKernelContext* context) {
  std::vector<Context> outdated;  // goes outside of the lock
  {
    const std::lock_guard<std::mutex> lock(idle_mutex_);
    if (!idle_.empty() && idle_.back().generation == state_->generation()) {
      Context taken = std::move(idle_.back());
      idle_.pop_back();
      return taken;
    }
    outdated.swap(idle_);
  }
  const tensorflow::DeviceBase::CpuWorkerThreads* workers =
      context->device()->tensorflow_cpu_worker_threads();
  graft_context_options options = GRAFT_CONTEXT_OPTIONS_INIT;
  options.threads = workers->num_threads;
  options.schedule = &Schedule;
  options.schedule_state = workers->workers;
  // TensorFlow's, so that its limits and its figures cover what engines work in. The device
  // outlives its kernels.
  options.allocator_state = context->device()->GetAllocator(tensorflow::AllocatorAttributes());
  options.allocate = &AllocateArena;
  options.deallocate = [](void* allocator, void* memory, void*) {
    static_cast<tensorflow::Allocator*>(allocator)->DeallocateRaw(memory);
  };
  const EngineState::Ready ready = state_->engine();
  graft_context* created = nullptr;
  TF_RETURN_IF_ERROR(ToAbsl(graft_context_create(ready.engine.get(), &options, &created)));
  return Context{Owned<graft_context>(created), ready.generation};
}

// As many wait as the device has threads that could run them; what a burst of calls needed beyond
// that goes.
void EngineHolder::GiveBack(Context context, size_t most_idle) {
  if (context.generation != state_->generation()) return;  // of an engine that was replaced
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  if (idle_.size() < most_idle) idle_.push_back(std::move(context));
}

int64_t EngineHolder::Trim() {
  std::vector<Context> freed;  // outside of the lock
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  freed.swap(idle_);
  return static_cast<int64_t>(freed.size());
}

int64_t EngineHolder::TrimAll() {
  int64_t freed = 0;
  Holders& all = Holders::Global();
  const std::lock_guard<std::mutex> lock(all.mutex);
  for (EngineHolder* holder : all.holders) freed += holder->Trim();
  return freed;
}

absl::Status EngineHolder::Run(OpKernelContext* context) {
  TF_RETURN_IF_ERROR(BeReady(context));
  absl::StatusOr<Context> taken = TakeContext(context);
  TF_RETURN_IF_ERROR(taken.status());
  const InputTensors inputs(context);
  Outputs outputs{context, absl::OkStatus()};
  absl::Status status;
  {
    const StepProfile profile(context, taken->run.get());
    status = ToAbsl(graft_context_run(taken->run.get(), inputs.data(), inputs.size(),
                                      &Outputs::Allocate, &outputs));
  }
  const int threads = context->device()->tensorflow_cpu_worker_threads()->num_threads;
  GiveBack(*std::move(taken), static_cast<size_t>(std::max(threads, 1)));
  return outputs.status.ok() ? status : outputs.status;
}

}  // namespace graft_tf
