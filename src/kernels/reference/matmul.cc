#include "kernels/reference/kernels.h"

namespace graft::reference {
namespace {

// The matrix that a broadcast operand contributes to batch `index` of the result.
int64_t MatrixOf(const ConstArray& x, std::span<const int64_t> index) {
  int64_t matrix = 0;
  const size_t batch_dims = x.dims.size() - 2;
  for (size_t i = 0; i < batch_dims; ++i)
    matrix = matrix * x.dims[i] + (x.dims[i] == 1 ? 0 : index[index.size() - batch_dims + i]);
  return matrix;
}

template <class T>
void Multiply(const MatMulProblem& p, const ConstArray& a, const ConstArray& b, const Array& y) {
  const int64_t rank = y.rank();
  const int64_t rows = y.dims[rank - 2];
  const int64_t columns = y.dims[rank - 1];
  const int64_t a_rows = a.dims[a.rank() - 2];
  const int64_t b_rows = b.dims[b.rank() - 2];
  const int64_t depth = p.transpose_a ? a_rows : a.dims.back();
  std::vector<Accumulator<T>> sums(columns);
  int64_t batch = 0;
  ForEachIndex(std::span(y.dims).first(rank - 2), [&](std::span<const int64_t> index) {
    const int64_t a_first = MatrixOf(a, index) * a_rows;
    const int64_t b_first = MatrixOf(b, index) * b_rows;
    for (int64_t m = 0; m < rows; ++m) {
      std::fill(sums.begin(), sums.end(), 0);
      for (int64_t k = 0; k < depth; ++k) {
        const auto left = static_cast<Accumulator<T>>(p.transpose_a ? a.Row<T>(a_first + k)[m]
                                                                    : a.Row<T>(a_first + m)[k]);
        for (int64_t n = 0; n < columns; ++n) {
          const T right = p.transpose_b ? b.Row<T>(b_first + n)[k] : b.Row<T>(b_first + k)[n];
          sums[n] += left * static_cast<Accumulator<T>>(right);
        }
      }
      T* result = y.Row<T>(batch * rows + m);
      for (int64_t n = 0; n < columns; ++n) result[n] = static_cast<T>(sums[n]);
    }
    ++batch;
  });
}

}  // namespace

Status Run(const MatMulProblem& problem, Inputs in, Outputs out) {
  VisitDType(kNumberTypes, in[0].dtype,
             [&](auto type) { Multiply<decltype(type)>(problem, in[0], in[1], out[0]); });
  return ApplyEpilogue(problem.epilogue, out[0], in.subspan(2));
}

}  // namespace graft::reference
