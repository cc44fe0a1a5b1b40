#include "graft/c_api.h"

#include <cstring>

#include "base/log.h"
#include "c_api/handles.h"
#include "convert/retune.h"
#include "runtime/backend_table.h"
#include "runtime/engine_registry.h"
#include "runtime/load.h"

namespace graft {
namespace {

static_assert(static_cast<int>(StatusCode::kInternal) == GRAFT_INTERNAL,
              "graft_code follows StatusCode");

// A tensor over a caller's memory, which is released with its last reference.
Result<Tensor> Take(const graft_weight& weight) {
  std::shared_ptr<void> owner(weight.release_state, [release = weight.release](void* state) {
    if (release) release(state);
  });
  GRAFT_ASSIGN_OR_RETURN(const DType dtype, ReadDType(weight.dtype));
  GRAFT_ASSIGN_OR_RETURN(const std::span<const int64_t> dims, ReadDims(weight.dims, weight.rank));
  if (SizeOf(dtype) == 0 || CountElements(dims) < 0)
    return InvalidArgumentError("a weight is {}", Describe(dtype, dims));
  return Tensor(dtype, Dims(dims.begin(), dims.end()),
                std::shared_ptr<const std::byte>(std::move(owner),
                                                 static_cast<const std::byte*>(weight.data)));
}

std::vector<graft_binding> MakeBindings(const std::vector<Binding>& bindings,
                                        std::vector<std::vector<int64_t>>* all_dims) {
  std::vector<graft_binding> result;
  for (const Binding& binding : bindings) {
    std::vector<int64_t> dims;
    for (const ir::Dim& dim : binding.shape) dims.push_back(dim.constant().value_or(-1));
    // Moving a vector into another keeps its elements where they are.
    result.push_back({binding.name.c_str(), binding.binding_name.c_str(),
                      static_cast<int32_t>(binding.dtype), static_cast<int32_t>(dims.size()),
                      dims.data()});
    all_dims->push_back(std::move(dims));
  }
  return result;
}

// What the cache cannot keep is measured again the next time.
Status Tune(Plan& plan, int device, int threads) {
  const std::unique_ptr<TimingCache> cache = TimingCache::Open(TimingCache::DefaultPath());
  convert::RetuneOptions options;
  options.threads = threads;
  options.device = device;
  options.cache = cache.get();
  GRAFT_RETURN_IF_ERROR(convert::Retune(plan, options).status());
  if (const Status saved = cache->Flush(); !saved.ok())
    Log(LogLevel::kWarning, "trt_engine", "{}", saved.message());
  return OkStatus();
}

// `load` gives an engine for the options.
template <class F>
graft_status* Load(const graft_engine_options* c_options, graft_engine** engine, F&& load) {
  *engine = nullptr;
  return Guarded([&]() -> Status {
    GRAFT_ASSIGN_OR_RETURN(const graft_engine_options given,
                           ReadOptions<graft_engine_options>(c_options, GRAFT_ENGINE_OPTIONS_INIT));
    const std::unique_ptr<Executor> executor = MakeTbbExecutor(given.threads);
    LoadOptions options;
    options.map = given.map_file != 0;
    options.device = given.device;
    if (given.device_name != nullptr) {
      GRAFT_ASSIGN_OR_RETURN(DeviceName name, ParseDeviceName(given.device_name));
      options.backend = std::move(name.backend);
      options.device = name.device;
    }
    options.engine.executor = executor.get();
    options.plan.check_all_weights = given.check_all_weights != 0;
    if (given.tune != 0) {
      options.plan.check_all_weights = true;  // Retune wants that
      options.retune = [&](Plan& plan) { return Tune(plan, options.device, executor->width()); };
    }
    if (given.find_weight) {
      options.plan.external_weight = [&](const std::string& name, auto fits) -> Result<Tensor> {
        const graft_weight empty = {.struct_size = sizeof(graft_weight)};
        graft_weight weight = empty;
        if (given.find_weight(given.find_weight_state, name.c_str(), &weight) == 0) {
          GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Take(weight));
          if (fits(tensor)) return tensor;
        }
        for (int32_t i = 0; given.weight_at; ++i) {
          weight = empty;
          if (given.weight_at(given.find_weight_state, i, &weight) != 0) break;
          Result<Tensor> tensor = Take(weight);
          if (tensor.ok() && fits(*tensor)) return tensor;
        }
        return NotFoundError("weight {} is not there", name);
      };
    }
    GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const Engine> loaded, load(options));
    auto handle = std::make_unique<graft_engine>();
    handle->inputs = MakeBindings(loaded->inputs(), &handle->dims);
    handle->outputs = MakeBindings(loaded->outputs(), &handle->dims);
    handle->engine = std::move(loaded);
    *engine = handle.release();
    return OkStatus();
  });
}

const graft_binding* At(const std::vector<graft_binding>& bindings, int32_t index) {
  return index >= 0 && static_cast<size_t>(index) < bindings.size() ? &bindings[index] : nullptr;
}

// Searching makes texts, for which there may be no memory.
template <class F>
int32_t Position(F&& find) {
  try {
    const Result<int> index = find();
    return index.ok() ? *index : -1;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

Result<MemorySpace> SpaceOf(int32_t space) {
  if (space == GRAFT_SPACE_HOST) return MemorySpace::kHost;
  if (space == GRAFT_SPACE_DEVICE) return MemorySpace::kDevice;
  return InvalidArgumentError("there is no memory space {}", space);
}

// Calls run(allocator) with the caller's inputs in context->inputs.
template <class F>
graft_status* WithArguments(graft_context* context, const graft_tensor* inputs, int32_t count,
                            graft_allocate_output_fn allocate, void* state, F&& run) {
  return Guarded([&]() -> Status {
    context->inputs.clear();
    for (int32_t i = 0; i < count; ++i) {
      GRAFT_ASSIGN_OR_RETURN(const graft_tensor given, TensorAt(inputs, i));
      GRAFT_ASSIGN_OR_RETURN(const MemorySpace space, SpaceOf(given.space));
      GRAFT_ASSIGN_OR_RETURN(const DType dtype, ReadDType(given.dtype));
      GRAFT_ASSIGN_OR_RETURN(const auto dims, ReadDims(given.dims, given.rank));
      context->inputs.push_back({dtype, dims, given.data, space});
    }
    return run([&](const OutputRequest& wanted) -> Result<OutputMemory> {
      const graft_output_request request = {
          sizeof(graft_output_request),
          wanted.output,
          static_cast<int32_t>(wanted.dtype),
          wanted.dims.data(),
          static_cast<int32_t>(wanted.dims.size()),
          wanted.space == MemorySpace::kDevice ? GRAFT_SPACE_DEVICE : GRAFT_SPACE_HOST,
          wanted.bytes};
      graft_output_memory memory = {sizeof(graft_output_memory), nullptr, GRAFT_SPACE_HOST};
      allocate(state, &request, &memory);
      if (!memory.data && wanted.bytes > 0)
        return ResourceExhaustedError("no memory for output {}", wanted.output);
      GRAFT_ASSIGN_OR_RETURN(const MemorySpace space, SpaceOf(memory.space));
      return OutputMemory{memory.data, space};
    });
  });
}

}  // namespace
}  // namespace graft

using graft::Guarded;
using graft::OkStatus;
using graft::Result;
using graft::Status;

namespace {

graft::Device& DeviceOf(const graft_engine* engine) { return engine->engine->backend().device(); }

}  // namespace

extern "C" {

graft_code graft_status_code(const graft_status* status) {
  return status ? static_cast<graft_code>(status->status.code()) : GRAFT_OK;
}
const char* graft_status_message(const graft_status* status) {
  return status ? status->status.message().c_str() : "";
}
void graft_status_free(graft_status* status) { delete status; }

const char* graft_version(void) { return GRAFT_VERSION; }

int32_t graft_verbose_level(const char* module) { return graft::VerboseLevel(module); }

void graft_set_log_sink(graft_log_fn sink, void* state) {
  // The C signature differs from LogSink only in the spelling of the level.
  struct Target {
    graft_log_fn sink;
    void* state;
  };
  static Target target;
  graft::SetLogSink(nullptr, nullptr);
  target = {sink, state};
  if (!sink) return;
  graft::SetLogSink(
      [](void*, graft::LogLevel level, const char* module, const char* message) {
        target.sink(target.state, static_cast<int32_t>(level), module, message);
      },
      nullptr);
}

const void* graft_bytes_data(const graft_bytes* bytes) { return bytes->bytes.data(); }
size_t graft_bytes_size(const graft_bytes* bytes) { return bytes->bytes.size(); }
void graft_bytes_free(graft_bytes* bytes) { delete bytes; }

graft_status* graft_engine_load(const char* path, const graft_engine_options* options,
                                graft_engine** engine) {
  return graft::Load(options, engine, [&](const graft::LoadOptions& load_options) {
    return graft::LoadEngine(std::string(path), load_options);
  });
}

graft_status* graft_engine_from_bytes(const void* data, size_t size,
                                      const graft_engine_options* options, graft_engine** engine) {
  return graft::Load(
      options, engine,
      [&](const graft::LoadOptions& load_options) -> Result<std::shared_ptr<const graft::Engine>> {
        GRAFT_ASSIGN_OR_RETURN(
            graft::Tensor copy,
            graft::Tensor::Allocate(graft::DType::kUint8, {static_cast<int64_t>(size)}));
        if (size > 0) std::memcpy(copy.mutable_raw(), data, size);
        return graft::LoadEngine(graft::FileBytes{copy.shared(), size}, load_options);
      });
}

graft_status* graft_engine_from_mapped_bytes(const void* data, size_t size,
                                             const graft_engine_options* options,
                                             graft_engine** engine) {
  return graft::Load(options, engine, [&](const graft::LoadOptions& load_options) {
    const auto* bytes = static_cast<const std::byte*>(data);
    const std::shared_ptr<const std::byte> borrowed(std::shared_ptr<const void>(), bytes);
    return graft::LoadEngine(graft::FileBytes{borrowed, size}, load_options);
  });
}

void graft_engine_free(graft_engine* engine) { delete engine; }

int32_t graft_engine_input_count(const graft_engine* engine) {
  return static_cast<int32_t>(engine->inputs.size());
}
int32_t graft_engine_output_count(const graft_engine* engine) {
  return static_cast<int32_t>(engine->outputs.size());
}
const graft_binding* graft_engine_input(const graft_engine* engine, int32_t index) {
  return graft::At(engine->inputs, index);
}
const graft_binding* graft_engine_output(const graft_engine* engine, int32_t index) {
  return graft::At(engine->outputs, index);
}
int32_t graft_engine_input_has_default(const graft_engine* engine, int32_t index) {
  return index >= 0 && engine->engine->input_default(static_cast<size_t>(index)) != nullptr;
}
int32_t graft_engine_find_input(const graft_engine* engine, const char* name) {
  return graft::Position([&] { return graft::FindInput(engine->engine->module(), name); });
}
int32_t graft_engine_find_output(const graft_engine* engine, const char* name) {
  return graft::Position([&] { return graft::FindOutput(engine->engine->module(), name); });
}
const char* graft_engine_backend(const graft_engine* engine) {
  return engine->engine->backend().name().data();
}
int32_t graft_engine_device(const graft_engine* engine) { return DeviceOf(engine).ordinal(); }
int32_t graft_engine_space(const graft_engine* engine) {
  return DeviceOf(engine).host_accessible() ? GRAFT_SPACE_HOST : GRAFT_SPACE_DEVICE;
}
int32_t graft_engine_registry_size(void) { return graft::EngineRegistry::Global().size(); }

graft_status* graft_device_allocate(const graft_engine* engine, size_t bytes, void* stream,
                                    void** memory) {
  *memory = nullptr;
  return Guarded([&]() -> Status {
    GRAFT_ASSIGN_OR_RETURN(*memory, DeviceOf(engine).AllocateAsync(bytes, stream));
    return OkStatus();
  });
}
graft_status* graft_device_free(const graft_engine* engine, void* memory, void* stream) {
  return Guarded([&] { return DeviceOf(engine).FreeAsync(memory, stream); });
}
graft_status* graft_device_copy(const graft_engine* engine, void* target, int32_t target_space,
                                const void* source, int32_t source_space, size_t bytes,
                                void* stream) {
  return Guarded([&]() -> Status {
    GRAFT_ASSIGN_OR_RETURN(const graft::MemorySpace to, graft::SpaceOf(target_space));
    GRAFT_ASSIGN_OR_RETURN(const graft::MemorySpace from, graft::SpaceOf(source_space));
    return graft::CopyBytes(DeviceOf(engine), target, to, source, from, bytes, stream);
  });
}
graft_status* graft_stream_wait(const graft_engine* engine, void* stream, void* other) {
  return Guarded([&]() -> Status {
    graft::Device& device = DeviceOf(engine);
    GRAFT_ASSIGN_OR_RETURN(void* const event, device.CreateEvent());
    Status status = device.Record(event, other);
    if (status.ok()) status = device.Wait(stream, event);
    device.DestroyEvent(event);  // what waits for it goes on waiting
    return status;
  });
}
graft_status* graft_stream_synchronize(const graft_engine* engine, void* stream) {
  return Guarded([&] { return DeviceOf(engine).Synchronize(stream); });
}

graft_status* graft_context_create(const graft_engine* engine,
                                   const graft_context_options* c_options,
                                   graft_context** context) {
  *context = nullptr;
  return Guarded([&]() -> Status {
    GRAFT_ASSIGN_OR_RETURN(
        const graft_context_options given,
        graft::ReadOptions<graft_context_options>(c_options, GRAFT_CONTEXT_OPTIONS_INIT));
    graft::ContextOptions options;
    if (given.schedule) {
      options.executor =
          graft::MakePoolExecutor(given.schedule, given.schedule_state, given.threads);
    } else if (engine->engine->backend().uses_executor()) {
      options.executor = graft::MakeTbbExecutor(given.threads);
    }
    auto handle = std::make_unique<graft_context>();
    if ((given.allocate == nullptr) != (given.deallocate == nullptr))
      return graft::InvalidArgumentError("one of allocate and deallocate is given alone");
    if (given.allocate) {
      handle->allocator = std::make_unique<graft::CallerAllocator>(given);
      options.allocator = handle->allocator.get();
    }
    options.arena_per_run = given.memory_per_run != 0;
    GRAFT_ASSIGN_OR_RETURN(handle->context,
                           graft::Context::Create(engine->engine, std::move(options)));
    *context = handle.release();
    return OkStatus();
  });
}

void graft_context_free(graft_context* context) { delete context; }

void graft_context_observe(graft_context* context, const graft_observer* observer) {
  context->context->Observe(nullptr);
  context->observer = observer ? std::make_unique<graft::CallerObserver>(*observer) : nullptr;
  context->context->Observe(context->observer.get());
}

graft_status* graft_context_run(graft_context* context, const graft_tensor* inputs,
                                int32_t input_count, graft_allocate_output_fn allocate,
                                void* state) {
  return graft::WithArguments(context, inputs, input_count, allocate, state,
                              [&](graft::OutputAllocator outputs) {
                                return context->context->Run(context->inputs, outputs);
                              });
}

graft_status* graft_context_enqueue(graft_context* context, const graft_tensor* inputs,
                                    int32_t input_count, graft_allocate_output_fn allocate,
                                    void* state, void* stream) {
  return graft::WithArguments(context, inputs, input_count, allocate, state,
                              [&](graft::OutputAllocator outputs) {
                                return context->context->Enqueue(context->inputs, outputs, stream);
                              });
}

}  // extern "C"
