// NumPy's .npy files: one array a file (format versions 1 to 3, little-endian, C order).
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "base/tensor.h"

namespace graft {

// kDataLoss when the file is not one, kUnsupported for Fortran order and for dtypes that Graft does
// not have.
Result<Tensor> ReadNpy(const std::string& path);
// The same of a file's bytes; `name` stands for it in messages.
Result<Tensor> ParseNpy(std::string_view bytes, const std::string& name);
Status WriteNpy(const std::string& path, const Tensor& tensor);

}  // namespace graft
