// Every kernel of kernels.inc, on every instruction set of this processor, against simple loops.
#include "kernels/cpu/matmul/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>

#include "base/aligned_buffer.h"
#include "kernels/cpu/test_util.h"

namespace graft::cpu {
namespace {

struct Case {
  int64_t products;
  int64_t rows;
  int64_t depth;
  int64_t columns;
  bool transpose_a = false;
  bool transpose_b = false;
  bool shared_b = false;
};

const Case kCases[] = {
    {1, 1, 1000, 70},
    {1, 1, 7, 1},
    {1, 5, 64, 16},
    {1, 33, 300, 100},
    {3, 4, 20, 31},
    {4, 17, 9, 40, true, false},
    {2, 15, 257, 33, false, true},
    {3, 6, 50, 20, true, true},
    {5, 3, 40, 24, false, false, true},
    {2, 9, 30, 48, true, false, true},
    {1, 64, 512, 700},
    {1, 0, 4, 4},
    {1, 3, 0, 20},
};

void Check(const MatMulKernel& kernel, const Case& c, int threads) {
  MatMulProblem p;
  p.rows = c.rows;
  p.columns = c.columns;
  p.depth = c.depth;
  for (int64_t i = 0; i < c.products; ++i) {
    p.a_offsets.push_back(i * c.rows * c.depth);
    if (i == 0 || !c.shared_b) p.b_offsets.push_back(i * c.depth * c.columns);
  }
  p.a_row = c.transpose_a ? 1 : c.depth;
  p.a_depth = c.transpose_a ? c.rows : 1;
  p.b_depth = c.transpose_b ? 1 : c.columns;
  p.b_column = c.transpose_b ? c.depth : 1;
  p.c_row = c.columns + 3;
  const auto a = RandomFloats(c.products * c.rows * c.depth, 1);
  const auto b = RandomFloats(c.products * c.depth * c.columns, 2);
  const auto bias = RandomFloats(c.columns, 3);
  std::vector<float> output(c.products * c.rows * p.c_row, -1.0f);

  const std::unique_ptr<Executor> executor = MakeTbbExecutor(threads);
  p.types = kernel.types;
  AlignedBuffer packed(kernel.packed_bytes(p)), again(kernel.packed_bytes(p));
  MatMulArguments arguments;
  arguments.a = a.data();
  arguments.b = b.data();
  if (!kernel.packing.empty()) {
    // Every byte is written: plans keep them.
    std::fill_n(packed.data(), packed.size(), std::byte{0x55});
    std::fill_n(again.data(), again.size(), std::byte{0xaa});
    kernel.pack(p, b.data(), packed.data(), *executor);
    kernel.pack(p, b.data(), again.data(), *executor);
    ASSERT_TRUE(std::equal(packed.data(), packed.data() + packed.size(), again.data()));
    arguments.b = packed.data();
  }
  AlignedBuffer workspace(kernel.workspace_bytes(p, executor->width()));
  arguments.c = output.data();
  arguments.epilogue.bias = bias.data();
  arguments.epilogue.low = -3;
  arguments.workspace = workspace.data();
  kernel.run(p, arguments, *executor);

  for (int64_t i = 0; i < c.products; ++i) {
    const int64_t b_offset = c.shared_b ? 0 : p.b_offsets[i];
    for (int64_t r = 0; r < c.rows; ++r) {
      for (int64_t n = 0; n < c.columns; ++n) {
        double sum = bias[n];
        for (int64_t k = 0; k < c.depth; ++k) {
          sum += static_cast<double>(a[p.a_offsets[i] + r * p.a_row + k * p.a_depth]) *
                 b[b_offset + k * p.b_depth + n * p.b_column];
        }
        ASSERT_NEAR(output[(i * c.rows + r) * p.c_row + n], std::max(sum, -3.0), 2e-4)
            << i << " " << r << " " << n;
      }
      ASSERT_EQ(output[(i * c.rows + r) * p.c_row + c.columns], -1.0f);
    }
  }
}

TEST(MatMulKernels, AgreeWithTheDefinition) {
  for (const std::string& target : SupportedTargets()) {
    const ScopedTarget scoped(target);
    for (const MatMulKernel& kernel : MatMulKernels()) {
      if (kernel.types != ElementTypes()) continue;  // conformance has those of other types
      for (size_t i = 0; i < std::size(kCases); ++i) {
        for (int threads : {1, 3}) {
          SCOPED_TRACE(testing::Message() << kernel.name << " on " << target << ", case " << i);
          Check(kernel, kCases[i], threads);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

}  // namespace
}  // namespace graft::cpu
