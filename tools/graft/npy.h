// NumPy's .npy files: one array a file (format versions 1 to 3, little-endian, C order).
#pragma once

#include <string>

#include "base/file.h"
#include "base/status.h"
#include "base/tensor.h"

namespace graft {

// kDataLoss when the file is not one, kUnsupported for Fortran order and for dtypes that Graft does
// not have.
Result<Tensor> ReadNpy(const std::string& path);
// The array of a file's bytes, which it shares: it lies at any address, so its numbers can be
// copied but not read. `name` stands for the file in messages.
Result<Tensor> FindArray(const FileBytes& bytes, const std::string& name);
Status WriteNpy(const std::string& path, const Tensor& tensor);

}  // namespace graft
