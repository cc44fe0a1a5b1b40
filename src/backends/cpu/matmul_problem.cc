#include "backends/cpu/matmul_problem.h"

namespace graft::cpu {
namespace {

// A stack of matrices: the last two dimensions of a value, rows `row_stride` apart.
struct Stack {
  std::span<const int64_t> batch;
  int64_t matrix;  // elements from one matrix to the next

  Stack(std::span<const int64_t> dims, int64_t row_stride)
      : batch(dims.first(dims.size() - 2)), matrix(dims[dims.size() - 2] * row_stride) {}
  int64_t count() const { return CountElements(batch); }
  // Where the matrix lies that the stack of `dims` reads at its position `index`, by broadcasting.
  int64_t Offset(std::span<const int64_t> dims, int64_t index) const {
    int64_t offset = 0;
    int64_t stride = matrix;
    for (size_t i = 0; i < dims.size(); ++i) {
      const size_t axis = dims.size() - 1 - i;
      if (i < batch.size()) {
        const int64_t n = batch[batch.size() - 1 - i];
        if (n != 1) offset += index % dims[axis] * stride;
        stride *= n;
      }
      index /= dims[axis];
    }
    return offset;
  }
};

// What packing needs to know: B alone.
void DescribeB(std::span<const int64_t> dims, int64_t row_stride, bool transpose,
               MatMulProblem* p) {
  const int64_t rows = dims[dims.size() - 2];
  const int64_t columns = dims[dims.size() - 1];
  p->depth = transpose ? columns : rows;
  p->columns = transpose ? rows : columns;
  p->b_depth = transpose ? 1 : row_stride;
  p->b_column = transpose ? row_stride : 1;
}

}  // namespace

MatMulProblem MakePackedMatMulProblem(const ir::MatMulAttributes& attributes, const Dims& b) {
  MatMulProblem p;
  DescribeB(b, b.back(), attributes.transpose_b, &p);
  const Stack stack(b, b.back());
  if (CountElements(b) == 0) return p;  // no matrix has anything in it
  for (int64_t i = 0; i < stack.count(); ++i) p.b_offsets.push_back(i * stack.matrix);
  return p;
}

MatMulProblem MakeMatMulProblem(const BoundNode& node) {
  const auto& attributes = std::get<ir::MatMulAttributes>(node.attributes);
  const BoundValue& a = node.inputs[0];
  const BoundValue& b = node.inputs[1];
  const BoundValue& y = node.outputs[0];
  MatMulProblem p;
  DescribeB(b.dims, b.row_stride, attributes.transpose_b, &p);
  p.rows = y.dims[y.dims.size() - 2];
  p.a_row = attributes.transpose_a ? 1 : a.row_stride;
  p.a_depth = attributes.transpose_a ? a.row_stride : 1;
  p.c_row = y.row_stride;
  const Stack a_stack(a.dims, a.row_stride);
  const Stack b_stack(b.dims, b.row_stride);
  const Stack y_stack(y.dims, y.row_stride);
  const int64_t products = CountElements(y.dims) == 0 ? 0 : y_stack.count();
  for (int64_t i = 0; i < products; ++i) {
    p.a_offsets.push_back(a_stack.Offset(y_stack.batch, i));
    if (i == 0 || b_stack.count() != 1) p.b_offsets.push_back(b_stack.Offset(y_stack.batch, i));
  }
  if (p.b_offsets.empty()) p.b_offsets.push_back(0);
  return p;
}

}  // namespace graft::cpu
