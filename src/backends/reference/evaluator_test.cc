#include "backends/reference/evaluator.h"

#include <gtest/gtest.h>

namespace graft::reference {
namespace {

TEST(Evaluator, RunsAModuleOnAnyShape) {
  const Result<ir::Module> module = ir::ParseText(R"(graft-ir 1
symbol s0 input_dim 0 0 "x.0"
input "x" %0 f32[s0,2] "x"
constant %1 f32[2] "b" = {1,-9}
%2 f32[s0,2] "add" = pointwise program={2:r2=add.f32(r0,r1);r3=relu.f32(r2)} (%0,%1) "add"
%3 f32[s0] "sum" = reduce kind=sum axes=[1] keep_dims=false (%2) "sum"
%4 i64[2] "dims" = dims values=[s0,s0*2] dtype=i64 rank=1 () "dims"
output "y" %3
output "n" %4
)");
  ASSERT_TRUE(module.ok()) << module.status().message();
  const Tensor x[] = {Tensor::Of<float>({3, 2}, {1, 2, 3, 4, 5, 16})};
  const Result<std::vector<Tensor>> y = RunModule(*module, x);
  ASSERT_TRUE(y.ok()) << y.status().message();
  EXPECT_TRUE(BitwiseEqual((*y)[0], Tensor::Of<float>({3}, {2, 4, 13})));
  EXPECT_TRUE(BitwiseEqual((*y)[1], Tensor::Of<int64_t>({2}, {3, 6})));
}

TEST(Evaluator, ErrorsNameTheNode) {
  const Result<ir::Module> module = ir::ParseText(R"(graft-ir 1
symbol s0 input_dim 0 0 "x.0"
symbol s1 input_dim 1 0 "y.0"
input "x" %0 f32[s0] "x"
input "y" %1 f32[s1] "y"
%2 f32[broadcast(s0,s1)] "add" = pointwise program={2:r2=add.f32(r0,r1)} (%0,%1) "add"
output "z" %2
)");
  ASSERT_TRUE(module.ok()) << module.status().message();
  const Tensor fits[] = {Tensor::Of<float>({2}, {1, 2}), Tensor::Of<float>({1}, {1})};
  EXPECT_TRUE(RunModule(*module, fits).ok());
  const Tensor not_same[] = {Tensor::Of<float>({2}, {1, 2}), Tensor::Of<float>({3}, {1, 2, 3})};
  EXPECT_EQ(RunModule(*module, not_same).status().message(),
            "add: shapes [2] and [3] do not broadcast");
  EXPECT_FALSE(RunModule(*module, std::span(fits, 1)).ok());
}

}  // namespace
}  // namespace graft::reference
