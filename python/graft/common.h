// What the extension's files share: statuses as exceptions, NumPy's dtypes and arrays.
#pragma once

#include <graft/c_api.h>
#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace graft_python {

namespace nb = nanobind;

struct FreeObject {
  void operator()(graft_status* p) const { graft_status_free(p); }
  void operator()(graft_context* p) const { graft_context_free(p); }
  void operator()(graft_bytes* p) const { graft_bytes_free(p); }
  void operator()(graft_calibrator* p) const { graft_calibrator_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, FreeObject>;

// Throws the Python exception that users expect of a failed status.
void Check(graft_status* status);

// NumPy's dtype of a number of TensorFlow's. Quantized dtypes are the integers that they are stored
// as.
nb::object NumpyDType(int32_t number);
// The number of the dtype that has NumPy's name; 0: none that an engine takes.
int32_t NumberOf(const std::string& numpy_name);

nb::object NewArray(const nb::module_& numpy, nb::handle dtype, std::span<const int64_t> dims);
// The address of a NumPy array's first element.
void* DataOf(nb::handle array);
// What Python's str() gives.
std::string TextOf(nb::handle object);

}  // namespace graft_python
