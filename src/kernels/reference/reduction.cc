#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/reference/kernels.h"

namespace graft::reference {
namespace {

template <class T>
T Lowest() {
  return kIsFloat<T> ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
}
template <class T>
T Highest() {
  return kIsFloat<T> ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
}

// Starts the reduction of every output element, then joins each input element to its own.
// join(accumulated, element) gives the new accumulated value.
template <class T, class A, class Join>
std::vector<A> Fold(const ReduceProblem& p, const ConstArray& x, int64_t outputs, A start,
                    Join join) {
  std::vector<bool> reduced(x.rank(), false);
  for (int64_t axis : p.axes) reduced[axis] = true;
  std::vector<A> folded(outputs, start);
  ForEachIndex(x.dims, [&](std::span<const int64_t> index) {
    int64_t output = 0;
    for (size_t i = 0; i < index.size(); ++i) {
      if (!reduced[i]) output = output * x.dims[i] + index[i];
    }
    folded[output] = join(folded[output], x.Row<T>(0)[x.Offset(index)]);
  });
  return folded;
}

template <class T, class A, class Finish>
void Store(const std::vector<A>& folded, const Array& y, Finish finish) {
  int64_t i = 0;
  for (int64_t row = 0; row < y.rows(); ++row) {
    for (int64_t c = 0; c < y.row_length(); ++c) y.Row<T>(row)[c] = finish(folded[i++]);
  }
}

template <class T>
void ReduceNumbers(const ReduceProblem& p, const ConstArray& x, const Array& y) {
  using A = Accumulator<T>;
  const int64_t outputs = y.elements();
  auto store = [&](const auto& folded) {
    Store<T>(folded, y, [](auto v) { return static_cast<T>(v); });
  };
  switch (p.kind) {
    case ReduceKind::kSum:
      return store(Fold<T, A>(p, x, outputs, 0, [](A a, T v) { return a + static_cast<A>(v); }));
    case ReduceKind::kProd:
      return store(Fold<T, A>(p, x, outputs, 1, [](A a, T v) { return a * static_cast<A>(v); }));
    case ReduceKind::kMean: {
      const int64_t count = outputs == 0 ? 0 : x.elements() / outputs;
      const auto sums =
          Fold<T, A>(p, x, outputs, 0, [](A a, T v) { return a + static_cast<A>(v); });
      return Store<T>(sums, y, [&](A sum) {
        if constexpr (kIsFloat<T>) {
          return static_cast<T>(sum / A(count));
        } else {
          // TensorFlow's integer mean truncates; that of nothing is undefined there.
          return count == 0 ? T(0) : static_cast<T>(static_cast<int64_t>(sum) / count);
        }
      });
    }
    case ReduceKind::kMax:
      return store(Fold<T, T>(p, x, outputs, Lowest<T>(), [](T a, T v) {
        return a != a ? a : v > a || v != v ? v : a;
      }));
    case ReduceKind::kMin:
      return store(Fold<T, T>(p, x, outputs, Highest<T>(), [](T a, T v) {
        return a != a ? a : v < a || v != v ? v : a;
      }));
    case ReduceKind::kAll:
    case ReduceKind::kAny:
      GRAFT_CHECK(false, "a logical reduction of {}", Name(x.dtype));
  }
}

void ReduceBools(const ReduceProblem& p, const ConstArray& x, const Array& y) {
  const bool all = p.kind == ReduceKind::kAll || p.kind == ReduceKind::kMin;
  const auto folded = Fold<bool, uint8_t>(
      p, x, y.elements(), all, [&](uint8_t a, bool v) -> uint8_t { return all ? a && v : a || v; });
  Store<bool>(folded, y, [](uint8_t v) { return v != 0; });
}

// Calls line(first offset, step, index of the line) for every line of x along `axis`.
template <class Line>
void ForEachLine(const ConstArray& x, int64_t axis, Line line) {
  Dims others = x.dims;
  others[axis] = 1;
  int64_t step = x.rank() - 1 == axis ? 1 : x.row_stride;
  for (int64_t i = axis + 1; i + 1 < x.rank(); ++i) step *= x.dims[i];
  int64_t number = 0;
  ForEachIndex(others,
               [&](std::span<const int64_t> index) { line(x.Offset(index), step, number++); });
}

template <class T, class I>
void ArgReduce(const ArgReduceProblem& p, const ConstArray& x, const Array& y) {
  const int64_t length = x.dims[p.axis];
  const int64_t row_length = y.row_length();
  ForEachLine(x, p.axis, [&](int64_t first, int64_t step, int64_t number) {
    const T* line = x.Row<T>(0) + first;
    // As in TensorFlow, what is not beyond the finite limits (NaN too) never wins.
    T best = p.smallest ? std::numeric_limits<T>::max() : std::numeric_limits<T>::lowest();
    int64_t at = 0;
    for (int64_t i = 0; i < length; ++i) {
      const T value = line[i * step];
      if (p.smallest ? value < best : value > best) best = value, at = i;
    }
    y.Row<I>(number / row_length)[number % row_length] = static_cast<I>(at);
  });
}

template <class T>
void Softmax(const SoftmaxProblem& p, const ConstArray& x, const Array& y) {
  const int64_t length = x.row_length();
  std::vector<double> exponentials(length);
  for (int64_t row = 0; row < x.rows() && length > 0; ++row) {
    const T* from = x.Row<T>(row);
    T* to = y.Row<T>(row);
    const double largest = *std::max_element(from, from + length);
    double sum = 0;
    for (int64_t i = 0; i < length; ++i) sum += exponentials[i] = std::exp(from[i] - largest);
    for (int64_t i = 0; i < length; ++i) {
      to[i] = static_cast<T>(p.log ? from[i] - largest - std::log(sum) : exponentials[i] / sum);
    }
  }
}

template <class T>
void TopK(const ConstArray& x, const Array& values, const Array& indices) {
  const int64_t k = values.row_length();
  std::vector<int32_t> order(x.row_length());
  for (int64_t row = 0; row < x.rows(); ++row) {
    const T* from = x.Row<T>(row);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return from[a] > from[b]; });
    for (int64_t i = 0; i < k; ++i) {
      values.Row<T>(row)[i] = from[order[i]];
      indices.Row<int32_t>(row)[i] = order[i];
    }
  }
}

}  // namespace

void Run(const ReduceProblem& problem, Inputs in, Outputs out) {
  if (in[0].dtype == DType::kBool) return ReduceBools(problem, in[0], out[0]);
  VisitDType(kNumberTypes, in[0].dtype,
             [&](auto type) { ReduceNumbers<decltype(type)>(problem, in[0], out[0]); });
}

void Run(const ArgReduceProblem& problem, Inputs in, Outputs out) {
  VisitDType(kEngineTypes, in[0].dtype, [&](auto type) {
    VisitDType(kNumberTypes, out[0].dtype, [&](auto index) {
      ArgReduce<decltype(type), decltype(index)>(problem, in[0], out[0]);
    });
  });
}

void Run(const SoftmaxProblem& problem, Inputs in, Outputs out) {
  VisitDType(kFloatTypes, in[0].dtype,
             [&](auto type) { Softmax<decltype(type)>(problem, in[0], out[0]); });
}

void Run(const TopKProblem&, Inputs in, Outputs out) {
  VisitDType(kNumberTypes, in[0].dtype,
             [&](auto type) { TopK<decltype(type)>(in[0], out[0], out[1]); });
}

void Run(const CumulativeProblem& problem, Inputs in, Outputs out) {
  const ConstArray& x = in[0];
  const Array& y = out[0];
  const int64_t n = x.dims[problem.axis];
  Dims lines = x.dims;  // of the first element of each line
  lines[problem.axis] = std::min<int64_t>(n, 1);
  VisitDType(kNumberTypes, x.dtype, [&](auto type) {
    using T = decltype(type);
    using A = Accumulator<T>;
    ForEachIndex(lines, [&](std::span<const int64_t> first) {
      Dims index(first.begin(), first.end());
      A joined = problem.product ? 1 : 0;
      for (int64_t i = 0; i < n; ++i) {
        index[problem.axis] = problem.reverse ? n - 1 - i : i;
        const A before = joined;
        const A element = static_cast<A>(x.Row<T>(0)[x.Offset(index)]);
        joined = problem.product ? joined * element : joined + element;
        y.Row<T>(0)[y.Offset(index)] = static_cast<T>(problem.exclusive ? before : joined);
      }
    });
  });
}

}  // namespace graft::reference
