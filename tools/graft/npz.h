// NumPy's .npz files: a ZIP archive with a .npy file for each array, as numpy.savez writes it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/tensor.h"

namespace graft {

// The arrays by name, in the archive's order. DataLoss when the file is none or its sizes do
// not fit; kUnsupported for compressed members (numpy.savez_compressed).
Result<std::vector<std::pair<std::string, Tensor>>> ReadNpz(const std::string& path);

}  // namespace graft
