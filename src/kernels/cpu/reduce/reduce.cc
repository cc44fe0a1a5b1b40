#include "kernels/cpu/reduce/reduce.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "base/aligned_buffer.h"
#include "base/dtype_visit.h"

namespace graft::cpu {
namespace {

template <ReduceKind kReduction, class T>
struct Fold {
  static constexpr bool kInfinite = std::numeric_limits<T>::has_infinity;
  static constexpr T Identity() {
    if constexpr (kReduction == ReduceKind::kSum) return T(0);
    if constexpr (kReduction == ReduceKind::kProd) return T(1);
    if constexpr (kReduction == ReduceKind::kMax) {
      return kInfinite ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
    }
    return kInfinite ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  }
  static T Join(T a, T x) {
    if constexpr (kReduction == ReduceKind::kMax) return x > a || x != x ? x : a;
    if constexpr (kReduction == ReduceKind::kMin) return x < a || x != x ? x : a;
    // Integers wrap around: in 64 unsigned bits nothing overflows that is not cut off again.
    using Wide = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
    if constexpr (kReduction == ReduceKind::kSum) {
      return static_cast<T>(static_cast<Wide>(a) + static_cast<Wide>(x));
    }
    return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(x));
  }
};

template <ReduceKind kReduction, class T>
void ReduceEach(const ReduceBlock& b) {
  using F = Fold<kReduction, T>;
  const T* x = static_cast<const T*>(b.x);
  T* y = static_cast<T*>(b.y);
  std::fill_n(y, b.columns, F::Identity());
  for (int64_t r = 0; r < b.count; ++r) {
    for (int64_t c = 0; c < b.columns; ++c) y[c] = F::Join(y[c], x[r * b.stride + c]);
  }
  if (b.divisor == 1) return;
  for (int64_t c = 0; c < b.columns; ++c) y[c] = static_cast<T>(y[c] / b.divisor);
}

// The loops of a reduction by their place among its passes.
struct Loops {
  ReduceLoop first = nullptr;  // also of two passes and more
  ReduceLoop middle = nullptr;
  ReduceLoop last = nullptr;
  ReduceLoop only = nullptr;
  size_t sum_size = 0;  // of what lies between passes

  static Loops Same(ReduceLoop loop, DType dtype) {
    return {loop, loop, loop, loop, SizeOf(dtype)};
  }
};

// Columns of a task: what fits the first-level cache beside eight rows being read.
constexpr int64_t kColumns = 512;

// Sums of integers in 64 bits, so that their mean is that of the whole, truncated.
template <class X, class Y>
void SumIntegers(const ReduceBlock& b) {
  int64_t sums[kColumns] = {};
  const X* x = static_cast<const X*>(b.x);
  Y* y = static_cast<Y*>(b.y);
  for (int64_t r = 0; r < b.count; ++r) {
    for (int64_t c = 0; c < b.columns; ++c) {
      sums[c] = static_cast<int64_t>(static_cast<uint64_t>(sums[c]) +
                                     static_cast<uint64_t>(x[r * b.stride + c]));
    }
  }
  // The mean of nothing is 0.
  const auto divisor = static_cast<int64_t>(std::max(b.divisor, 1.0));
  for (int64_t c = 0; c < b.columns; ++c) y[c] = static_cast<Y>(sums[c] / divisor);
}

template <class T>
Loops IntegerMean() {
  return {SumIntegers<T, int64_t>, SumIntegers<int64_t, int64_t>, SumIntegers<int64_t, T>,
          SumIntegers<T, T>, sizeof(int64_t)};
}

Loops FindLoops(ReduceKind reduction, DType dtype) {
  if (dtype == DType::kBool) {
    // Bytes of 0 and 1: all is the minimum, any the maximum.
    const bool all = reduction == ReduceKind::kAll || reduction == ReduceKind::kMin;
    const bool any = reduction == ReduceKind::kAny || reduction == ReduceKind::kMax;
    if (!all && !any) return {};
    return Loops::Same(
        all ? ReduceEach<ReduceKind::kMin, bool> : ReduceEach<ReduceKind::kMax, bool>, dtype);
  }
  if (dtype == DType::kFloat32) return Loops::Same(F32ReduceLoop(reduction), dtype);
  return TryVisitDType(kNativeTypes - TypeSet<float, bool>{}, dtype, [&]<class T>(T) -> Loops {
    switch (reduction) {
      case ReduceKind::kSum:
        return Loops::Same(ReduceEach<ReduceKind::kSum, T>, dtype);
      case ReduceKind::kMean:
        if constexpr (std::is_integral_v<T>) return IntegerMean<T>();
        return Loops::Same(ReduceEach<ReduceKind::kSum, T>, dtype);
      case ReduceKind::kMax:
        return Loops::Same(ReduceEach<ReduceKind::kMax, T>, dtype);
      case ReduceKind::kMin:
        return Loops::Same(ReduceEach<ReduceKind::kMin, T>, dtype);
      case ReduceKind::kProd:
        return Loops::Same(ReduceEach<ReduceKind::kProd, T>, dtype);
      default:
        return {};
    }
  });
}

// An axis is cut into parts when there would be too few tasks otherwise, and each is worth one.
constexpr int64_t kFewUnits = 16;
constexpr int64_t kMaxParts = 32;

int64_t PartsOf(int64_t outer, int64_t count, int64_t inner) {
  const int64_t units = outer * CeilDiv(inner, kColumns);
  if (units >= kFewUnits) return 1;
  const int64_t worthwhile = std::min(count * inner / (2 * kTaskWork), kMaxParts);
  return std::max<int64_t>(1, std::min(worthwhile, count));
}

}  // namespace

bool ReduceOperation::Supports(ReduceKind reduction, DType dtype) {
  return FindLoops(reduction, dtype).only != nullptr;
}

Result<ReduceOperation> ReduceOperation::Make(const ReduceProblem& p) {
  ReduceOperation operation;
  const Loops loops = FindLoops(p.reduction, p.dtype);
  if (loops.only == nullptr) return UnsupportedError("a reduction of {}", Name(p.dtype));

  // Neighbouring axes of one kind are one axis.
  struct Axis {
    int64_t count;
    bool reduced;
  };
  std::vector<Axis> axes;
  double divisor = 1;
  for (size_t i = 0; i < p.x.size(); ++i) {
    const bool reduced =
        std::find(p.axes.begin(), p.axes.end(), static_cast<int64_t>(i)) != p.axes.end();
    if (reduced) divisor *= static_cast<double>(p.x[i]);
    if (!axes.empty() && axes.back().reduced == reduced) {
      axes.back().count *= p.x[i];
    } else {
      axes.push_back({p.x[i], reduced});
    }
  }

  // One pass for each reduced axis, the innermost first; nothing reduced is a pass over single
  // elements.
  int64_t inner = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    if (!axes[i].reduced) {
      inner *= axes[i].count;
      continue;
    }
    int64_t outer = 1;
    for (size_t k = 0; k < i; ++k) outer *= axes[k].count;
    const int64_t parts = PartsOf(outer, axes[i].count, inner);
    operation.passes_.push_back({outer, axes[i].count, parts, inner});
    if (parts > 1) operation.passes_.push_back({outer, parts, 1, inner});
  }
  if (operation.passes_.empty()) operation.passes_.push_back({inner, 1, 1, 1});
  if (p.reduction == ReduceKind::kMean) operation.passes_.back().divisor = divisor;
  for (size_t i = 0; i < operation.passes_.size(); ++i) {
    Pass& pass = operation.passes_[i];
    const bool first = i == 0;
    const bool last = i + 1 == operation.passes_.size();
    pass.loop = first ? (last ? loops.only : loops.first) : (last ? loops.last : loops.middle);
    pass.x_size = first ? SizeOf(p.dtype) : loops.sum_size;
    pass.y_size = last ? SizeOf(p.dtype) : loops.sum_size;
    if (last) break;
    pass.y_offset = operation.scratch_bytes_;
    operation.scratch_bytes_ += AlignUp(pass.outer * pass.parts * pass.inner * pass.y_size);
  }
  return operation;
}

void ReduceOperation::RunPass(const Pass& pass, const std::byte* x, std::byte* y,
                              Executor& executor) const {
  const auto x_size = static_cast<int64_t>(pass.x_size);
  const auto y_size = static_cast<int64_t>(pass.y_size);
  const int64_t column_blocks = CeilDiv(pass.inner, kColumns);
  const int64_t units = pass.outer * pass.parts * column_blocks;
  if (units == 0) return;
  const int64_t tasks = std::min(units, TaskCount(pass.outer * pass.count * pass.inner, executor));
  executor.ParallelFor(tasks, [&](int64_t task, int) {
    const Range range = Part(units, tasks, task);
    for (int64_t unit = range.begin; unit < range.end; ++unit) {
      const Range columns = Part(pass.inner, column_blocks, unit % column_blocks);
      const int64_t result = unit / column_blocks;  // outer · parts + part
      const Range rows = Part(pass.count, pass.parts, result % pass.parts);
      const int64_t row = result / pass.parts * pass.count + rows.begin;
      pass.loop({x + (row * pass.inner + columns.begin) * x_size,
                 y + (result * pass.inner + columns.begin) * y_size, rows.size(), pass.inner,
                 columns.size(), pass.divisor});
    }
  });
}

void ReduceOperation::Run(const Buffers& buffers, Executor& executor) const {
  const std::byte* x = static_cast<const std::byte*>(buffers.inputs[0]);
  for (size_t i = 0; i < passes_.size(); ++i) {
    const bool last = i + 1 == passes_.size();
    std::byte* y =
        last ? static_cast<std::byte*>(buffers.outputs[0]) : buffers.scratch + passes_[i].y_offset;
    RunPass(passes_[i], x, y, executor);
    x = y;
  }
}

}  // namespace graft::cpu
