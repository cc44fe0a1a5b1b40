// The Python extension: graft.Engine and the conversion of graphs, over the C API.
#include <graft/c_api.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common.h"
#include "device_array.h"

namespace nb = nanobind;

using graft_python::Check;
using graft_python::DataOf;
using graft_python::DeviceArray;
using graft_python::DeviceMemory;
using graft_python::ForeignArray;
using graft_python::ImportArray;
using graft_python::IsOnDevice;
using graft_python::kDefaultStream;
using graft_python::NewArray;
using graft_python::NumberOf;
using graft_python::NumpyDType;
using graft_python::Owned;
using graft_python::StorageOf;
using graft_python::StreamOf;
using graft_python::TextOf;

namespace {

// Contexts of an engine, one for each caller that runs it at the moment; those that nobody uses
// wait for the next. A context whose last run may be under way on a stream serves that stream.
class ContextPool {
 public:
  struct Entry {
    Owned<graft_context> context;
    void* stream = nullptr;  // of its last run, unless that was waited for
  };
  void Open(graft_engine* engine, int threads) {
    engine_ = engine;
    threads_ = threads;
  }
  graft_status* Take(void* stream, Entry* entry) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      auto found = std::find_if(idle_.rbegin(), idle_.rend(),
                                [&](const Entry& e) { return e.stream == stream; });
      if (found == idle_.rend()) {
        found = std::find_if(idle_.rbegin(), idle_.rend(),
                             [](const Entry& e) { return e.stream == nullptr; });
      }
      // The oldest: its stream has probably come to the end.
      if (found == idle_.rend() && idle_.size() >= Most()) found = std::prev(idle_.rend());
      if (found != idle_.rend()) {
        *entry = std::move(*found);
        idle_.erase(std::next(found).base());
        return nullptr;
      }
    }
    graft_context_options options = GRAFT_CONTEXT_OPTIONS_INIT;
    options.threads = threads_;
    graft_context* created = nullptr;
    graft_status* status = graft_context_create(engine_, &options, &created);
    entry->context.reset(created);
    return status;
  }
  void GiveBack(Entry entry) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.size() < Most()) idle_.push_back(std::move(entry));
  }

 private:
  // As many as could run at a time; what a burst of callers needed beyond that goes.
  static size_t Most() { return std::max(std::thread::hardware_concurrency(), 8u); }

  graft_engine* engine_ = nullptr;
  int threads_ = 0;
  std::mutex mutex_;  // guards idle_
  std::vector<Entry> idle_;
};

// An input or output of one run: an array of NumPy's, or one on the device.
struct RunArray {
  nb::object object;
  std::vector<int64_t> dims;
  void* data = nullptr;
  int32_t space = GRAFT_SPACE_HOST;
};

std::string ShapeText(const std::vector<int64_t>& dims) {
  std::string text;
  for (const int64_t n : dims) text += (text.empty() ? "" : ", ") + std::to_string(n);
  return "(" + text + (dims.size() == 1 ? ",)" : ")");
}

class Engine {
 public:
  Engine(const std::string& path, int threads, const std::optional<std::string>& device, bool tune)
      : numpy_(nb::module_::import_("numpy")), ndarray_(numpy_.attr("ndarray")) {
    graft_engine_options options = GRAFT_ENGINE_OPTIONS_INIT;
    options.threads = threads;
    options.tune = tune;
    if (device) options.device_name = device->c_str();
    graft_engine* engine = nullptr;
    graft_status* status;
    {
      nb::gil_scoped_release release;
      status = graft_engine_load(path.c_str(), &options, &engine);
    }
    Check(status);
    engine_ = std::shared_ptr<graft_engine>(engine, graft_engine_free);
    contexts_.Open(engine, threads);
    ContextPool::Entry first;  // an engine that nothing can run is no engine
    Check(contexts_.Take(nullptr, &first));
    contexts_.GiveBack(std::move(first));
    for (int32_t i = 0; i < graft_engine_input_count(engine); ++i)
      input_dtypes_.push_back(NumpyDType(graft_engine_input(engine, i)->dtype));
    for (int32_t i = 0; i < graft_engine_output_count(engine); ++i)
      output_dtypes_.push_back(NumpyDType(graft_engine_output(engine, i)->dtype));
  }

  nb::list Inputs() const {
    return Bindings(graft_engine_input_count(engine_.get()), graft_engine_input,
                    graft_engine_input_has_default);
  }
  nb::list Outputs() const {
    return Bindings(graft_engine_output_count(engine_.get()), graft_engine_output,
                    [](const graft_engine*, int32_t) -> int32_t { return 0; });
  }
  std::string Device() const {
    const std::string backend = graft_engine_backend(engine_.get());
    return OnHost() ? backend : backend + ":" + std::to_string(graft_engine_device(engine_.get()));
  }

  nb::dict Run(const nb::dict& feed, const std::optional<nb::dict>& targets, nb::handle stream) {
    Call call;
    call.engine = this;
    if (!stream.is_none()) {
      if (OnHost()) throw nb::value_error(("stream: the engine runs on the " + Device()).c_str());
      call.stream = StreamOf(stream);
    }
    // Whether each of the inputs, then of the outputs, is on the device.
    std::vector<bool> places;
    for (auto [key, value] : feed) places.push_back(IsForeign(value));
    if (targets) {
      for (auto [key, value] : *targets) places.push_back(IsForeign(value));
    }
    // Arrays on the device without a stream are those of the default one.
    if (call.stream == nullptr && std::ranges::find(places, true) != places.end())
      call.stream = kDefaultStream;

    const int32_t count = graft_engine_input_count(engine_.get());
    std::vector<RunArray> arrays(count);
    std::vector<graft_tensor> inputs(count);
    bool waits = stream.is_none();  // for what has been queued
    call.keeps_on_device = !stream.is_none();
    size_t place = 0;
    for (auto [key, value] : feed) {
      const std::string name = nb::cast<std::string>(key);
      const int32_t i = graft_engine_find_input(engine_.get(), name.c_str());
      if (i < 0) throw nb::value_error(("there is no input '" + name + "'").c_str());
      arrays[i] = Import(/*written=*/false, name, value, places[place++], input_dtypes_[i],
                         graft_engine_input(engine_.get(), i)->dtype, call.stream);
      waits |= arrays[i].space == GRAFT_SPACE_HOST;
      call.keeps_on_device |= arrays[i].space == GRAFT_SPACE_DEVICE;
    }
    for (int32_t i = 0; i < count; ++i) {
      inputs[i] = GRAFT_TENSOR_INIT;
      const graft_binding* const binding = graft_engine_input(engine_.get(), i);
      if (arrays[i].object.is_valid()) {
        inputs[i].dtype = binding->dtype;
        inputs[i].rank = static_cast<int32_t>(arrays[i].dims.size());
        inputs[i].dims = arrays[i].dims.data();
        inputs[i].data = arrays[i].data;
        inputs[i].space = arrays[i].space;
      } else if (!graft_engine_input_has_default(engine_.get(), i)) {  // else it takes that
        throw nb::value_error(("no array for input '" + std::string(binding->name) + "'").c_str());
      }
    }
    call.outputs.resize(graft_engine_output_count(engine_.get()));
    if (targets) {
      for (auto [key, value] : *targets) {
        const std::string name = nb::cast<std::string>(key);
        const int32_t i = graft_engine_find_output(engine_.get(), name.c_str());
        if (i < 0) throw nb::value_error(("there is no output '" + name + "'").c_str());
        call.outputs[i] = Import(/*written=*/true, name, value, places[place++], output_dtypes_[i],
                                 graft_engine_output(engine_.get(), i)->dtype, call.stream);
        call.outputs[i].object = nb::borrow(value);
      }
    }
    graft_status* status;
    {
      nb::gil_scoped_release release;
      status = RunOnce(inputs, &call, &waits);
    }
    if (!call.error.empty()) {
      graft_status_free(status);
      throw nb::value_error(call.error.c_str());
    }
    Check(status);
    nb::dict results;
    for (size_t i = 0; i < call.outputs.size(); ++i) {
      results[graft_engine_output(engine_.get(), static_cast<int32_t>(i))->name] =
          call.outputs[i].object;
    }
    return results;
  }

 private:
  struct Call {
    Engine* engine = nullptr;
    void* stream = nullptr;        // null: the context's own
    bool keeps_on_device = false;  // outputs that the caller gave no array for
    std::vector<RunArray> outputs;
    std::string error;
  };

  // To ask NumPy's arrays, which are never there, would cost each call.
  bool IsForeign(nb::handle value) const {
    return !nb::isinstance(value, ndarray_) && IsOnDevice(value);
  }
  bool OnHost() const { return graft_engine_space(engine_.get()) == GRAFT_SPACE_HOST; }

  graft_status* RunOnce(const std::vector<graft_tensor>& inputs, Call* call, bool* waits) {
    const auto count = static_cast<int32_t>(inputs.size());
    ContextPool::Entry entry;
    if (graft_status* failed = contexts_.Take(call->stream, &entry)) return failed;
    graft_status* status;
    if (call->stream == nullptr) {
      status =
          graft_context_run(entry.context.get(), inputs.data(), count, &Engine::Allocate, call);
    } else {
      status = graft_context_enqueue(entry.context.get(), inputs.data(), count, &Engine::Allocate,
                                     call, call->stream);
      for (const RunArray& output : call->outputs) *waits |= output.space == GRAFT_SPACE_HOST;
      if (status == nullptr && *waits)
        status = graft_stream_synchronize(engine_.get(), call->stream);
    }
    entry.stream = *waits || status != nullptr ? nullptr : call->stream;
    contexts_.GiveBack(std::move(entry));
    return status;
  }

  // A caller's array for an input or output, checked but for its shape. wanted: NumPy's dtype, of
  // `number`.
  RunArray Import(bool written, const std::string& name, nb::handle value, bool on_device,
                  nb::handle wanted, int32_t number, void* stream) const {
    const auto what = [&] { return (written ? "output '" : "input '") + name + "'"; };
    const auto refuse_dtype = [&](const std::string& dtype) {
      return nb::type_error((what() + " has dtype " + dtype + ", the engine " +
                             (written ? "gives " : "takes ") + TextOf(wanted))
                                .c_str());
    };
    if (on_device) {
      if (OnHost()) {
        throw nb::value_error(
            (what() + " is on a CUDA device, the engine runs on the " + Device()).c_str());
      }
      ForeignArray foreign = ImportArray(value, engine_.get(), stream);
      if (foreign.device.id >= 0 && foreign.device.id != graft_engine_device(engine_.get())) {
        throw nb::value_error((what() + " is on cuda:" + std::to_string(foreign.device.id) +
                               ", the engine runs on " + Device())
                                  .c_str());
      }
      if (foreign.dtype != StorageOf(number)) {
        throw refuse_dtype(foreign.dtype == 0 ? foreign.other_dtype
                                              : TextOf(NumpyDType(foreign.dtype)));
      }
      if (!foreign.dense) {
        throw nb::value_error(
            (what() + " is not contiguous, which arrays on a device must be").c_str());
      }
      return {std::move(foreign.owner), std::move(foreign.dims), foreign.data, GRAFT_SPACE_DEVICE};
    }
    RunArray array;
    if (written) {
      array.object = nb::borrow(value);
      if (!nb::isinstance(value, ndarray_) ||
          !nb::cast<bool>(value.attr("flags").attr("c_contiguous")) ||
          !nb::cast<bool>(value.attr("flags").attr("writeable"))) {
        throw nb::type_error((what() + " needs a contiguous NumPy array that can be written, or an "
                                       "array on the engine's device")
                                 .c_str());
      }
    } else {
      array.object = numpy_.attr("ascontiguousarray")(value);
    }
    const nb::object dtype = array.object.attr("dtype");
    if (!dtype.equal(wanted)) throw refuse_dtype(TextOf(dtype));
    // ascontiguousarray makes a scalar a vector; the shape comes from the caller's array.
    for (nb::handle d : nb::tuple(numpy_.attr("shape")(value)))
      array.dims.push_back(nb::cast<int64_t>(d));
    array.data = DataOf(array.object);
    return array;
  }

  // graft_allocate_output_fn
  static void Allocate(void* state, const graft_output_request* request,
                       graft_output_memory* memory) {
    auto* const call = static_cast<Call*>(state);
    const nb::gil_scoped_acquire acquire;
    try {
      RunArray& output = call->outputs[request->output];
      const std::vector<int64_t> dims(request->dims, request->dims + request->rank);
      const Engine& engine = *call->engine;
      if (output.object.is_valid()) {
        if (output.dims != dims) {
          const graft_binding* binding = graft_engine_output(engine.engine_.get(), request->output);
          call->error = "output '" + std::string(binding->name) + "' has shape " + ShapeText(dims) +
                        ", the array for it " + ShapeText(output.dims);
          return;
        }
      } else if (call->keeps_on_device) {
        auto block = std::make_shared<DeviceMemory>(engine.engine_, request->bytes, call->stream);
        output.data = block->data();
        output.space = GRAFT_SPACE_DEVICE;
        output.object =
            nb::cast(DeviceArray(std::move(block), request->dtype, dims, request->bytes));
      } else {
        output.object = NewArray(engine.numpy_, engine.output_dtypes_[request->output], dims);
        output.data = DataOf(output.object);
      }
      memory->data = output.data;
      memory->space = output.space;
    } catch (const std::exception& e) {
      call->error = e.what();
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
      list.append(make(b->name, b->binding_name, NumpyDType(b->dtype), nb::tuple(shape),
                       has_default(engine_.get(), i) != 0));
    }
    return list;
  }

  nb::module_ numpy_;
  nb::object ndarray_;
  std::vector<nb::object> input_dtypes_, output_dtypes_;
  std::shared_ptr<graft_engine> engine_;
  ContextPool contexts_;  // after the engine, so that they go before it
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
      // ascontiguousarray makes a scalar a vector; the shape comes from the caller's array.
      for (nb::handle n : nb::tuple(numpy.attr("shape")(values[i])))
        dims_[i].push_back(nb::cast<int64_t>(n));
      const std::string dtype = TextOf(array.attr("dtype"));
      graft_tensor tensor = GRAFT_TENSOR_INIT;
      tensor.dtype = NumberOf(dtype);
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

  // The table with a choice of precisions, and the report of that.
  nb::tuple Choose(const std::string& name, const std::string& options_json) const {
    if (calibrator_ == nullptr) throw nb::value_error("no batch was added");
    graft_bytes *table = nullptr, *report = nullptr;
    graft_status* status;
    {
      nb::gil_scoped_release release;
      status = graft_calibrator_choose(calibrator_.get(), name.c_str(), options_json.c_str(),
                                       &table, &report);
    }
    Check(status);
    const Owned<graft_bytes> owned_table(table), owned_report(report);
    return nb::make_tuple(ToBytes(table), ToBytes(report));
  }

 private:
  const std::string function_def_;
  const std::string options_json_;
  Owned<graft_calibrator> calibrator_;
};

}  // namespace

NB_MODULE(_graft, m) {
  m.doc() = "Graft's engine, over its C API.";
  nb::class_<Engine>(m, "Engine",
                     "A plan, ready to run. Several Python threads may run it at a time: each call "
                     "has a context with `threads` threads of its own (0: all processors). For "
                     "throughput, take threads=1 and as many callers as there are processors.")
      .def(nb::init<const std::string&, int, const std::optional<std::string>&, bool>(),
           nb::arg("path"), nb::arg("threads") = 0, nb::arg("device") = nb::none(),
           nb::arg("tune") = false)
      .def("run", &Engine::Run, nb::arg("inputs"), nb::arg("outputs") = nb::none(),
           nb::arg("stream") = nb::none())
      .def_prop_ro("device", &Engine::Device)
      .def_prop_ro("inputs", &Engine::Inputs)
      .def_prop_ro("outputs", &Engine::Outputs);
  nb::class_<DeviceArray>(m, "DeviceArray")
      .def_prop_ro("shape", &DeviceArray::shape)
      .def_prop_ro("dtype", &DeviceArray::dtype)
      .def_prop_ro("nbytes", &DeviceArray::bytes)
      .def_prop_ro("device", &DeviceArray::device)
      .def_prop_ro("__cuda_array_interface__", &DeviceArray::CudaArrayInterface)
      .def("__dlpack_device__", &DeviceArray::DlPackDevice)
      // What else a consumer asks for (a version, a copy) is its to check.
      .def("__dlpack__",
           [](const DeviceArray& array, const nb::args&, const nb::kwargs& wanted) {
             return array.DlPack(wanted.contains("stream") ? nb::object(wanted["stream"])
                                                           : nb::none());
           })
      .def("numpy", &DeviceArray::ToNumpy)
      .def("__array__", [](const DeviceArray& array, const nb::args&, const nb::kwargs&) {
        return array.ToNumpy();
      });
  nb::class_<Calibrator>(m, "Calibrator")
      .def(nb::init<const nb::bytes&, std::string>(), nb::arg("function_def"),
           nb::arg("options_json"))
      .def("add", &Calibrator::Add, nb::arg("arguments"))
      .def("finish", &Calibrator::Finish, nb::arg("calibrator"))
      .def("choose", &Calibrator::Choose, nb::arg("calibrator"), nb::arg("options_json"));
  m.def("convert_graph_def", &ConvertGraphDef, nb::arg("graph_def"), nb::arg("options_json"));
  m.def("convert_model", &ConvertModel, nb::arg("path"), nb::arg("output"),
        nb::arg("options_json"));
  m.def("version", [] { return std::string(graft_version()); });
  // That the op library is compiled against; "" where there is none.
  m.attr("tensorflow_version") = GRAFT_TENSORFLOW_VERSION;
}
