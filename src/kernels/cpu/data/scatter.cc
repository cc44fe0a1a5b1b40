#include "kernels/cpu/data/scatter.h"

#include <cstring>
#include <type_traits>

#include "base/dtype_visit.h"

namespace graft::cpu {
namespace {

template <ScatterKind kKind, class T>
void Join(const void* update, void* y, int64_t count) {
  // Integers wrap around.
  using Wide = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
  const T* from = static_cast<const T*>(update);
  T* to = static_cast<T*>(y);
  for (int64_t i = 0; i < count; ++i) {
    if constexpr (kKind == ScatterKind::kUpdate) {
      to[i] = from[i];
    } else if constexpr (kKind == ScatterKind::kAdd) {
      to[i] = static_cast<T>(static_cast<Wide>(to[i]) + static_cast<Wide>(from[i]));
    } else if constexpr (kKind == ScatterKind::kSub) {
      to[i] = static_cast<T>(static_cast<Wide>(to[i]) - static_cast<Wide>(from[i]));
    } else if constexpr (kKind == ScatterKind::kMin) {
      to[i] = std::min(to[i], from[i]);
    } else {
      to[i] = std::max(to[i], from[i]);
    }
  }
}

ScatterLoop FindLoop(ScatterKind kind, DType dtype) {
  if (kind == ScatterKind::kUpdate) {
    switch (SizeOf(dtype)) {
      case 1:
        return Join<ScatterKind::kUpdate, uint8_t>;
      case 2:
        return Join<ScatterKind::kUpdate, uint16_t>;
      case 4:
        return Join<ScatterKind::kUpdate, uint32_t>;
      case 8:
        return Join<ScatterKind::kUpdate, uint64_t>;
      default:
        return nullptr;
    }
  }
  return TryVisitDType(kNativeTypes, dtype, [&]<class T>(T) -> ScatterLoop {
    switch (kind) {
      case ScatterKind::kUpdate:
        return nullptr;
      case ScatterKind::kAdd:
        return Join<ScatterKind::kAdd, T>;
      case ScatterKind::kSub:
        return Join<ScatterKind::kSub, T>;
      case ScatterKind::kMin:
        return Join<ScatterKind::kMin, T>;
      case ScatterKind::kMax:
        return Join<ScatterKind::kMax, T>;
    }
    return nullptr;
  });
}

}  // namespace

bool ScatterOperation::Supports(ScatterKind kind, DType dtype, DType index_dtype) {
  return FindLoop(kind, dtype) != nullptr &&
         (index_dtype == DType::kInt32 || index_dtype == DType::kInt64);
}

Result<ScatterOperation> ScatterOperation::Make(const ScatterProblem& p) {
  if (!Supports(p.kind, p.dtype, p.index_dtype))
    return UnsupportedError("scattering of {} by indices of {}", Name(p.dtype),
                            Name(p.index_dtype));
  ScatterOperation operation;
  operation.problem_ = p;
  operation.loop_ = FindLoop(p.kind, p.dtype);
  operation.slice_ = CountElements(std::span(p.x).subspan(p.depth));
  return operation;
}

template <class Index>
Status ScatterOperation::CheckIndices(const void* indices) const {
  const Index* index = static_cast<const Index*>(indices);
  for (int64_t i = 0; i < problem_.tuples * problem_.depth; ++i) {
    const int64_t n = problem_.x[i % problem_.depth];
    if (index[i] < 0 || index[i] >= n)
      return InvalidArgumentError("index {} is not in [0, {})", index[i], n);
  }
  return OkStatus();
}

// Every task takes its own columns of all slices, so that no two write the same element.
template <class Index>
void ScatterOperation::RunColumns(Range columns, const Buffers& buffers) const {
  const ScatterProblem& p = problem_;
  const auto size = static_cast<int64_t>(SizeOf(p.dtype));
  const Index* index = static_cast<const Index*>(buffers.inputs[1]);
  const std::byte* updates = static_cast<const std::byte*>(buffers.inputs[2]);
  std::byte* y = static_cast<std::byte*>(buffers.outputs[0]);
  for (int64_t t = 0; t < p.tuples; ++t, index += p.depth) {
    int64_t row = 0;
    for (int64_t k = 0; k < p.depth; ++k) row = row * p.x[k] + index[k];
    loop_(updates + (t * slice_ + columns.begin) * size, y + (row * slice_ + columns.begin) * size,
          columns.size());
  }
}

Status ScatterOperation::Run(const Buffers& buffers, Executor& executor) const {
  const ScatterProblem& p = problem_;
  const bool wide = p.index_dtype == DType::kInt64;
  GRAFT_RETURN_IF_ERROR(wide ? CheckIndices<int64_t>(buffers.inputs[1])
                             : CheckIndices<int32_t>(buffers.inputs[1]));
  const int64_t elements = CountElements(p.x);
  if (elements == 0) return OkStatus();
  if (buffers.inputs[0] != buffers.outputs[0])
    std::memcpy(buffers.outputs[0], buffers.inputs[0], elements * SizeOf(p.dtype));
  const int64_t tasks = std::min(slice_, TaskCount(p.tuples * slice_, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int) {
    const Range columns = Part(slice_, tasks, task);
    wide ? RunColumns<int64_t>(columns, buffers) : RunColumns<int32_t>(columns, buffers);
  });
  return OkStatus();
}

}  // namespace graft::cpu
