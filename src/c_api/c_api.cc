#include "graft/c_api.h"

#include <cstring>

#include "base/log.h"
#include "c_api/handles.h"
#include "runtime/engine_registry.h"
#include "runtime/load.h"

namespace graft {
namespace {

static_assert(static_cast<int>(StatusCode::kInternal) == GRAFT_INTERNAL,
              "graft_code follows StatusCode");

// Options as far as the caller's version of the struct goes; the rest keeps its default.
template <class T>
T ReadOptions(const T* options, T defaults) {
  if (options) std::memcpy(&defaults, options, std::min(options->struct_size, sizeof(T)));
  return defaults;
}

// A tensor over a caller's memory, which is released with its last reference.
Result<Tensor> Take(const graft_weight& weight) {
  std::shared_ptr<void> owner(weight.release_state, [release = weight.release](void* state) {
    if (release) release(state);
  });
  const auto dtype = static_cast<DType>(weight.tensor.dtype);
  const std::span<const int64_t> dims(weight.tensor.dims, static_cast<size_t>(weight.tensor.rank));
  if (SizeOf(dtype) == 0 || CountElements(dims) < 0)
    return InvalidArgumentError("a weight is {}", Describe(dtype, dims));
  return Tensor(dtype, Dims(dims.begin(), dims.end()),
                std::shared_ptr<const std::byte>(
                    std::move(owner), static_cast<const std::byte*>(weight.tensor.data)));
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

// `load` gives an engine for the options.
template <class F>
graft_status* Load(const graft_engine_options* c_options, graft_engine** engine, F&& load) {
  *engine = nullptr;
  return Guarded([&]() -> Status {
    const graft_engine_options given =
        ReadOptions<graft_engine_options>(c_options, GRAFT_ENGINE_OPTIONS_INIT);
    const std::unique_ptr<Executor> executor = MakeTbbExecutor(given.threads);
    LoadOptions options;
    options.map = given.map_file != 0;
    options.engine.executor = executor.get();
    options.plan.check_all_weights = given.check_all_weights != 0;
    if (given.find_weight) {
      options.plan.external_weight = [&](const std::string& name, auto fits) -> Result<Tensor> {
        graft_weight weight = {};
        if (given.find_weight(given.find_weight_state, name.c_str(), &weight) == 0) {
          GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Take(weight));
          if (fits(tensor)) return tensor;
        }
        for (int32_t i = 0;
             given.weight_at && given.weight_at(given.find_weight_state, i, &weight) == 0; ++i) {
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

}  // namespace
}  // namespace graft

using graft::Guarded;
using graft::OkStatus;
using graft::Result;
using graft::Status;

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
int32_t graft_engine_find_input(const graft_engine* engine, const char* name) {
  const Result<int> index = graft::FindInput(engine->engine->module(), name);
  return index.ok() ? *index : -1;
}
int32_t graft_engine_find_output(const graft_engine* engine, const char* name) {
  const Result<int> index = graft::FindOutput(engine->engine->module(), name);
  return index.ok() ? *index : -1;
}
const char* graft_engine_backend(const graft_engine* engine) {
  return engine->engine->backend().name().data();
}
int32_t graft_engine_registry_size(void) { return graft::EngineRegistry::Global().size(); }

graft_status* graft_context_create(const graft_engine* engine,
                                   const graft_context_options* c_options,
                                   graft_context** context) {
  *context = nullptr;
  return Guarded([&]() -> Status {
    const graft_context_options given =
        graft::ReadOptions<graft_context_options>(c_options, GRAFT_CONTEXT_OPTIONS_INIT);
    graft::ContextOptions options;
    if (given.schedule) {
      options.executor =
          graft::MakePoolExecutor(given.schedule, given.schedule_state, given.threads);
    } else {
      options.executor = graft::MakeTbbExecutor(given.threads);
    }
    auto handle = std::make_unique<graft_context>();
    GRAFT_ASSIGN_OR_RETURN(handle->context,
                           graft::Context::Create(engine->engine, std::move(options)));
    *context = handle.release();
    return OkStatus();
  });
}

void graft_context_free(graft_context* context) { delete context; }

graft_status* graft_context_run(graft_context* context, const graft_tensor* inputs,
                                int32_t input_count, graft_allocate_output_fn allocate,
                                void* state) {
  return Guarded([&]() -> Status {
    context->inputs.clear();
    for (int32_t i = 0; i < input_count; ++i) {
      context->inputs.push_back({static_cast<graft::DType>(inputs[i].dtype),
                                 {inputs[i].dims, static_cast<size_t>(inputs[i].rank)},
                                 inputs[i].data});
    }
    return context->context->Run(
        context->inputs,
        [&](int output, graft::DType dtype, std::span<const int64_t> dims,
            size_t bytes) -> Result<void*> {
          void* memory = allocate(state, output, static_cast<int32_t>(dtype), dims.data(),
                                  static_cast<int32_t>(dims.size()), bytes);
          if (!memory && bytes > 0)
            return graft::ResourceExhaustedError("no memory for output {}", output);
          return memory;
        });
  });
}

}  // extern "C"
