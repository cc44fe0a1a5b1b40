// NumPy's .npz files: a ZIP archive with a .npy file for each array, as numpy.savez writes it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "base/tensor.h"

namespace graft {

struct Npz {
  FileBytes file;  // a mapping
  // By name, in the archive's order. They share the file's bytes (FindArray in npy.h).
  std::vector<std::pair<std::string, Tensor>> arrays;
};

// DataLoss when the file is none or its sizes do not fit; kUnsupported for compressed members
// (numpy.savez_compressed).
Result<Npz> OpenNpz(const std::string& path);

}  // namespace graft
