// Strides of row-major tensors, in elements, and what broadcasting does to them.
#pragma once

#include <cstdint>
#include <vector>

#include "base/tensor.h"

namespace graft {

// The distance between neighbours along each axis when runs of the last axis lie row_stride apart.
inline std::vector<int64_t> RowMajorStrides(const Dims& dims, int64_t row_stride) {
  std::vector<int64_t> strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride = i + 1 == dims.size() ? row_stride : stride * dims[i];
  }
  return strides;
}
inline std::vector<int64_t> RowMajorStrides(const Dims& dims) {
  return RowMajorStrides(dims, dims.empty() ? 1 : dims.back());
}

// Whether dims broadcast to output by NumPy's rule. Under some bindings of their symbols, dims that
// had to agree do not.
inline bool Broadcasts(const Dims& dims, const Dims& output) {
  if (dims.size() > output.size()) return false;
  const size_t skipped = output.size() - dims.size();
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] != 1 && dims[i] != output[skipped + i]) return false;
  }
  return true;
}

// The strides of a tensor of `dims` as one of `output`: 0 along the axes that broadcast.
inline std::vector<int64_t> BroadcastStrides(const Dims& dims, int64_t row_stride,
                                             const Dims& output) {
  std::vector<int64_t> strides(output.size() - dims.size(), 0);
  const std::vector<int64_t> own = RowMajorStrides(dims, row_stride);
  for (size_t i = 0; i < dims.size(); ++i) strides.push_back(dims[i] == 1 ? 0 : own[i]);
  return strides;
}

}  // namespace graft
