#include "kernels/cpu/plain/plain.h"

#include <algorithm>
#include <type_traits>

#include "base/dtype_visit.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {
namespace {

// sum + x · w. Integers are multiplied unsigned, where overflow wraps; in 32 bits at least, since
// narrower ones would be promoted to int.
template <class T>
T MultiplyAdd(T sum, T x, T w) {
  if constexpr (std::is_floating_point_v<T>) {
    return sum + x * w;
  } else {
    using U = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
    return static_cast<T>(static_cast<U>(sum) + static_cast<U>(x) * static_cast<U>(w));
  }
}

// y[i] += x · w[i]
template <class T>
void AddScaled(T x, const T* w, T* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = MultiplyAdd(y[i], x, w[i]);
}

// Calls row(i) for all rows, in parallel, and `finish` with blocks of those done.
template <class Row>
void ForEachRow(int64_t rows, int64_t columns, double work, const PlainArguments& arguments,
                Executor& executor, Row row) {
  constexpr int64_t kBlockRows = 32;  // few enough that the finish finds them in the cache
  if (rows == 0 || columns == 0) return;
  const int64_t tasks = std::min(rows, TaskCount(static_cast<int64_t>(work), executor));
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    const Range part = Part(rows, tasks, task);
    for (int64_t first = part.begin; first < part.end; first += kBlockRows) {
      const int64_t last = std::min(first + kBlockRows, part.end);
      for (int64_t i = first; i < last; ++i) row(i);
      if (arguments.finish) (*arguments.finish)({first, last - first, 0, columns}, worker);
    }
  });
}

// Where pixel `index` of the output lies.
struct Pixel {
  int64_t image;
  Spatial at;

  Pixel(const ConvProblem& p, int64_t index) {
    for (int axis = 2; axis >= 0; --axis) {
      at[axis] = index % p.output[axis];
      index /= p.output[axis];
    }
    image = index;
  }
};

template <class T>
void AddTap(const ConvFilter& f, const T* x, const T* w, T* y) {
  const int64_t inputs = f.group_inputs();
  const int64_t outputs = f.group_outputs();
  if (inputs == 1 && outputs == 1) {
    for (int64_t c = 0; c < f.output_channels; ++c) y[c] = MultiplyAdd(y[c], x[c], w[c]);
    return;
  }
  for (int64_t c = 0; c < f.input_channels; ++c) {
    const int64_t first = c / inputs * outputs;
    AddScaled(x[c], w + c % inputs * f.output_channels + first, y + first, outputs);
  }
}

template <class T>
void Convolve(const ConvProblem& p, const PlainArguments& arguments, Executor& executor) {
  const ConvFilter& f = p.filter;
  const T* input = static_cast<const T*>(arguments.x);
  const T* filter = static_cast<const T*>(arguments.w);
  T* output = static_cast<T*>(arguments.y);
  const int64_t tap_size = f.group_inputs() * f.output_channels;
  ForEachRow(p.rows(), f.output_channels, p.multiply_adds(), arguments, executor, [&](int64_t i) {
    const Pixel o(p, i);
    T* y = output + i * p.output_stride;
    std::fill_n(y, f.output_channels, T(0));
    Spatial start;
    TapRange taps[3];
    for (int axis = 0; axis < 3; ++axis) {
      start[axis] = o.at[axis] * f.stride[axis] - p.pad[axis];
      taps[axis] = TapsInside(p, axis, start[axis]);
    }
    for (int64_t a = taps[0].first; a < taps[0].last; ++a) {
      for (int64_t b = taps[1].first; b < taps[1].last; ++b) {
        for (int64_t c = taps[2].first; c < taps[2].last; ++c) {
          const int64_t d = start[0] + a * f.dilation[0];
          const int64_t h = start[1] + b * f.dilation[1];
          const int64_t w = start[2] + c * f.dilation[2];
          const int64_t pixel = ((o.image * p.input[0] + d) * p.input[1] + h) * p.input[2] + w;
          const int64_t tap = (a * f.kernel[1] + b) * f.kernel[2] + c;
          AddTap(f, input + pixel * p.input_stride, filter + tap * tap_size, y);
        }
      }
    }
  });
}

template <class T>
void ConvolveTransposed(const ConvProblem& p, const PlainArguments& arguments, Executor& executor) {
  const ConvFilter& f = p.filter;
  const T* input = static_cast<const T*>(arguments.x);
  const T* filter = static_cast<const T*>(arguments.w);
  T* output = static_cast<T*>(arguments.y);
  // The input coordinate that tap k brings to output coordinate o of an axis; -1: none.
  auto source = [&](int axis, int64_t o, int64_t k) -> int64_t {
    const int64_t scaled = o + p.pad[axis] - k * f.dilation[axis];
    if (scaled < 0 || scaled % f.stride[axis] != 0) return -1;
    const int64_t z = scaled / f.stride[axis];
    return z < p.input[axis] ? z : -1;
  };
  ForEachRow(p.rows(), f.output_channels, p.multiply_adds(), arguments, executor, [&](int64_t i) {
    const Pixel o(p, i);
    T* y = output + i * p.output_stride;
    std::fill_n(y, f.output_channels, T(0));
    for (int64_t tap = 0; tap < f.taps(); ++tap) {
      const int64_t d = source(0, o.at[0], tap / f.kernel[2] / f.kernel[1]);
      const int64_t h = source(1, o.at[1], tap / f.kernel[2] % f.kernel[1]);
      const int64_t w = source(2, o.at[2], tap % f.kernel[2]);
      if (d < 0 || h < 0 || w < 0) continue;
      const int64_t pixel = ((o.image * p.input[0] + d) * p.input[1] + h) * p.input[2] + w;
      const T* x = input + pixel * p.input_stride;
      const T* weights = filter + tap * f.output_channels * f.input_channels;
      for (int64_t c = 0; c < f.output_channels; ++c, weights += f.input_channels) {
        T sum = y[c];
        for (int64_t m = 0; m < f.input_channels; ++m) sum = MultiplyAdd(sum, x[m], weights[m]);
        y[c] = sum;
      }
    }
  });
}

template <class T>
void Multiply(const MatMulProblem& p, const PlainArguments& arguments, Executor& executor) {
  const auto products = static_cast<int64_t>(p.a_offsets.size());
  const int64_t rows = products * p.rows;
  const double work = static_cast<double>(rows) * static_cast<double>(p.columns * p.depth);
  ForEachRow(rows, p.columns, work, arguments, executor, [&](int64_t i) {
    const int64_t product = i / p.rows;
    const T* a = static_cast<const T*>(arguments.x) + p.a_offsets[product] + i % p.rows * p.a_row;
    const T* b =
        static_cast<const T*>(arguments.w) + p.b_offsets[p.b_offsets.size() == 1 ? 0 : product];
    T* c = static_cast<T*>(arguments.y) + i * p.c_row;
    std::fill_n(c, p.columns, T(0));
    // Along whichever axis of B has its elements side by side.
    if (p.b_column == 1) {
      for (int64_t k = 0; k < p.depth; ++k)
        AddScaled(a[k * p.a_depth], b + k * p.b_depth, c, p.columns);
      return;
    }
    for (int64_t n = 0; n < p.columns; ++n) {
      for (int64_t k = 0; k < p.depth; ++k)
        c[n] = MultiplyAdd(c[n], a[k * p.a_depth], b[k * p.b_depth + n * p.b_column]);
    }
  });
}

// f64 and the integers; the others have kernels of their own, or no products.
constexpr auto kPlainTypes = kNativeTypes - TypeSet<float, bool>{};

}  // namespace

PlainKernel<ConvProblem>::Loop PlainConvLoop(DType dtype) {
  return TryVisitDType(kPlainTypes, dtype, []<class T>(T) { return &Convolve<T>; });
}

PlainKernel<ConvProblem>::Loop PlainConvTransposeLoop(DType dtype) {
  return TryVisitDType(kPlainTypes, dtype, []<class T>(T) { return &ConvolveTransposed<T>; });
}

PlainKernel<MatMulProblem>::Loop PlainMatMulLoop(DType dtype) {
  return TryVisitDType(kPlainTypes, dtype, []<class T>(T) { return &Multiply<T>; });
}

}  // namespace graft::cpu
