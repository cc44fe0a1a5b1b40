#include "kernels/reference/sums.h"

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

template <class A>
std::vector<A> Multiply(const MatMulProblem& p, const ConstArray& a, const ConstArray& b,
                        const Array& y) {
  const std::vector<A> left = Widened<A>(a);
  const std::vector<A> right = Widened<A>(b);
  const int64_t rank = y.rank();
  const int64_t rows = y.dims[rank - 2];
  const int64_t columns = y.dims[rank - 1];
  const int64_t a_rows = a.dims[a.rank() - 2];
  const int64_t a_columns = a.dims.back();
  const int64_t b_rows = b.dims[b.rank() - 2];
  const int64_t b_columns = b.dims.back();
  const int64_t depth = p.transpose_a ? a_rows : a_columns;
  std::vector<A> all(y.elements());
  A* sums = all.data();
  ForEachIndex(std::span(y.dims).first(rank - 2), [&](std::span<const int64_t> index) {
    const A* a_matrix = left.data() + MatrixOf(a, index) * a_rows * a_columns;
    const A* b_matrix = right.data() + MatrixOf(b, index) * b_rows * b_columns;
    for (int64_t m = 0; m < rows; ++m, sums += columns) {
      for (int64_t k = 0; k < depth; ++k) {
        const A x = a_matrix[p.transpose_a ? k * a_columns + m : m * a_columns + k];
        for (int64_t n = 0; n < columns; ++n) {
          sums[n] += x * b_matrix[p.transpose_b ? n * b_columns + k : k * b_columns + n];
        }
      }
    }
  });
  return all;
}

}  // namespace

Status Run(const MatMulProblem& problem, Inputs in, Outputs out) {
  if (out[0].elements() == 0) return OkStatus();
  const DType sums = SumsOf(problem.accumulator, in[0].dtype);
  return WithAccumulator(sums, [&](auto type) {
    return FinishSums(Multiply<decltype(type)>(problem, in[0], in[1], out[0]), sums,
                      problem.epilogue, in.subspan(2), out[0]);
  });
}

}  // namespace graft::reference
