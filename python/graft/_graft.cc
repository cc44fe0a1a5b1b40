// The Python extension: graft.Engine and the conversion of graphs, over the C API.
#include <graft/c_api.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace nb = nanobind;

namespace {

struct FreeObject {
  void operator()(graft_status* p) const { graft_status_free(p); }
  void operator()(graft_engine* p) const { graft_engine_free(p); }
  void operator()(graft_context* p) const { graft_context_free(p); }
  void operator()(graft_bytes* p) const { graft_bytes_free(p); }
  void operator()(graft_calibrator* p) const { graft_calibrator_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, FreeObject>;

// A failed status becomes the exception that Python users expect of it.
void Check(graft_status* raw) {
  if (raw == nullptr) return;
  const Owned<graft_status> status(raw);
  const std::string message = graft_status_message(status.get());
  switch (graft_status_code(status.get())) {
    case GRAFT_INVALID_ARGUMENT:
      throw nb::value_error(message.c_str());
    case GRAFT_NOT_FOUND:
      PyErr_SetString(PyExc_FileNotFoundError, message.c_str());
      throw nb::python_error();
    case GRAFT_RESOURCE_EXHAUSTED:
      PyErr_SetString(PyExc_MemoryError, message.c_str());
      throw nb::python_error();
    case GRAFT_UNSUPPORTED:
      PyErr_SetString(PyExc_NotImplementedError, message.c_str());
      throw nb::python_error();
    case GRAFT_IO:
      PyErr_SetString(PyExc_OSError, message.c_str());
      throw nb::python_error();
    default:
      throw std::runtime_error(message);
  }
}

// NumPy's names of TensorFlow's DataType numbers; quantized dtypes are the integers that they are
// stored as.
struct DTypeRow {
  int32_t number;
  const char* name;
};
constexpr DTypeRow kDTypes[] = {
    {1, "float32"}, {2, "float64"}, {3, "int32"},    {4, "uint8"},   {5, "int16"},  {6, "int8"},
    {9, "int64"},   {10, "bool"},   {11, "int8"},    {12, "uint8"},  {13, "int32"}, {15, "int16"},
    {16, "uint16"}, {17, "uint16"}, {19, "float16"}, {22, "uint32"}, {23, "uint64"}};
constexpr int32_t kBFloat16 = 14;  // NumPy's only by way of the package ml_dtypes

nb::object NumpyDType(nb::handle numpy, int32_t number) {
  if (number == kBFloat16) {
    return numpy.attr("dtype")(nb::module_::import_("ml_dtypes").attr("bfloat16"));
  }
  for (const DTypeRow& row : kDTypes) {
    if (row.number == number) return numpy.attr("dtype")(row.name);
  }
  throw std::runtime_error("a dtype that NumPy does not have: " + std::to_string(number));
}

nb::object NewArray(nb::handle numpy, int32_t dtype, const int64_t* dims, int32_t rank) {
  nb::list shape;
  for (int32_t i = 0; i < rank; ++i) shape.append(dims[i]);
  return numpy.attr("empty")(nb::tuple(shape), nb::arg("dtype") = NumpyDType(numpy, dtype));
}

// What Python's str() gives.
std::string TextOf(nb::handle object) { return nb::str(object).c_str(); }

// The address of a NumPy array's first element.
void* DataOf(nb::handle array) {
  return reinterpret_cast<void*>(nb::cast<uintptr_t>(array.attr("ctypes").attr("data")));
}

// Contexts of an engine, one for each caller that runs it at the moment; those that nobody uses
// wait for the next.
class ContextPool {
 public:
  void Open(graft_engine* engine, int threads) {
    engine_ = engine;
    threads_ = threads;
  }
  graft_status* Take(Owned<graft_context>* context) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        *context = std::move(idle_.back());
        idle_.pop_back();
        return nullptr;
      }
    }
    graft_context_options options = GRAFT_CONTEXT_OPTIONS_INIT;
    options.threads = threads_;
    graft_context* created = nullptr;
    graft_status* status = graft_context_create(engine_, &options, &created);
    context->reset(created);
    return status;
  }
  void GiveBack(Owned<graft_context> context) {
    // As many as could run at a time; what a burst of callers needed beyond that goes.
    const size_t most = std::max(std::thread::hardware_concurrency(), 1u);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.size() < most) idle_.push_back(std::move(context));
  }

 private:
  graft_engine* engine_ = nullptr;
  int threads_ = 0;
  std::mutex mutex_;  // guards idle_
  std::vector<Owned<graft_context>> idle_;
};

class Engine {
 public:
  Engine(const std::string& path, int threads) : numpy_(nb::module_::import_("numpy")) {
    graft_engine_options options = GRAFT_ENGINE_OPTIONS_INIT;
    options.threads = threads;
    graft_engine* engine = nullptr;
    graft_status* status;
    {
      nb::gil_scoped_release release;
      status = graft_engine_load(path.c_str(), &options, &engine);
    }
    Check(status);
    engine_.reset(engine);
    contexts_.Open(engine, threads);
    Owned<graft_context> first;  // an engine that nothing can run is no engine
    Check(contexts_.Take(&first));
    contexts_.GiveBack(std::move(first));
    for (int32_t i = 0; i < graft_engine_input_count(engine); ++i) {
      const graft_binding* b = graft_engine_input(engine, i);
      input_dtypes_.push_back(NumpyDType(numpy_, b->dtype));
    }
  }

  nb::list Inputs() const {
    return Bindings(graft_engine_input_count(engine_.get()), graft_engine_input,
                    graft_engine_input_has_default);
  }
  nb::list Outputs() const {
    return Bindings(graft_engine_output_count(engine_.get()), graft_engine_output,
                    [](const graft_engine*, int32_t) -> int32_t { return 0; });
  }

  nb::dict Run(const nb::dict& feed) {
    const int32_t count = graft_engine_input_count(engine_.get());
    std::vector<nb::object> arrays(count);
    std::vector<std::vector<int64_t>> dims(count);
    std::vector<graft_tensor> inputs(count);
    for (auto [key, value] : feed) {
      const std::string name = nb::cast<std::string>(key);
      const int32_t i = graft_engine_find_input(engine_.get(), name.c_str());
      if (i < 0) throw nb::value_error(("there is no input '" + name + "'").c_str());
      nb::object array = numpy_.attr("ascontiguousarray")(value);
      // ascontiguousarray makes a scalar a vector; the shape comes from the caller's array.
      const nb::object dtype = array.attr("dtype");
      if (!dtype.equal(input_dtypes_[i])) {
        throw nb::type_error(("input '" + name + "' has dtype " + TextOf(dtype) +
                              ", the engine takes " + TextOf(input_dtypes_[i]))
                                 .c_str());
      }
      for (nb::handle d : nb::tuple(numpy_.attr("shape")(value)))
        dims[i].push_back(nb::cast<int64_t>(d));
      arrays[i] = std::move(array);
      inputs[i] = GRAFT_TENSOR_INIT;
      inputs[i].dtype = graft_engine_input(engine_.get(), i)->dtype;
      inputs[i].rank = static_cast<int32_t>(dims[i].size());
      inputs[i].dims = dims[i].data();
      inputs[i].data = DataOf(arrays[i]);
    }
    for (int32_t i = 0; i < count; ++i) {
      if (arrays[i].is_valid()) continue;
      inputs[i] = GRAFT_TENSOR_INIT;  // it takes its default
      if (!graft_engine_input_has_default(engine_.get(), i)) {
        throw nb::value_error(
            ("no array for input '" + std::string(graft_engine_input(engine_.get(), i)->name) + "'")
                .c_str());
      }
    }
    Sink sink{this, std::vector<nb::object>(graft_engine_output_count(engine_.get())), {}};
    graft_status* status;
    {
      nb::gil_scoped_release release;
      Owned<graft_context> context;
      status = contexts_.Take(&context);
      if (status == nullptr) {
        status = graft_context_run(context.get(), inputs.data(), count, &Engine::Allocate, &sink);
        contexts_.GiveBack(std::move(context));
      }
    }
    if (!sink.error.empty()) {
      graft_status_free(status);
      throw std::runtime_error(sink.error);
    }
    Check(status);
    nb::dict results;
    for (size_t i = 0; i < sink.arrays.size(); ++i) {
      results[graft_engine_output(engine_.get(), static_cast<int32_t>(i))->name] = sink.arrays[i];
    }
    return results;
  }

 private:
  struct Sink {
    Engine* engine;
    std::vector<nb::object> arrays;
    std::string error;
  };

  // graft_allocate_output_fn
  static void Allocate(void* state, const graft_output_request* request,
                       graft_output_memory* memory) {
    auto* sink = static_cast<Sink*>(state);
    nb::gil_scoped_acquire acquire;
    try {
      nb::object& array = sink->arrays[request->output];
      array = NewArray(sink->engine->numpy_, request->dtype, request->dims, request->rank);
      memory->data = DataOf(array);
    } catch (const std::exception& e) {
      sink->error = e.what();
    }
  }

  nb::list Bindings(int32_t count, const graft_binding* (*get)(const graft_engine*, int32_t),
                    int32_t (*has_default)(const graft_engine*, int32_t)) const {
    nb::list list;
    nb::object make = nb::module_::import_("graft._binding").attr("Binding");
    for (int32_t i = 0; i < count; ++i) {
      const graft_binding* b = get(engine_.get(), i);
      nb::list shape;
      for (int32_t k = 0; k < b->rank; ++k)
        shape.append(b->dims[k] < 0 ? nb::object(nb::none()) : nb::object(nb::int_(b->dims[k])));
      list.append(make(b->name, b->binding_name, NumpyDType(numpy_, b->dtype), nb::tuple(shape),
                       has_default(engine_.get(), i) != 0));
    }
    return list;
  }

  nb::module_ numpy_;
  Owned<graft_engine> engine_;
  ContextPool contexts_;  // after the engine, so that they go before it
  std::vector<nb::object> input_dtypes_;
};

nb::bytes ToBytes(const graft_bytes* bytes) {
  return nb::bytes(graft_bytes_data(bytes), graft_bytes_size(bytes));
}

nb::tuple ConvertGraphDef(const nb::bytes& graph_def, const std::string& options_json) {
  graft_bytes *converted = nullptr, *report = nullptr;
  graft_status* status;
  {
    nb::gil_scoped_release release;
    status = graft_convert_graph_def(graph_def.c_str(), graph_def.size(), options_json.c_str(),
                                     &converted, &report);
  }
  Check(status);
  const Owned<graft_bytes> owned_converted(converted), owned_report(report);
  return nb::make_tuple(ToBytes(converted), ToBytes(report));
}

nb::bytes ConvertModel(const std::string& path, const std::string& output,
                       const std::string& options_json) {
  graft_bytes* report = nullptr;
  graft_status* status;
  {
    nb::gil_scoped_release release;
    status = graft_convert_model(path.c_str(), output.c_str(), options_json.c_str(), &report);
  }
  Check(status);
  const Owned<graft_bytes> owned(report);
  return ToBytes(report);
}

// NumPy arrays as the C API takes them, contiguous.
class Arrays {
 public:
  explicit Arrays(const nb::list& values) : dims_(nb::len(values)) {
    const nb::module_ numpy = nb::module_::import_("numpy");
    for (size_t i = 0; i < dims_.size(); ++i) {
      arrays_.push_back(numpy.attr("ascontiguousarray")(values[i]));
      const nb::object& array = arrays_.back();
      for (nb::handle n : array.attr("shape")) dims_[i].push_back(nb::cast<int64_t>(n));
      const std::string dtype = TextOf(array.attr("dtype"));
      graft_tensor tensor = GRAFT_TENSOR_INIT;
      for (const DTypeRow& row : kDTypes) {
        if (tensor.dtype == 0 && dtype == row.name) tensor.dtype = row.number;
      }
      if (dtype == "bfloat16") tensor.dtype = kBFloat16;
      if (tensor.dtype == 0) throw nb::type_error(("no engine takes " + dtype).c_str());
      tensor.rank = static_cast<int32_t>(dims_[i].size());
      tensor.dims = dims_[i].data();
      tensor.data = DataOf(array);
      tensors_.push_back(tensor);
    }
  }
  const graft_tensor* data() const { return tensors_.data(); }
  int32_t size() const { return static_cast<int32_t>(tensors_.size()); }

 private:
  std::vector<nb::object> arrays_;
  std::vector<std::vector<int64_t>> dims_;
  std::vector<graft_tensor> tensors_;
};

// The ranges of a native segment (a FunctionDef's bytes), from batches of its arguments.
class Calibrator {
 public:
  Calibrator(const nb::bytes& function_def, std::string options_json)
      : function_def_(function_def.c_str(), function_def.size()),
        options_json_(std::move(options_json)) {}

  void Add(const nb::list& arguments) {
    const Arrays arrays(arguments);
    nb::gil_scoped_release release;
    graft_status* status = nullptr;
    // The first batch says ranks and dtypes.
    if (calibrator_ == nullptr) {
      graft_calibrator* created = nullptr;
      status = graft_calibrator_create(function_def_.data(), function_def_.size(), arrays.data(),
                                       arrays.size(), options_json_.c_str(), &created);
      calibrator_.reset(created);
    }
    if (status == nullptr)
      status = graft_calibrator_add(calibrator_.get(), arrays.data(), arrays.size());
    nb::gil_scoped_acquire acquire;
    Check(status);
  }

  nb::bytes Finish(const std::string& name) const {
    if (calibrator_ == nullptr) throw nb::value_error("no batch was added");
    graft_bytes* table = nullptr;
    Check(graft_calibrator_finish(calibrator_.get(), name.c_str(), &table));
    const Owned<graft_bytes> owned(table);
    return ToBytes(table);
  }

 private:
  const std::string function_def_;
  const std::string options_json_;
  Owned<graft_calibrator> calibrator_;
};

}  // namespace

NB_MODULE(_graft, m) {
  m.doc() = "Graft's engine, over its C API.";
  nb::class_<Engine>(m, "Engine")
      .def(nb::init<const std::string&, int>(), nb::arg("path"), nb::arg("threads") = 0)
      .def("run", &Engine::Run, nb::arg("inputs"))
      .def_prop_ro("inputs", &Engine::Inputs)
      .def_prop_ro("outputs", &Engine::Outputs);
  nb::class_<Calibrator>(m, "Calibrator")
      .def(nb::init<const nb::bytes&, std::string>(), nb::arg("function_def"),
           nb::arg("options_json"))
      .def("add", &Calibrator::Add, nb::arg("arguments"))
      .def("finish", &Calibrator::Finish, nb::arg("calibrator"));
  m.def("convert_graph_def", &ConvertGraphDef, nb::arg("graph_def"), nb::arg("options_json"));
  m.def("convert_model", &ConvertModel, nb::arg("path"), nb::arg("output"),
        nb::arg("options_json"));
  m.def("version", [] { return std::string(graft_version()); });
  // That the op library is compiled against; "" where there is none.
  m.attr("tensorflow_version") = GRAFT_TENSORFLOW_VERSION;
}
