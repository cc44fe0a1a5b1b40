// The geometry that convolution and pooling share: [N, spatial…, C] with 1 to 3 spatial dimensions,
// seen as three.
#pragma once

#include <algorithm>

#include "kernels/reference/array.h"

namespace graft::reference {

struct Spatial {
  int64_t d, h, w;
  int64_t count() const { return d * h * w; }
  int64_t Index(const Spatial& at) const { return (at.d * h + at.h) * w + at.w; }
  bool Contains(const Spatial& at) const {
    return at.d >= 0 && at.d < d && at.h >= 0 && at.h < h && at.w >= 0 && at.w < w;
  }
};

// Missing leading dimensions become `fill`.
inline Spatial ToSpatial(std::span<const int64_t> values, int64_t fill) {
  Spatial s{fill, fill, fill};
  const size_t n = values.size();
  if (n >= 1) s.w = values[n - 1];
  if (n >= 2) s.h = values[n - 2];
  if (n >= 3) s.d = values[n - 3];
  return s;
}

// The spatial dimensions of [N, spatial…, C].
inline Spatial ImageSize(const Dims& dims) {
  return ToSpatial(std::span(dims).subspan(1, dims.size() - 2), 1);
}

template <class Each>
void ForEachSpatial(const Spatial& size, Each each) {
  for (int64_t d = 0; d < size.d; ++d) {
    for (int64_t h = 0; h < size.h; ++h) {
      for (int64_t w = 0; w < size.w; ++w) each(Spatial{d, h, w});
    }
  }
}

}  // namespace graft::reference
