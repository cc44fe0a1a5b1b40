#include "common.h"

#include <nanobind/stl/string.h>

#include <stdexcept>

namespace graft_python {
namespace {

// NumPy's names of TensorFlow's DataType numbers.
struct DTypeRow {
  int32_t number;
  const char* name;
};
constexpr DTypeRow kDTypes[] = {
    {1, "float32"}, {2, "float64"}, {3, "int32"},    {4, "uint8"},   {5, "int16"},  {6, "int8"},
    {9, "int64"},   {10, "bool"},   {11, "int8"},    {12, "uint8"},  {13, "int32"}, {15, "int16"},
    {16, "uint16"}, {17, "uint16"}, {19, "float16"}, {22, "uint32"}, {23, "uint64"}};
// NumPy's only by way of the package ml_dtypes.
constexpr DTypeRow kBFloat16 = {14, "bfloat16"};

}  // namespace

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

nb::object NumpyDType(int32_t number) {
  const nb::module_ numpy = nb::module_::import_("numpy");
  if (number == kBFloat16.number)
    return numpy.attr("dtype")(nb::module_::import_("ml_dtypes").attr(kBFloat16.name));
  for (const DTypeRow& row : kDTypes) {
    if (row.number == number) return numpy.attr("dtype")(row.name);
  }
  throw std::runtime_error("a dtype that NumPy does not have: " + std::to_string(number));
}

int32_t NumberOf(const std::string& numpy_name) {
  if (numpy_name == kBFloat16.name) return kBFloat16.number;
  for (const DTypeRow& row : kDTypes) {
    if (numpy_name == row.name) return row.number;
  }
  return 0;
}

nb::object NewArray(const nb::module_& numpy, nb::handle dtype, std::span<const int64_t> dims) {
  nb::list shape;
  for (const int64_t n : dims) shape.append(n);
  return numpy.attr("empty")(nb::tuple(shape), dtype);
}

void* DataOf(nb::handle array) {
  return reinterpret_cast<void*>(nb::cast<uintptr_t>(array.attr("ctypes").attr("data")));
}

std::string TextOf(nb::handle object) { return nb::str(object).c_str(); }

}  // namespace graft_python
