#include "kernels/reference/indices.h"

namespace graft::reference {

std::vector<int64_t> ReadIndices(const ConstArray& indices) {
  std::vector<int64_t> values(indices.elements());
  VisitDType(kNumberTypes, indices.dtype, [&](auto type) {
    const auto* from = indices.Row<decltype(type)>(0);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(from[i]);
  });
  return values;
}

Status CheckIndices(const ConstArray& indices, std::span<const int64_t> dims, int64_t depth) {
  const std::vector<int64_t> values = ReadIndices(indices);
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t n = dims[i % depth];
    if (values[i] < 0 || values[i] >= n)
      return InvalidArgumentError("index {} is not in [0, {})", values[i], n);
  }
  return OkStatus();
}

}  // namespace graft::reference
