// Running plans from C++: a thin layer over c_api.h, so that programs depend on the C ABI alone.
//
//   auto engine = graft::api::Engine::Load("model.plan");
//   auto context = graft::api::Context::Create(*engine);
//   auto outputs = context->Run({{1, {1, 224, 224, 3}, pixels}});
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graft/c_api.h"
#include "graft/status.h"

namespace graft::api {

struct LoadOptions {
  bool map_file = true;  // false: the file is copied, for files that others may write to
  bool check_all_weights = false;
  int threads = 0;  // that pack weights; 0: one for each processor
};

struct Binding {
  std::string name;           // the model's
  std::string binding_name;   // "TensorRTInputPH_0"
  int dtype = 0;              // TensorFlow's DataType
  std::vector<int64_t> dims;  // -1 where not fixed
  bool has_default = false;   // of an input that need not be fed
};

// Made once, shared by threads; cheap to copy.
class Engine {
 public:
  static Result<Engine> Load(const std::string& path, const LoadOptions& options = {}) {
    const graft_engine_options c_options = ToC(options);
    graft_engine* engine = nullptr;
    Status status(graft_engine_load(path.c_str(), &c_options, &engine));
    if (!status.ok()) return status;
    return Engine(engine);
  }
  // The bytes are copied.
  static Result<Engine> FromBytes(const void* data, size_t size, const LoadOptions& options = {}) {
    const graft_engine_options c_options = ToC(options);
    graft_engine* engine = nullptr;
    Status status(graft_engine_from_bytes(data, size, &c_options, &engine));
    if (!status.ok()) return status;
    return Engine(engine);
  }

  std::vector<Binding> inputs() const {
    std::vector<Binding> bindings;
    for (int32_t i = 0; i < graft_engine_input_count(get()); ++i)
      bindings.push_back(FromC(*graft_engine_input(get(), i)));
    for (int32_t i = 0; i < graft_engine_input_count(get()); ++i)
      bindings[i].has_default = graft_engine_input_has_default(get(), i) != 0;
    return bindings;
  }
  std::vector<Binding> outputs() const {
    std::vector<Binding> bindings;
    for (int32_t i = 0; i < graft_engine_output_count(get()); ++i)
      bindings.push_back(FromC(*graft_engine_output(get(), i)));
    return bindings;
  }
  // Position by the model's name or the binding's.
  std::optional<int> FindInput(const std::string& name) const {
    const int32_t index = graft_engine_find_input(get(), name.c_str());
    return index < 0 ? std::nullopt : std::optional<int>(index);
  }
  std::optional<int> FindOutput(const std::string& name) const {
    const int32_t index = graft_engine_find_output(get(), name.c_str());
    return index < 0 ? std::nullopt : std::optional<int>(index);
  }
  const graft_engine* get() const { return engine_.get(); }

 private:
  explicit Engine(graft_engine* engine) : engine_(engine, graft_engine_free) {}
  static graft_engine_options ToC(const LoadOptions& options) {
    graft_engine_options c_options = GRAFT_ENGINE_OPTIONS_INIT;
    c_options.map_file = options.map_file;
    c_options.check_all_weights = options.check_all_weights;
    c_options.threads = options.threads;
    return c_options;
  }
  static Binding FromC(const graft_binding& b) {
    return {b.name, b.binding_name, b.dtype, std::vector<int64_t>(b.dims, b.dims + b.rank)};
  }

  std::shared_ptr<graft_engine> engine_;
};

// An input, borrowed during the call. With the dtype 0, as it comes, it takes its default.
struct InputView {
  int dtype = 0;
  std::vector<int64_t> dims;
  const void* data = nullptr;
  graft_space space = GRAFT_SPACE_HOST;
};

struct OutputTensor {
  int dtype = 0;
  std::vector<int64_t> dims;
  std::vector<std::byte> bytes;
  template <class T>
  const T* data() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
};

// One caller's execution state; not for two threads at a time.
class Context {
 public:
  // threads: the caller's included; 0: one for each processor.
  static Result<Context> Create(const Engine& engine, int threads = 0) {
    graft_context_options options = GRAFT_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    graft_context* context = nullptr;
    Status status(graft_context_create(engine.get(), &options, &context));
    if (!status.ok()) return status;
    return Context(context);
  }

  // Inputs in the engine's order.
  Result<std::vector<OutputTensor>> Run(const std::vector<InputView>& inputs) {
    std::vector<graft_tensor> tensors;
    for (const InputView& input : inputs) {
      tensors.push_back({sizeof(graft_tensor), input.dtype, static_cast<int32_t>(input.dims.size()),
                         input.dims.data(), input.data, input.space});
    }
    std::vector<OutputTensor> outputs;
    const auto allocate = [](void* state, const graft_output_request* request,
                             graft_output_memory* memory) {
      auto* list = static_cast<std::vector<OutputTensor>*>(state);
      list->push_back({request->dtype,
                       std::vector<int64_t>(request->dims, request->dims + request->rank),
                       std::vector<std::byte>(request->bytes)});
      memory->data = list->back().bytes.data();
    };
    Status status(graft_context_run(context_.get(), tensors.data(),
                                    static_cast<int32_t>(tensors.size()), allocate, &outputs));
    if (!status.ok()) return status;
    return outputs;
  }

  graft_context* get() const { return context_.get(); }

 private:
  explicit Context(graft_context* context) : context_(context, graft_context_free) {}
  std::unique_ptr<graft_context, void (*)(graft_context*)> context_;
};

}  // namespace graft::api
