#include <algorithm>

#include "kernels/reference/indices.h"
#include "kernels/reference/kernels.h"

namespace graft::reference {
namespace {

// Sums wrap as the machine's do, whatever T's sign.
template <class T>
T Join(ScatterKind kind, T x, T update) {
  using A = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
  switch (kind) {
    case ScatterKind::kUpdate:
      return update;
    case ScatterKind::kAdd:
      return static_cast<T>(static_cast<A>(x) + static_cast<A>(update));
    case ScatterKind::kSub:
      return static_cast<T>(static_cast<A>(x) - static_cast<A>(update));
    case ScatterKind::kMin:
      return std::min(x, update);
    case ScatterKind::kMax:
      return std::max(x, update);
  }
  return x;
}

}  // namespace

Status CheckData(const ScatterNdProblem&, Inputs in) {
  return CheckIndices(in[1], in[0].dims, in[1].dims.back());
}

void Run(const ScatterNdProblem& problem, Inputs in, Outputs out) {
  const Array& y = out[0];
  const std::vector<int64_t> positions = ReadIndices(in[1]);
  const int64_t depth = in[1].dims.back();
  const size_t own_dims = in[1].dims.size() - 1;
  VisitDType(kEngineTypes, y.dtype, [&](auto type) {
    using T = decltype(type);
    ForEachIndex(y.dims, [&](std::span<const int64_t> index) {
      y.Row<T>(0)[y.Offset(index)] = in[0].Row<T>(0)[in[0].Offset(index)];
    });
    ForEachIndex(in[2].dims, [&](std::span<const int64_t> index) {
      int64_t tuple = 0;
      for (size_t i = 0; i < own_dims; ++i) tuple = tuple * in[1].dims[i] + index[i];
      Dims to(positions.begin() + tuple * depth, positions.begin() + (tuple + 1) * depth);
      to.insert(to.end(), index.begin() + static_cast<int64_t>(own_dims), index.end());
      T& target = y.Row<T>(0)[y.Offset(to)];
      target = Join(problem.kind, target, in[2].Row<T>(0)[in[2].Offset(index)]);
    });
  });
}

}  // namespace graft::reference
