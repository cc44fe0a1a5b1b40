// Products of matrices, single precision: any strides, any number of products at once.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "kernels/cpu/epilogue.h"

namespace graft::cpu {

// Product i is C[i * rows …] = A[i] · B[i], element (r, k) of A[i] at a_offsets[i] + r * a_row +
// k * a_depth, (k, c) of B[i] at b_offsets[i] + k * b_depth + c * b_column. One b_offset serves all
// products.
struct MatMulProblem {
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t depth = 0;
  std::vector<int64_t> a_offsets;
  std::vector<int64_t> b_offsets;
  int64_t a_row = 0;
  int64_t a_depth = 1;
  int64_t b_depth = 0;
  int64_t b_column = 1;
  int64_t c_row = 0;
};

struct MatMulArguments {
  const float* a = nullptr;
  const float* b = nullptr;  // panels where the kernel wants them
  float* c = nullptr;
  Epilogue epilogue;
  float* workspace = nullptr;  // 64-byte aligned
};

struct MatMulKernel {
  std::string_view name;
  int version;
  std::string_view packing;  // of B; "" when B is read as it is
  int64_t (*workspace_size)(const MatMulProblem& problem, int width);  // in floats
  void (*run)(const MatMulProblem& problem, const MatMulArguments& arguments, Executor& executor);
  double (*cost)(const MatMulProblem& problem);  // in cycles of one core
};

#define GRAFT_MATMUL_KERNEL(Id, name, version, packing)                        \
  int64_t Id##WorkspaceSize(const MatMulProblem& problem, int width);          \
  void Id##Run(const MatMulProblem& problem, const MatMulArguments& arguments, \
               Executor& executor);                                            \
  double Id##Cost(const MatMulProblem& problem);
#include "kernels/cpu/matmul/kernels.inc"
#undef GRAFT_MATMUL_KERNEL

// The last one takes any B.
std::span<const MatMulKernel> MatMulKernels();

// Panels of every matrix B of the problem.
int64_t MatMulPanelsSize(const MatMulProblem& problem);
void PackMatMul(const MatMulProblem& problem, const float* b, float* panels, Executor& executor);

}  // namespace graft::cpu
