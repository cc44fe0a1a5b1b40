// Products of matrices: any strides, any number of products at once.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "kernels/cpu/element_types.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/matmul/gemm.h"

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
  ElementTypes types;  // the kernel's: those of its row; its filter is B
};

struct MatMulArguments {
  const void* a = nullptr;
  const void* b = nullptr;  // packed where the kernel wants that
  void* c = nullptr;        // of the accumulator's type
  Epilogue epilogue;
  void* workspace = nullptr;  // 64-byte aligned
};

// Sizes are in bytes.
struct MatMulKernel {
  std::string_view name;
  int version;
  std::string_view packing;  // of B; "" when B is read as it is
  ElementTypes types;
  SumsIn sums;
  size_t (*packed_bytes)(const MatMulProblem& problem);  // of every B of the problem
  void (*pack)(const MatMulProblem& problem, const void* b, void* packed, Executor& executor);
  size_t (*workspace_bytes)(const MatMulProblem& problem, int width);
  void (*run)(const MatMulProblem& problem, const MatMulArguments& arguments, Executor& executor);
  double (*cost)(const MatMulProblem& problem);  // in cycles of one core
};

// Rows may share functions: the problem says for which types they are called.
#define GRAFT_MATMUL_KERNEL(Id, name, version, packing, Input, Filter, Accumulator, Sums)       \
  size_t Id##PackedBytes(const MatMulProblem& problem);                                         \
  void Id##Pack(const MatMulProblem& problem, const void* b, void* packed, Executor& executor); \
  size_t Id##WorkspaceBytes(const MatMulProblem& problem, int width);                           \
  void Id##Run(const MatMulProblem& problem, const MatMulArguments& arguments,                  \
               Executor& executor);                                                             \
  double Id##Cost(const MatMulProblem& problem);
#include "kernels/cpu/matmul/kernels.inc"
#undef GRAFT_MATMUL_KERNEL

// The last one of f32 takes any B.
std::span<const MatMulKernel> MatMulKernels();

// All products as one, when they are one tall matrix times the same B; else a group for each.
// `panels` are the elements of one packed B.
GemmProblem MatMulProduct(const MatMulProblem& problem, int64_t panels);

}  // namespace graft::cpu
