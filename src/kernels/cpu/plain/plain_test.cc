#include "kernels/cpu/plain/plain.h"

#include "kernels/cpu/test_util.h"

namespace graft::cpu {
namespace {

TEST(Plain, TypesOfTheirOwnKernelsAreLeftToThem) {
  for (DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kBool}) {
    EXPECT_EQ(PlainConvLoop(dtype), nullptr) << Name(dtype);
    EXPECT_EQ(PlainConvTransposeLoop(dtype), nullptr) << Name(dtype);
    EXPECT_EQ(PlainMatMulLoop(dtype), nullptr) << Name(dtype);
  }
}

TEST(Plain, ProductsWrap) {
  MatMulProblem p;
  p.rows = p.columns = 1;
  p.depth = 2;
  p.a_offsets = p.b_offsets = {0};
  p.a_row = 2;
  p.b_depth = p.c_row = 1;
  const std::vector<int32_t> a = {INT32_MAX, 3};
  const std::vector<int32_t> b = {2, 5};
  int32_t c = 0;
  const std::unique_ptr<Executor> executor = MakeTbbExecutor(1);
  PlainKernel<MatMulProblem>(p, PlainMatMulLoop(DType::kInt32))
      .Run({a.data(), b.data(), &c}, *executor);
  EXPECT_EQ(c, 13);
}

TEST(Plain, RowsAreFinishedOnce) {
  ConvProblem p;
  p.filter.input_channels = 2;
  p.filter.output_channels = 3;
  p.batch = 2;
  p.input = p.output = {1, 7, 11};
  p.input_stride = 2;
  p.output_stride = 3;
  const std::vector<double> x(p.rows() * 2, 1);
  const std::vector<double> w = {1, 2, 3, 4, 5, 6};
  std::vector<double> y(p.rows() * 3);
  std::vector<int> finished(p.rows());
  const auto finish = [&](const SumsBlock& b, int) {
    EXPECT_EQ(b.column, 0);
    EXPECT_EQ(b.columns, 3);
    for (int64_t r = b.row; r < b.row + b.rows; ++r) ++finished[r];
  };
  const BlockFunction function = finish;
  const std::unique_ptr<Executor> executor = MakeTbbExecutor(3);
  PlainKernel<ConvProblem>(p, PlainConvLoop(DType::kFloat64))
      .Run({x.data(), w.data(), y.data(), &function}, *executor);
  EXPECT_EQ(finished, std::vector<int>(p.rows(), 1));
  EXPECT_EQ((std::vector<double>(y.end() - 3, y.end())), (std::vector<double>{5, 7, 9}));
}

}  // namespace
}  // namespace graft::cpu
