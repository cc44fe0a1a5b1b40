#include "backends/cuda/program_text.h"

#include <gmock/gmock.h>

#include "backends/cuda/compiler.h"
#include "backends/cuda/prepared.h"

namespace graft::cuda {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Lt;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

TEST(ProgramText, ComputesEachRegisterInItsType) {
  const PointwiseProgram program =
      ParsePointwise("2:r2=add.f16(r0,r1);r3=lt.bool(r2,r0);r4=select.f16(r3,r2,r1)").value();
  const DType inputs[] = {DType::kFloat16, DType::kFloat16};
  const std::string text = ProgramText(program, inputs, /*first=*/false);
  EXPECT_THAT(text, HasSubstr("typedef f16 Y;"));
  EXPECT_THAT(text, HasSubstr("const f16 r2 = f16(kAdd(Arithmetic<f16>(r0), Arithmetic<f16>(r1)"));
  EXPECT_THAT(text, HasSubstr("const bool r3 = Arithmetic<f16>(r2) < Arithmetic<f16>(r0);"));
  EXPECT_THAT(text, HasSubstr("const f16 r4 = r3 ? r2 : r1;"));
  EXPECT_THAT(text, HasSubstr("#define CALL(load) Program(undefined, load(0, f16), load(1, f16))"));
}

// What a class includes is compiled with it and part of its hash.
TEST(ProgramText, IsIncludedByALineThatNamesWhatItSays) {
  const DType inputs[] = {DType::kFloat32};
  const auto line_of = [&](std::string_view program, bool first = false) {
    return IncludedProgram(ParsePointwise(program).value(), inputs, first);
  };
  const std::string line = line_of("1:r1=relu.f32(r0)");
  EXPECT_THAT(line, AllOf(StartsWith("#include \"part-"), EndsWith("\"\n"), SizeIs(Lt(64))));
  EXPECT_EQ(line_of("1:r1=relu.f32(r0)"), line);
  for (const std::string& other :
       {line_of("1:r1=relu.f32(r0)", /*first=*/true), line_of("1:r1=abs.f32(r0)"),
        line_of("1:r1=clamp.f32(r0|0,6)"), line_of("1:r1=clamp.f32(r0|-0,6)")})
    EXPECT_NE(other, line);
  EXPECT_NE(line_of("1:r1=clamp.f32(r0|0,6)"), line_of("1:r1=clamp.f32(r0|-0,6)"));
  EXPECT_NE(HashOf({"affine.cu", line}, 90), HashOf({"affine.cu", ""}, 90));
}

TEST(ProgramText, AnEpiloguesFirstRegisterIsHandedOver) {
  const PointwiseProgram program = ParsePointwise("2:r2=add.f32(r0,r1)").value();
  const DType inputs[] = {DType::kFloat32, DType::kFloat32};
  EXPECT_THAT(ProgramText(program, inputs, /*first=*/true),
              HasSubstr("#define CALL(first, load) Program(undefined, first, load(0, f32))"));
  EXPECT_THAT(ProgramText({}, std::span(inputs).first(1), /*first=*/true),
              HasSubstr("#define CALL(first, load) Program(undefined, first)"));
}

TEST(ProgramText, RoundsClampsAndCastsAtOnce) {
  const DType inputs[] = {DType::kFloat32};
  const auto text_of = [&](std::string_view program) {
    return ProgramText(ParsePointwise(program).value(), inputs, /*first=*/false);
  };
  EXPECT_THAT(text_of("1:r1=round.f32(r0);r2=clamp.f32(r1|0,127);r3=cast.i8(r2)"),
              HasSubstr("const i8 r3 = RoundBetween<i8>(r0, "));
  for (const std::string_view other : {
           "1:r1=floor.f32(r0);r2=clamp.f32(r1|0,127);r3=cast.i8(r2)",
           "1:r1=round.f32(r0);r2=clamp.f32(r1|0,12.5);r3=cast.i8(r2)",
           "1:r1=round.f32(r0);r2=clamp.f32(r1|0,4e6);r3=cast.i8(r2)",
           "1:r1=round.f32(r0);r2=clamp.f32(r1|5,0);r3=cast.i8(r2)",
           "1:r1=round.f32(r0);r2=clamp.f32(r1|0,127);r3=cast.i32(r2)",
           "1:r1=round.f32(r0);r2=cast.i8(r1)",
           "1:r1=clamp.f32(r0|0,127);r2=cast.i8(r1)",
       }) {
    EXPECT_THAT(text_of(other), Not(HasSubstr("RoundBetween"))) << other;
  }
}

TEST(Prepared, GivesWhatWasWrittenAndNothingElse) {
  const std::string bytes = WritePrepared({{"aa", "first"}, {"bb", std::string("se\0cond", 7)}});
  EXPECT_EQ(CubinIn(bytes, "aa"), "first");
  EXPECT_EQ(CubinIn(bytes, "bb"), std::string_view("se\0cond", 7));
  EXPECT_EQ(CubinIn(bytes, "cc"), "");
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
    EXPECT_TRUE(CubinIn(damaged, "aa") == "" || CubinIn(damaged, "aa") == "first") << i;
    EXPECT_TRUE(CubinIn(bytes.substr(0, i), "bb") == "") << i;
  }
}

}  // namespace
}  // namespace graft::cuda
