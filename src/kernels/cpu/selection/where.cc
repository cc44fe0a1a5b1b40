#include "kernels/cpu/selection/where.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/dtype_visit.h"

namespace graft::cpu {
namespace {

template <class T>
int64_t CountNonZero(const void* from, Range range) {
  const T* x = static_cast<const T*>(from);
  int64_t count = 0;
  for (int64_t i = range.begin; i < range.end; ++i) count += x[i] != T(0);
  return count;
}

template <class T>
void FindNonZero(const void* from, Range range, const Dims& dims, int64_t* positions) {
  const T* x = static_cast<const T*>(from);
  const size_t rank = dims.size();
  if (rank == 1) {
    for (int64_t i = range.begin; i < range.end; ++i) {
      if (x[i] != T(0)) *positions++ = i;
    }
    return;
  }
  const int64_t columns = rank == 0 ? 1 : dims[rank - 1];
  for (int64_t i = range.begin; i < range.end;) {
    const int64_t row = i / columns;
    const int64_t row_end = std::min(range.end, (row + 1) * columns);
    for (; i < row_end; ++i) {
      if (x[i] == T(0)) continue;
      int64_t rest = row;
      for (size_t axis = rank; axis-- > 0;) {
        if (axis + 1 == rank) {
          positions[axis] = i - row * columns;
        } else {
          positions[axis] = rest % dims[axis];
          rest /= dims[axis];
        }
      }
      positions += rank;
    }
  }
}

WhereOperation::Loops FindWhere(DType dtype) {
  return TryVisitDType(kNativeTypes, dtype, []<class T>(T) -> WhereOperation::Loops {
    return {CountNonZero<T>, FindNonZero<T>};
  });
}

constexpr int32_t kFree = -1;

// Equal values have equal keys.
template <class T>
uint64_t Key(T value) {
  if (value == T(0)) return 0;  // both zeros of a float
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<uint32_t>(value);
  if constexpr (std::is_same_v<T, double>) return std::bit_cast<uint64_t>(value);
  return static_cast<uint64_t>(value);
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;

// Equal rows have equal keys. A NaN finds no equal, so many of them must not search the same slots.
template <class T>
uint64_t RowKey(const T* row, int64_t size, int64_t index) {
  uint64_t key = 0;
  for (int64_t k = 0; k < size; ++k) {
    if (!(row[k] == row[k])) return static_cast<uint64_t>(index);
    key = key * kGolden + Key(row[k]);
  }
  return key;
}

template <class T, class Index>
int64_t FindUnique(const UniqueProblem& problem, const void* from, int32_t* table, int64_t slots,
                   void* to_rows, void* to_indices, void* to_counts) {
  const T* x = static_cast<const T*>(from);
  T* rows = static_cast<T*>(to_rows);
  Index* indices = static_cast<Index*>(to_indices);
  Index* counts = static_cast<Index*>(to_counts);
  const int64_t size = problem.size;
  std::fill_n(table, slots, kFree);
  const int shift = 64 - std::countr_zero(static_cast<uint64_t>(slots));
  int32_t found = 0;
  for (int64_t i = 0; i < problem.count; ++i) {
    const T* row = x + i * size;
    const auto differs = [&](int32_t other) {
      return !std::equal(row, row + size, rows + other * size);
    };
    auto slot = static_cast<int64_t>(RowKey(row, size, i) * kGolden >> shift);
    while (table[slot] != kFree && differs(table[slot])) slot = (slot + 1) & (slots - 1);
    if (table[slot] == kFree) {
      table[slot] = found;
      std::copy_n(row, size, rows + found * size);
      counts[found++] = 0;
    }
    indices[i] = static_cast<Index>(table[slot]);
    ++counts[table[slot]];
  }
  return found;
}

UniqueOperation::Loop FindUniqueLoop(DType dtype, DType index_dtype) {
  return TryVisitDType(kNativeTypes, dtype, [&]<class T>(T) -> UniqueOperation::Loop {
    using Loop = UniqueOperation::Loop;
    return TryVisitDType(TypeSet<int32_t, int64_t>{}, index_dtype,
                         []<class I>(I) -> Loop { return FindUnique<T, I>; });
  });
}

}  // namespace

bool WhereOperation::Supports(DType dtype) { return FindWhere(dtype).count != nullptr; }

Result<WhereOperation> WhereOperation::Make(const WhereProblem& problem) {
  WhereOperation operation;
  operation.problem_ = problem;
  operation.loops_ = FindWhere(problem.dtype);
  if (operation.loops_.count == nullptr)
    return UnsupportedError("where of {}", Name(problem.dtype));
  return operation;
}

// What the tasks have found.
size_t WhereOperation::scratch_bytes(int width) const {
  return sizeof(int64_t) * 4 * static_cast<size_t>(width);
}

void WhereOperation::Run(const Buffers& buffers, Executor& executor) const {
  const void* x = buffers.inputs[0];
  auto* positions = static_cast<int64_t*>(buffers.outputs[0]);
  auto* counts = reinterpret_cast<int64_t*>(buffers.scratch);
  const auto rank = static_cast<int64_t>(problem_.dims.size());
  const int64_t elements = CountElements(problem_.dims);
  const int64_t tasks = TaskCount(elements, executor);
  executor.ParallelFor(tasks, [&](int64_t task, int) {
    counts[task] = loops_.count(x, Part(elements, tasks, task));
  });
  int64_t total = 0;
  for (int64_t task = 0; task < tasks; ++task) {
    const int64_t count = counts[task];
    counts[task] = total;  // where the task's first result goes
    total += count;
  }
  executor.ParallelFor(tasks, [&](int64_t task, int) {
    loops_.find(x, Part(elements, tasks, task), problem_.dims, positions + counts[task] * rank);
  });
  *static_cast<int64_t*>(buffers.outputs[1]) = total;
}

bool UniqueOperation::Supports(DType dtype, DType index_dtype) {
  return FindUniqueLoop(dtype, index_dtype) != nullptr;
}

Result<UniqueOperation> UniqueOperation::Make(const UniqueProblem& problem) {
  UniqueOperation operation;
  operation.problem_ = problem;
  operation.loop_ = FindUniqueLoop(problem.dtype, problem.index_dtype);
  if (operation.loop_ == nullptr) {
    return UnsupportedError("{} indices of unique {}", Name(problem.index_dtype),
                            Name(problem.dtype));
  }
  if (problem.count > std::numeric_limits<int32_t>::max() / 2)
    return InvalidArgumentError("unique of {} elements", problem.count);
  operation.slots_ =
      static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(problem.count) * 2 + 2));
  return operation;
}

size_t UniqueOperation::scratch_bytes(int) const {
  return static_cast<size_t>(slots_) * sizeof(int32_t);
}

void UniqueOperation::Run(const Buffers& buffers, Executor&) const {
  *static_cast<int64_t*>(buffers.outputs[3]) =
      loop_(problem_, buffers.inputs[0], reinterpret_cast<int32_t*>(buffers.scratch), slots_,
            buffers.outputs[0], buffers.outputs[1], buffers.outputs[2]);
}

}  // namespace graft::cpu
