// NumPy's .npy files: one array a file (format versions 1 to 3, little-endian, C order).
#pragma once

#include <string>

#include "base/status.h"
#include "base/tensor.h"

namespace graft {

// kDataLoss when the file is not one, kUnsupported for Fortran order and for dtypes that Graft does
// not have.
Result<Tensor> ReadNpy(const std::string& path);
Status WriteNpy(const std::string& path, const Tensor& tensor);

}  // namespace graft
