#include "device_array.h"

#include <cstring>

namespace graft_python {
namespace {

constexpr const char* kCapsule = "dltensor";

// DLPack's type codes by TensorFlow's dtypes.
enum DlCode : uint8_t { kInt = 0, kUnsigned = 1, kFloat = 2, kBFloat = 4, kComplex = 5, kBool = 6 };
struct DlRow {
  int32_t dtype;
  DlCode code;
  uint8_t bits;
};
constexpr DlRow kDlDTypes[] = {{1, kFloat, 32},     {2, kFloat, 64},  {3, kInt, 32},
                               {4, kUnsigned, 8},   {5, kInt, 16},    {6, kInt, 8},
                               {9, kInt, 64},       {10, kBool, 8},   {14, kBFloat, 16},
                               {17, kUnsigned, 16}, {19, kFloat, 16}, {22, kUnsigned, 32},
                               {23, kUnsigned, 64}};
std::string NameOf(DlDType dtype) {
  constexpr const char* kNames[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  const std::string name = dtype.code < 7 ? kNames[dtype.code] : "code";
  return name + std::to_string(dtype.bits);
}

bool IsDense(const std::vector<int64_t>& dims, const std::vector<int64_t>& strides) {
  int64_t expected = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    if (dims[i] == 0) return true;
    if (dims[i] != 1 && strides[i] != expected) return false;
    expected *= dims[i];
  }
  return true;
}

ForeignArray FromDlPack(nb::handle object, void* stream) {
  ForeignArray array;
  array.owner = object.attr("__dlpack__")(nb::arg("stream") = reinterpret_cast<uintptr_t>(stream));
  void* const pointer = PyCapsule_GetPointer(array.owner.ptr(), kCapsule);
  if (pointer == nullptr) throw nb::python_error();
  const DlTensor& tensor = static_cast<const DlManagedTensor*>(pointer)->tensor;
  array.device = tensor.device;
  array.dims.assign(tensor.dims, tensor.dims + tensor.rank);
  if (tensor.strides != nullptr)
    array.dense = IsDense(array.dims, {tensor.strides, tensor.strides + tensor.rank});
  array.data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
  for (const DlRow& row : kDlDTypes) {
    if (row.code == tensor.dtype.code && row.bits == tensor.dtype.bits && tensor.dtype.lanes == 1)
      array.dtype = row.dtype;
  }
  if (array.dtype == 0) array.other_dtype = NameOf(tensor.dtype);
  return array;
}

ForeignArray FromInterface(nb::handle object, const graft_engine* engine, void* stream) {
  const auto interface = nb::cast<nb::dict>(object.attr("__cuda_array_interface__"));
  ForeignArray array;
  array.owner = nb::borrow(object);
  for (nb::handle n : nb::cast<nb::tuple>(interface["shape"]))
    array.dims.push_back(nb::cast<int64_t>(n));
  const nb::object dtype = nb::module_::import_("numpy").attr("dtype")(interface["typestr"]);
  array.other_dtype = TextOf(dtype);
  for (const DlRow& row : kDlDTypes) {
    if (row.dtype != 14 && dtype.equal(NumpyDType(row.dtype))) array.dtype = row.dtype;
  }
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    const auto size = nb::cast<int64_t>(dtype.attr("itemsize"));
    std::vector<int64_t> strides;
    for (nb::handle n : nb::cast<nb::tuple>(interface["strides"])) {
      const auto bytes = nb::cast<int64_t>(n);
      strides.push_back(bytes % size == 0 ? bytes / size : -1);
    }
    array.dense = IsDense(array.dims, strides);
  }
  array.data =
      reinterpret_cast<void*>(nb::cast<uintptr_t>(nb::cast<nb::tuple>(interface["data"])[0]));
  if (interface.contains("stream") && !interface["stream"].is_none()) {
    void* const producer = StreamOf(interface["stream"]);
    if (producer != stream) Check(graft_stream_wait(engine, stream, producer));
  }
  return array;
}

}  // namespace

int32_t StorageOf(int32_t dtype) {
  switch (dtype) {
    case 11:
      return 6;
    case 12:
      return 4;
    case 13:
      return 3;
    case 15:
      return 5;
    case 16:
      return 17;
    default:
      return dtype;
  }
}

void* StreamOf(nb::handle stream) {
  nb::object handle = nb::borrow(stream);
  for (const char* name : {"cuda_stream", "ptr"}) {
    if (nb::hasattr(stream, name)) handle = stream.attr(name);
  }
  if (nb::hasattr(stream, "__cuda_stream__"))
    handle = nb::cast<nb::tuple>(stream.attr("__cuda_stream__")())[1];
  uintptr_t number = 0;
  if (!nb::try_cast(handle, number))
    throw nb::type_error("stream: expected a handle, or a stream of torch or cupy");
  return number == 0 ? kDefaultStream : reinterpret_cast<void*>(number);
}

bool IsOnDevice(nb::handle object) {
  if (nb::hasattr(object, "__dlpack_device__")) {
    const auto device = nb::cast<nb::tuple>(object.attr("__dlpack_device__")());
    return nb::cast<int32_t>(device[0]) == kDlCuda;
  }
  return nb::hasattr(object, "__cuda_array_interface__");
}

ForeignArray ImportArray(nb::handle object, const graft_engine* engine, void* stream) {
  return nb::hasattr(object, "__dlpack__") ? FromDlPack(object, stream)
                                           : FromInterface(object, engine, stream);
}

DeviceMemory::DeviceMemory(std::shared_ptr<graft_engine> engine, size_t bytes, void* stream)
    : engine_(std::move(engine)), stream_(stream) {
  Check(graft_device_allocate(engine_.get(), bytes, stream, &data_));
}

DeviceMemory::~DeviceMemory() {
  // A failure of the stream's work is told to whoever asks for it next.
  graft_status_free(graft_device_free(engine_.get(), data_, stream_));
}

void DeviceMemory::MoveTo(void* stream) {
  if (stream == stream_) return;
  Check(graft_stream_wait(engine_.get(), stream, stream_));
  stream_ = stream;
}

nb::tuple DeviceArray::shape() const {
  nb::list shape;
  for (const int64_t n : dims_) shape.append(n);
  return nb::tuple(shape);
}

std::string DeviceArray::device() const {
  return std::string(graft_engine_backend(memory_->engine())) + ":" +
         std::to_string(graft_engine_device(memory_->engine()));
}

nb::tuple DeviceArray::DlPackDevice() const {
  return nb::make_tuple(kDlCuda, graft_engine_device(memory_->engine()));
}

nb::object DeviceArray::DlPack(nb::handle stream) const {
  // None is the default stream, and -1 asks for no order.
  const bool unordered = !stream.is_none() && nb::cast<intptr_t>(stream) == -1;
  if (!unordered) memory_->MoveTo(stream.is_none() ? kDefaultStream : StreamOf(stream));
  struct Exported {
    DlManagedTensor managed;
    std::shared_ptr<DeviceMemory> memory;
    std::vector<int64_t> dims;
  };
  auto exported = std::make_unique<Exported>();
  exported->memory = memory_;
  exported->dims = dims_;
  DlTensor& tensor = exported->managed.tensor;
  tensor = {memory_->data(),
            {kDlCuda, graft_engine_device(memory_->engine())},
            static_cast<int32_t>(dims_.size()),
            {},
            exported->dims.data(),
            nullptr,
            0};
  for (const DlRow& row : kDlDTypes) {
    if (row.dtype == StorageOf(dtype_)) tensor.dtype = {row.code, row.bits, 1};
  }
  exported->managed.state = exported.get();
  exported->managed.release = [](DlManagedTensor* managed) {
    delete static_cast<Exported*>(managed->state);
  };
  PyObject* const capsule = PyCapsule_New(&exported->managed, kCapsule, [](PyObject* unused) {
    // A capsule that somebody has taken has another name.
    if (!PyCapsule_IsValid(unused, kCapsule)) return;
    auto* const managed = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(unused, kCapsule));
    managed->release(managed);
  });
  if (capsule == nullptr) throw nb::python_error();
  static_cast<void>(exported.release());
  return nb::steal(capsule);
}

nb::dict DeviceArray::CudaArrayInterface() const {
  // What reads it says nothing of its stream: the default one waits, and stands for it.
  memory_->MoveTo(kDefaultStream);
  nb::dict interface;
  interface["shape"] = shape();
  interface["typestr"] = dtype().attr("str");
  interface["data"] = nb::make_tuple(reinterpret_cast<uintptr_t>(memory_->data()), false);
  interface["strides"] = nb::none();
  interface["version"] = 3;
  interface["stream"] = reinterpret_cast<uintptr_t>(kDefaultStream);
  return interface;
}

nb::object DeviceArray::ToNumpy() const {
  nb::object array = NewArray(nb::module_::import_("numpy"), dtype(), dims_);
  void* const target = DataOf(array);
  graft_status* status;
  {
    nb::gil_scoped_release release;
    status = graft_device_copy(memory_->engine(), target, GRAFT_SPACE_HOST, memory_->data(),
                               GRAFT_SPACE_DEVICE, bytes_, memory_->stream());
    if (status == nullptr) status = graft_stream_synchronize(memory_->engine(), memory_->stream());
  }
  Check(status);
  return array;
}

}  // namespace graft_python
