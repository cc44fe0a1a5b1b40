// Ops that only move elements: each is a map from an index of the result to one of an operand.
#include <algorithm>

#include "kernels/reference/indices.h"
#include "kernels/reference/kernels.h"

namespace graft::reference {
namespace {

using Index = std::span<const int64_t>;

// y[index] = x[source(index)]; zero where source gives nullptr.
template <class Source>
void Map(const Array& y, Source source) {
  WithSize(y.dtype, [&](auto type) {
    using T = decltype(type);
    ForEachIndex(y.dims, [&](Index index) {
      const std::byte* from = source(index);
      y.Row<T>(0)[y.Offset(index)] = from ? *reinterpret_cast<const T*>(from) : T();
    });
  });
}

const std::byte* ElementAt(const ConstArray& x, Index index) {
  return x.data + x.Offset(index) * static_cast<int64_t>(SizeOf(x.dtype));
}

// Where position i of a padded axis comes from, in an axis of n; -1: from nowhere.
int64_t PadSource(PadMode mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  switch (mode) {
    case PadMode::kConstant:
      return -1;
    case PadMode::kReflect:
      return i < 0 ? -i : 2 * n - 2 - i;
    case PadMode::kSymmetric:
      return i < 0 ? -i - 1 : 2 * n - 1 - i;
  }
  return -1;
}

}  // namespace

void Run(const ReshapeProblem&, Inputs in, Outputs out) {
  const int64_t length = in[0].row_length();
  int64_t number = 0;
  Map(out[0], [&](Index) {
    const int64_t i = number++;
    return in[0].data +
           (i / length * in[0].row_stride + i % length) * static_cast<int64_t>(SizeOf(in[0].dtype));
  });
}

void Run(const TransposeProblem& problem, Inputs in, Outputs out) {
  Dims from(in[0].rank());
  Map(out[0], [&](Index index) {
    for (size_t i = 0; i < index.size(); ++i) from[problem.permutation[i]] = index[i];
    return ElementAt(in[0], from);
  });
}

void Run(const ConcatProblem& problem, Inputs in, Outputs out) {
  Map(out[0], [&](Index index) -> const std::byte* {
    Dims from(index.begin(), index.end());
    for (const ConstArray& x : in) {
      if (from[problem.axis] < x.dims[problem.axis]) return ElementAt(x, from);
      from[problem.axis] -= x.dims[problem.axis];
    }
    return nullptr;
  });
}

void Run(const SliceProblem& problem, Inputs in, Outputs out) {
  Dims from(in[0].rank());
  Map(out[0], [&](Index index) {
    for (size_t i = 0; i < index.size(); ++i)
      from[i] = problem.begin[i] + index[i] * problem.strides[i];
    return ElementAt(in[0], from);
  });
}

void Run(const PadProblem& problem, Inputs in, Outputs out) {
  const ConstArray& x = in[0];
  VisitDType(kEngineTypes, x.dtype, [&](auto type) {
    using T = decltype(type);
    const T value = static_cast<T>(problem.value);
    Dims from(x.rank());
    Map(out[0], [&](Index index) {
      for (size_t i = 0; i < index.size(); ++i) {
        from[i] = PadSource(problem.mode, index[i] - problem.before[i], x.dims[i]);
        if (from[i] < 0) return reinterpret_cast<const std::byte*>(&value);
      }
      return ElementAt(x, from);
    });
  });
}

void Run(const BroadcastProblem&, Inputs in, Outputs out) {
  const ConstArray& x = in[0];
  Dims from(x.rank());
  Map(out[0], [&](Index index) {
    for (size_t i = 0; i < from.size(); ++i)
      from[i] = x.dims[i] == 1 ? 0 : index[index.size() - from.size() + i];
    return ElementAt(x, from);
  });
}

void Run(const TileProblem&, Inputs in, Outputs out) {
  const ConstArray& x = in[0];
  Dims from(x.rank());
  Map(out[0], [&](Index index) {
    for (size_t i = 0; i < from.size(); ++i) from[i] = index[i] % x.dims[i];
    return ElementAt(x, from);
  });
}

Status CheckData(const GatherProblem& problem, Inputs in) {
  const Dims& dims = in[0].dims;
  const auto axis = dims.begin() + problem.axis;
  // Slices without elements are not read.
  if (std::count(dims.begin(), axis, 0) + std::count(axis + 1, dims.end(), 0) > 0)
    return OkStatus();
  return CheckIndices(in[1], std::span(dims).subspan(problem.axis), 1);
}

void Run(const GatherProblem& problem, Inputs in, Outputs out) {
  const ConstArray& params = in[0];
  const ConstArray& indices = in[1];
  const std::vector<int64_t> rows = ReadIndices(indices);
  const auto batch_dims = static_cast<size_t>(problem.batch_dims);
  const auto axis = static_cast<size_t>(problem.axis);
  const size_t own_dims = indices.dims.size() - batch_dims;
  Map(out[0], [&](Index index) -> const std::byte* {
    Dims at(index.begin(), index.begin() + batch_dims);
    at.insert(at.end(), index.begin() + axis, index.begin() + axis + own_dims);
    const int64_t row = rows[indices.Offset(at)];
    Dims from(index.begin(), index.begin() + axis);
    from.push_back(row);
    from.insert(from.end(), index.begin() + axis + own_dims, index.end());
    return ElementAt(params, from);
  });
}

Status CheckData(const GatherNdProblem& problem, Inputs in) {
  const Dims& dims = in[0].dims;
  const auto rest = dims.begin() + problem.batch_dims + in[1].dims.back();
  if (std::count(rest, dims.end(), 0) > 0) return OkStatus();
  return CheckIndices(in[1], std::span(in[0].dims).subspan(problem.batch_dims), in[1].dims.back());
}

void Run(const GatherNdProblem& problem, Inputs in, Outputs out) {
  const ConstArray& params = in[0];
  const ConstArray& indices = in[1];
  const std::vector<int64_t> positions = ReadIndices(indices);
  const int64_t depth = indices.dims.back();
  const size_t own_dims = indices.dims.size() - 1;
  Map(out[0], [&](Index index) -> const std::byte* {
    Dims from(index.begin(), index.begin() + problem.batch_dims);
    int64_t tuple = 0;
    for (size_t i = 0; i < own_dims; ++i) tuple = tuple * indices.dims[i] + index[i];
    for (int64_t i = 0; i < depth; ++i) {
      from.push_back(positions[tuple * depth + i]);
    }
    from.insert(from.end(), index.begin() + own_dims, index.end());
    return ElementAt(params, from);
  });
}

void Run(const DepthToSpaceProblem& problem, Inputs in, Outputs out) {
  const int64_t block = problem.block;
  const int64_t depth = problem.to_depth ? in[0].dims[3] : out[0].dims[3];
  Map(out[0], [&](Index i) {
    const int64_t from_depth[] = {i[0], i[1] / block, i[2] / block,
                                  (i[1] % block * block + i[2] % block) * depth + i[3]};
    const int64_t within = depth == 0 ? 0 : i[3] / depth;
    const int64_t from_space[] = {i[0], i[1] * block + within / block,
                                  i[2] * block + within % block, depth == 0 ? 0 : i[3] % depth};
    return ElementAt(in[0], problem.to_depth ? from_space : from_depth);
  });
}

void Run(const DimsProblem& problem, Inputs, Outputs out) {
  VisitDType(kNumberTypes, out[0].dtype, [&](auto type) {
    using T = decltype(type);
    std::transform(problem.values.begin(), problem.values.end(), out[0].Row<T>(0),
                   [](int64_t v) { return static_cast<T>(v); });
  });
}

void Run(const IotaProblem&, Inputs, Outputs out) {
  VisitDType(kNumberTypes, out[0].dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t i = 0; i < out[0].elements(); ++i) out[0].Row<T>(0)[i] = static_cast<T>(i);
  });
}

void Run(const ReadIntegerProblem& problem, Inputs in, Outputs out) {
  const int64_t row = problem.element / in[0].row_length();
  const int64_t column = problem.element % in[0].row_length();
  VisitDType(TypeSet<int32_t, int64_t>{}, in[0].dtype, [&](auto type) {
    using T = decltype(type);
    *out[0].Row<int64_t>(0) = static_cast<int64_t>(in[0].Row<T>(row)[column]);
  });
}

void Run(const BitcastProblem&, Inputs in, Outputs out) {
  // The bytes in order, row by row of either side.
  const auto row_bytes = [](const auto& array) {
    return array.row_length() * static_cast<int64_t>(SizeOf(array.dtype));
  };
  const auto byte_at = [&](const auto& array, int64_t i) {
    const int64_t length = row_bytes(array);
    return array.data + i / length * array.row_stride * static_cast<int64_t>(SizeOf(array.dtype)) +
           i % length;
  };
  const int64_t bytes = in[0].elements() * static_cast<int64_t>(SizeOf(in[0].dtype));
  for (int64_t i = 0; i < bytes; ++i) *byte_at(out[0], i) = *byte_at(in[0], i);
}

}  // namespace graft::reference
