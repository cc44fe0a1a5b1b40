#include "kernels/cpu/reduce/arg_reduce.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/aligned_buffer.h"
#include "base/dtype_visit.h"

namespace graft::cpu {
namespace {

// Lines side by side, so that a line's elements being far apart costs little.
constexpr int64_t kColumns = 64;

template <bool kSmallest, class T, class Index>
void ArgReduce(const void* from, int64_t count, int64_t stride, int64_t columns, void* to) {
  const T* x = static_cast<const T*>(from);
  Index* y = static_cast<Index*>(to);
  T best[kColumns];
  Index at[kColumns] = {};
  std::fill_n(best, columns,
              kSmallest ? std::numeric_limits<T>::max() : std::numeric_limits<T>::lowest());
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const T value = x[r * stride + c];
      const bool wins = kSmallest ? value < best[c] : value > best[c];
      best[c] = wins ? value : best[c];
      at[c] = wins ? static_cast<Index>(r) : at[c];
    }
  }
  std::copy_n(at, columns, y);
}

ArgReduceOperation::Loop FindLoop(bool smallest, DType dtype, DType index_dtype) {
  return TryVisitDType(kNativeTypes, dtype, [&]<class T>(T) -> ArgReduceOperation::Loop {
    using Loop = ArgReduceOperation::Loop;
    return TryVisitDType(TypeSet<int32_t, int64_t>{}, index_dtype, [&]<class I>(I) -> Loop {
      return smallest ? ArgReduce<true, T, I> : ArgReduce<false, T, I>;
    });
  });
}

template <class T>
void TopK(const void* from, int64_t columns, int64_t k, int32_t* order, void* to,
          int32_t* indices) {
  const T* x = static_cast<const T*>(from);
  T* values = static_cast<T*>(to);
  // A strict order over all values: NaN below everything, then by value, then by index.
  const auto before = [x](int32_t a, int32_t b) {
    const bool a_nan = x[a] != x[a], b_nan = x[b] != x[b];
    if (a_nan != b_nan) return b_nan;
    if (!a_nan && x[a] != x[b]) return x[a] > x[b];
    return a < b;
  };
  std::iota(order, order + columns, 0);
  if (k < columns) std::nth_element(order, order + k, order + columns, before);
  std::sort(order, order + k, before);
  for (int64_t i = 0; i < k; ++i) {
    values[i] = x[order[i]];
    indices[i] = order[i];
  }
}

TopKOperation::Loop FindTopK(DType dtype) {
  return TryVisitDType(kNativeTypes, dtype,
                       []<class T>(T) -> TopKOperation::Loop { return TopK<T>; });
}

}  // namespace

bool ArgReduceOperation::Supports(DType dtype, DType index_dtype) {
  return FindLoop(false, dtype, index_dtype) != nullptr;
}

Result<ArgReduceOperation> ArgReduceOperation::Make(const ArgReduceProblem& problem) {
  ArgReduceOperation operation;
  operation.problem_ = problem;
  operation.loop_ = FindLoop(problem.smallest, problem.dtype, problem.index_dtype);
  if (operation.loop_ == nullptr) {
    return UnsupportedError("{} indices into {}", Name(problem.index_dtype), Name(problem.dtype));
  }
  return operation;
}

void ArgReduceOperation::Run(const Buffers& buffers, Executor& executor) const {
  const ArgReduceProblem& p = problem_;
  const int64_t blocks = CeilDiv(p.inner, kColumns);
  const int64_t units = p.outer * blocks;
  if (units == 0) return;
  const int64_t x_size = static_cast<int64_t>(SizeOf(p.dtype));
  const int64_t y_size = static_cast<int64_t>(SizeOf(p.index_dtype));
  const int64_t tasks = std::min(units, TaskCount(p.outer * p.count * p.inner, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int) {
    const Range range = Part(units, tasks, task);
    for (int64_t unit = range.begin; unit < range.end; ++unit) {
      const int64_t outer = unit / blocks;
      const Range columns = Part(p.inner, blocks, unit % blocks);
      loop_(
          static_cast<const std::byte*>(buffers.inputs[0]) +
              (outer * p.count * p.inner + columns.begin) * x_size,
          p.count, p.inner, columns.size(),
          static_cast<std::byte*>(buffers.outputs[0]) + (outer * p.inner + columns.begin) * y_size);
    }
  });
}

bool TopKOperation::Supports(DType dtype) { return FindTopK(dtype) != nullptr; }

Result<TopKOperation> TopKOperation::Make(const TopKProblem& problem) {
  TopKOperation operation;
  operation.problem_ = problem;
  operation.loop_ = FindTopK(problem.dtype);
  if (operation.loop_ == nullptr) return UnsupportedError("top_k of {}", Name(problem.dtype));
  if (problem.k > problem.columns) {
    return InvalidArgumentError("the {} largest of {}", problem.k, problem.columns);
  }
  if (problem.columns > std::numeric_limits<int32_t>::max()) {
    return InvalidArgumentError("{} elements do not fit int32 indices", problem.columns);
  }
  return operation;
}

size_t TopKOperation::scratch_bytes(int width) const {
  return width * AlignUp(problem_.columns * sizeof(int32_t));
}

void TopKOperation::Run(const Buffers& buffers, Executor& executor) const {
  const TopKProblem& p = problem_;
  if (p.rows == 0 || p.k == 0) return;
  const int64_t size = static_cast<int64_t>(SizeOf(p.dtype));
  // Selecting costs some ten operations an element.
  const int64_t tasks = std::min(p.rows, TaskCount(10 * p.rows * p.columns, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    auto* order = reinterpret_cast<int32_t*>(buffers.scratch + worker * scratch_bytes(1));
    const Range rows = Part(p.rows, tasks, task);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      loop_(static_cast<const std::byte*>(buffers.inputs[0]) + r * p.columns * size, p.columns, p.k,
            order, static_cast<std::byte*>(buffers.outputs[0]) + r * p.k * size,
            static_cast<int32_t*>(buffers.outputs[1]) + r * p.k);
    }
  });
}

}  // namespace graft::cpu
