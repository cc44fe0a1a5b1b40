// The loop against the program that it stands for, instruction by instruction.
#include "kernels/cpu/pointwise/requantize.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/cpu/pointwise/pointwise.h"
#include "kernels/cpu/targets.h"

namespace graft::cpu {
namespace {

constexpr std::string_view kPlain =
    "2:r2=cast.f32(r0);r3=mul.f32(r2,r1);r4=round.f32(r3);r5=clamp.f32(r4|-127,127);r6=cast.i8(r5)";
constexpr std::string_view kBias =
    "3:r3=add.i32(r0,r1);r4=cast.f32(r3);r5=mul.f32(r4,r2);r6=round.f32(r5);r7=clamp.f32(r6|0,95);"
    "r8=cast.i8(r7)";
constexpr std::string_view kResidual =
    "4:r4=add.i32(r0,r1);r5=cast.f32(r4);r6=mul.f32(r5,r2);r7=cast.f32(r3);r8=constant.f32(|0.3,0);"
    "r9=mul.f32(r7,r8);r10=add.f32(r6,r9);r11=round.f32(r10);r12=clamp.f32(r11|-127,127);"
    "r13=cast.i8(r12)";

std::vector<DType> TypesOf(const PointwiseProgram& program) {
  std::vector<DType> types = {DType::kInt32};
  if (program.inputs >= 3) types.push_back(DType::kInt32);
  types.push_back(DType::kFloat32);
  if (program.inputs == 4) types.push_back(DType::kInt8);
  return types;
}

TEST(Requantize, GivesTheBitsOfItsProgram) {
  std::mt19937 random(1);
  const int64_t rows = 3;
  for (const std::string& target : SupportedTargets()) {
    const ScopedTarget scoped(target);
    for (const std::string_view text : {kPlain, kBias, kResidual}) {
      const PointwiseProgram program = ParsePointwise(text).value();
      const std::vector<DType> types = TypesOf(program);
      const std::optional<RequantizingProgram> found = MatchRequantization(program, types);
      ASSERT_TRUE(found) << text;
      PointwiseKernel kernel = PointwiseKernel::Compile(program, types).value();
      AlignedBuffer scratch(kernel.scratch_bytes());
      for (const int64_t columns : {1, 7, 8, 33, 64}) {
        std::vector<int32_t> sums(rows * columns);
        std::vector<int32_t> bias(columns);
        std::vector<float> multiplier(columns);
        std::vector<int8_t> residual(rows * columns);
        for (int32_t& v : sums) v = static_cast<int32_t>(random()) >> (random() % 20);
        for (int32_t& v : bias) v = static_cast<int32_t>(random()) >> 12;
        // Halves are frequent, and sums that are far too large.
        for (float& v : multiplier) v = 1.0F / static_cast<float>(2 + random() % 60000);
        for (int8_t& v : residual) v = static_cast<int8_t>(random());
        std::vector<RowsOperand> operands = {{sums.data(), columns, 1}};
        if (program.inputs >= 3) operands.push_back({bias.data(), 0, 1});
        operands.push_back({multiplier.data(), 0, 1});
        if (program.inputs == 4) operands.push_back({residual.data(), columns, 1});
        std::vector<int8_t> wanted(rows * columns, 99);
        std::vector<int8_t> got(rows * columns, 98);
        kernel.RunRows(rows, columns, operands, wanted.data(), columns, scratch.data());
        Requantization r;
        r.low = found->low;
        r.high = found->high;
        r.multiplier = multiplier.data();
        if (found->bias > 0) r.bias = bias.data();
        if (found->residual > 0) {
          r.residual = residual.data();
          r.residual_stride = columns;
          r.residual_multiplier = found->residual_multiplier;
        }
        Requantize(r, rows, columns, sums.data(), columns, got.data(), columns);
        EXPECT_EQ(got, wanted) << target << " " << text << " " << columns;
      }
    }
  }
}

TEST(Requantize, IsFoundInNothingElse) {
  const DType types[] = {DType::kInt32, DType::kFloat32, DType::kFloat32};
  for (const std::string_view text :
       {// other operands, a bound that is no integer, work before the rounding, another result
        "3:r3=cast.f32(r0);r4=mul.f32(r3,r1);r5=mul.f32(r4,r2);r6=round.f32(r5);"
        "r7=clamp.f32(r6|0,1);r8=cast.i8(r7)",
        "3:r3=cast.f32(r0);r4=mul.f32(r3,r1);r5=round.f32(r4);r6=clamp.f32(r5|0,1.5);"
        "r7=cast.i8(r6)",
        "3:r3=cast.f32(r0);r4=mul.f32(r3,r1);r5=relu.f32(r4);r6=round.f32(r5);"
        "r7=clamp.f32(r6|0,1);r8=cast.i8(r7)",
        "3:r3=cast.f32(r0);r4=mul.f32(r3,r1);r5=round.f32(r4);r6=clamp.f32(r5|0,1);"
        "r7=cast.u8(r6)",
        "3:r3=mul.f32(r2,r1)"}) {
    EXPECT_FALSE(MatchRequantization(ParsePointwise(text).value(), types)) << text;
  }
  EXPECT_FALSE(MatchRequantization({1, {}}, std::vector<DType>{DType::kInt32}));
}

}  // namespace
}  // namespace graft::cpu
