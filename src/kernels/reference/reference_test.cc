#include <gtest/gtest.h>

#include <cmath>

#include "kernels/reference/kernels.h"

namespace graft::reference {
namespace {

ConstArray In(const Tensor& t) {
  return {t.dtype(), t.dims(), t.rank() ? t.dims().back() : 1, t.raw()};
}

// Runs a kernel into a new tensor of the given type.
template <class T, class Problem>
Tensor Compute(const Problem& problem, const std::vector<Tensor>& inputs, const Dims& dims) {
  std::vector<ConstArray> in;
  for (const Tensor& t : inputs) in.push_back(In(t));
  Tensor y = *Tensor::Allocate(DTypeOf<T>(), dims);
  const Array out{y.dtype(), y.dims(), y.rank() ? y.dims().back() : 1, y.mutable_raw()};
  if constexpr (std::is_void_v<RunResult<Problem>>) {
    Run(problem, in, std::span(&out, 1));
  } else {
    EXPECT_TRUE(Run(problem, in, std::span(&out, 1)).ok());
  }
  return y;
}

template <class T>
void Expect(const Tensor& y, const std::vector<T>& values) {
  ASSERT_EQ(y.elements(), static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    const T got = y.data<T>()[i];
    EXPECT_TRUE(got == values[i] || (got != got && values[i] != values[i]))
        << i << ": " << +got << " " << +values[i];
  }
}

template <class T>
Tensor Unary(PointwiseOp op, std::initializer_list<T> x, double p = 0, double q = 0) {
  PointwiseProblem problem;
  problem.program.inputs = 1;
  problem.program.Add(op, DTypeOf<T>(), 0, -1, -1, p, q);
  const Dims dims = {static_cast<int64_t>(x.size())};
  return Compute<T>(problem, {Tensor::Of<T>(dims, x)}, dims);
}
template <class T>
Tensor Binary(PointwiseOp op, std::initializer_list<T> x, std::initializer_list<T> y) {
  PointwiseProblem problem;
  problem.program.inputs = 2;
  problem.program.Add(op, DTypeOf<T>(), 0, 1);
  const Dims dims = {static_cast<int64_t>(x.size())};
  return Compute<T>(problem, {Tensor::Of<T>(dims, x), Tensor::Of<T>(dims, y)}, dims);
}
template <class To, class From>
Tensor Cast(std::initializer_list<From> x) {
  PointwiseProblem problem;
  problem.program.inputs = 1;
  problem.program.Add(PointwiseOp::kCast, DTypeOf<To>(), 0);
  const Dims dims = {static_cast<int64_t>(x.size())};
  return Compute<To>(problem, {Tensor::Of<From>(dims, x)}, dims);
}

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int32_t kLowest = std::numeric_limits<int32_t>::lowest();
constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();

TEST(Pointwise, IntegersDivideAsTensorFlowDoes) {
  Expect<int32_t>(
      Binary<int32_t>(PointwiseOp::kFloorDiv, {7, -7, 7, -7, kLowest}, {2, 2, -2, -2, -1}),
      {3, -4, -4, 3, kLowest});
  Expect<int32_t>(
      Binary<int32_t>(PointwiseOp::kFloorMod, {7, -7, 7, -7, kLowest}, {2, 2, -2, -2, -1}),
      {1, 1, -1, -1, 0});
  Expect<int32_t>(Binary<int32_t>(PointwiseOp::kDiv, {-7, 7}, {2, 3}), {-3, 2});
  Expect<int32_t>(Binary<int32_t>(PointwiseOp::kTruncMod, {-7}, {2}), {-1});
  Expect<int32_t>(Binary<int32_t>(PointwiseOp::kPow, {3, -1, kHighest}, {4, 3, 1}),
                  {81, -1, kHighest});
  Expect<uint8_t>(Binary<uint8_t>(PointwiseOp::kAdd, {250}, {10}), {4});
}

TEST(Pointwise, IntegerArithmeticWithoutAResultFails) {
  for (const PointwiseOp op : {PointwiseOp::kDiv, PointwiseOp::kFloorMod, PointwiseOp::kPow}) {
    PointwiseProblem problem{{.inputs = 2}};
    problem.program.Add(op, DType::kInt32, 0, 1);
    const Tensor x = Tensor::Of<int32_t>({2}, {1, 2});
    const Tensor y = Tensor::Of<int32_t>({2}, {1, op == PointwiseOp::kPow ? -1 : 0});
    Tensor z = *Tensor::Allocate(DType::kInt32, {2});
    const ConstArray in[] = {In(x), In(y)};
    const Array out{z.dtype(), z.dims(), 2, z.mutable_raw()};
    EXPECT_FALSE(reference::Run(problem, in, std::span(&out, 1)).ok()) << Name(op);
  }
}

TEST(Pointwise, FloatsKeepNanAndInfinity) {
  Expect<float>(Binary<float>(PointwiseOp::kMax, {1, kNan, 1}, {2, 1, kNan}), {2, kNan, kNan});
  Expect<float>(Binary<float>(PointwiseOp::kFloorMod, {-7, 7, 5.5}, {2, -2, kInf}), {1, -1, 5.5});
  Expect<float>(Binary<float>(PointwiseOp::kDivNoNan, {1, 4}, {0, 2}), {0, 2});
  Expect<float>(Unary<float>(PointwiseOp::kRelu, {-1, 2, kNan, kInf}), {0, 2, kNan, kInf});
  Expect<float>(Unary<float>(PointwiseOp::kClamp, {-1, 9, kNan}, 0, 6), {0, 6, kNan});
  Expect<float>(Unary<float>(PointwiseOp::kRound, {0.5, 1.5, -2.5}), {0, 2, -2});
  Expect<float>(Unary<float>(PointwiseOp::kSign, {-3, 0, kNan}), {-1, 0, kNan});
  Expect<float>(Unary<float>(PointwiseOp::kSoftplus, {100, -200}), {100, 0});
}

// As TensorFlow 2.21 on its CPU, for tensors of a few elements.
TEST(Pointwise, CastsOutOfRangeAreTensorFlows) {
  Expect<int32_t>(Cast<int32_t, float>({1.9f, -1.9f, kNan, kInf, -1e30f, 1e10f}),
                  {1, -1, kLowest, kLowest, kLowest, kLowest});
  Expect<uint8_t>(Cast<uint8_t, float>({-1.0f, 300.0f, 1e10f, -1e10f}), {255, 44, 0, 0});
  Expect<int8_t>(Cast<int8_t, float>({-1.0f, 300.0f, 1e10f, -1e10f}), {-1, 44, 0, 0});
  Expect<int16_t>(Cast<int16_t, double>({1e10, -1e10, -32769}), {0, 0, 32767});
  Expect<uint16_t>(Cast<uint16_t, float>({-1.0f, 1e10f}), {65535, 0});
  constexpr uint32_t k31 = uint32_t{1} << 31;
  Expect<uint32_t>(Cast<uint32_t, float>({-1.0f, 3e9f, 1e10f, -1e10f, kNan}),
                   {UINT32_MAX, 3000000000, k31, k31, k31});
  Expect<int64_t>(Cast<int64_t, float>({-1.0f, kNan, 1e30f}), {-1, INT64_MIN, INT64_MIN});
  constexpr uint64_t k63 = uint64_t{1} << 63;
  Expect<uint64_t>(Cast<uint64_t, double>({-1.0, 1.5e19, 1e20, kNan}),
                   {UINT64_MAX, 15000000000000000000u, k63, k63});
  Expect<bool>(Cast<bool, float>({0.0f, 0.25f, kNan}), {false, true, true});
  Expect<int8_t>(Cast<int8_t, int32_t>({257}), {1});
}

TEST(Pointwise, HalvesRoundEachResultOnce) {
  // 2049 lies between 2048 and 2050, and 1/3 is no half.
  Expect<Float16>(
      Binary<Float16>(PointwiseOp::kAdd, {Float16(2048), Float16(2050)}, {Float16(1), Float16(1)}),
      {Float16(2048), Float16(2052)});
  Expect<BFloat16>(Binary<BFloat16>(PointwiseOp::kDiv, {BFloat16(1)}, {BFloat16(3)}),
                   {BFloat16(1.0f / 3)});
  Expect<Float16>(Unary<Float16>(PointwiseOp::kRelu, {Float16(-1), Float16(kNan)}),
                  {Float16(0), Float16(kNan)});
  Expect<Float16>(Cast<Float16, double>({65519.0, 1e9, 0.1}),
                  {Float16(65504), Float16(kInf), Float16(0.1f)});
  Expect<int32_t>(Cast<int32_t, Float16>({Float16(-2.5), Float16(kInf), Float16(kNan)}),
                  {-2, kLowest, kLowest});
  Expect<BFloat16>(Cast<BFloat16, Float16>({Float16(1.00390625f)}), {BFloat16(1)});
}

TEST(MatMul, HalvesAccumulateWide) {
  // 2048 + 1 + 1 in halves would stay at 2048.
  const Tensor a = Tensor::Of<Float16>({1, 3}, {Float16(2048), Float16(1), Float16(1)});
  const Tensor b = Tensor::Of<Float16>({3, 1}, {Float16(1), Float16(1), Float16(1)});
  Expect<Float16>(Compute<Float16>(MatMulProblem{}, {a, b}, {1, 1}), {Float16(2050)});
}

TEST(Pointwise, BroadcastsAndCrossesBlocks) {
  PointwiseProblem problem;
  problem.program.inputs = 3;
  problem.program.Add(PointwiseOp::kMul, DType::kFloat32, 0, 1);
  problem.program.Add(PointwiseOp::kAdd, DType::kFloat32, 3, 2);
  constexpr int64_t kLong = 600;
  std::vector<float> row(kLong);
  for (int64_t i = 0; i < kLong; ++i) row[i] = static_cast<float>(i);
  const Tensor y = Compute<float>(
      problem,
      {Tensor::Of<float>({kLong}, row), Tensor::Of<float>({2, 1}, {1, 10}), Tensor::Scalar(5.0f)},
      {2, kLong});
  for (int64_t i = 0; i < kLong; ++i) {
    EXPECT_EQ(y.data<float>()[i], row[i] + 5);
    EXPECT_EQ(y.data<float>()[kLong + i], row[i] * 10 + 5);
  }
}

TEST(Conv, GroupsDilationAndEpilogue) {
  // One row of 4 pixels, 2 channels, each its own group; kernel {1, 10} at distance 2, padded by 1.
  ConvProblem p{{1}, {2}, {1}, 2, {}};
  p.epilogue.inputs = 2;
  p.epilogue.Add(PointwiseOp::kAdd, DType::kFloat32, 0, 1);
  const Tensor x = Tensor::Of<float>({1, 4, 2}, {1, 5, 2, 6, 3, 7, 4, 8});
  const Tensor w = Tensor::Of<float>({2, 1, 2}, {1, 1, 10, 100});
  const Tensor bias = Tensor::Of<float>({2}, {0.5, 0});
  Expect<float>(Compute<float>(p, {x, w, bias}, {1, 4, 2}),
                {20.5, 600, 31.5, 705, 42.5, 806, 3.5, 7});
}

TEST(ConvTranspose, IsTheGradientOfAConvolution) {
  const ConvTransposeProblem p{{2}, {1}, {0}, {}};
  const Tensor dy = Tensor::Of<float>({1, 2, 1}, {1, 2});
  const Tensor w = Tensor::Of<float>({3, 1, 1}, {1, 10, 100});
  Expect<float>(Compute<float>(p, {dy, w}, {1, 5, 1}), {1, 10, 102, 20, 200});
}

TEST(MatMul, TransposesAndBroadcastsBatches) {
  const Tensor a = Tensor::Of<float>({2, 1, 2}, {1, 2, 3, 4});
  const Tensor b = Tensor::Of<float>({2, 2}, {1, 10, 100, 1000});
  Expect<float>(Compute<float>(MatMulProblem{}, {a, b}, {2, 1, 2}), {201, 2010, 403, 4030});
  Expect<float>(Compute<float>(MatMulProblem{.transpose_b = true}, {a, b}, {2, 1, 2}),
                {21, 2100, 43, 4300});
  Expect<float>(Compute<float>(MatMulProblem{.transpose_a = true},
                               {Tensor::Of<float>({2, 1}, {1, 2}), b}, {1, 2}),
                {201, 2010});
}

TEST(Pool, MaximaOfImagesPassNanOver) {
  constexpr float kLeast = std::numeric_limits<float>::lowest();
  const std::vector<float> pairs = {1, kNan, kNan, 1, kNan, kNan, -kInf, -kInf};
  const PoolProblem image{false, {1, 2}, {1, 2}, {0, 0}, false};
  Expect<float>(Compute<float>(image, {Tensor::Of<float>({1, 1, 8, 1}, pairs)}, {1, 1, 4, 1}),
                {1, 1, kLeast, kLeast});
  const PoolProblem volume{false, {1, 1, 2}, {1, 1, 2}, {0, 0, 0}, false};
  Expect<float>(
      Compute<float>(volume, {Tensor::Of<float>({1, 1, 1, 8, 1}, pairs)}, {1, 1, 1, 4, 1}),
      {kNan, kNan, kNan, -kInf});
}

TEST(Pool, PaddingNeitherWinsNorCounts) {
  const Tensor x = Tensor::Of<float>({1, 2, 2, 1}, {-4, -3, -2, -1});
  const PoolProblem max{false, {2, 2}, {2, 2}, {1, 1}, false};
  Expect<float>(Compute<float>(max, {x}, {1, 2, 2, 1}), {-4, -3, -2, -1});
  const PoolProblem inside{true, {3, 3}, {1, 1}, {1, 1}, false};
  Expect<float>(Compute<float>(inside, {x}, {1, 1, 1, 1}), {-2.5});
  const PoolProblem counted{true, {2, 2}, {2, 2}, {1, 1}, true};
  Expect<float>(Compute<float>(counted, {x}, {1, 2, 2, 1}), {-1, -0.75, -0.5, -0.25});
}

TEST(Reduce, EmptySetsAndNan) {
  const Tensor none = Tensor::Of<float>({2, 0}, {});
  auto reduce = [&](ReduceKind kind) {
    return Compute<float>(ReduceProblem{kind, {1}}, {none}, {2});
  };
  Expect<float>(reduce(ReduceKind::kSum), {0, 0});
  Expect<float>(reduce(ReduceKind::kMean), {kNan, kNan});
  Expect<float>(reduce(ReduceKind::kProd), {1, 1});
  Expect<float>(reduce(ReduceKind::kMax), {-kInf, -kInf});
  Expect<float>(reduce(ReduceKind::kMin), {kInf, kInf});
  const Tensor x = Tensor::Of<float>({2, 2}, {1, kNan, kNan, 4});
  Expect<float>(Compute<float>(ReduceProblem{ReduceKind::kMax, {1}}, {x}, {2}), {kNan, kNan});
  const Tensor i = Tensor::Of<int32_t>({2, 2}, {1, 2, -3, -4});
  Expect<int32_t>(Compute<int32_t>(ReduceProblem{ReduceKind::kMean, {1}}, {i}, {2}), {1, -3});
  Expect<int32_t>(Compute<int32_t>(ReduceProblem{ReduceKind::kSum, {0}}, {i}, {2}), {-2, -2});
  const Tensor b = Tensor::Of<bool>({2}, {true, false});
  Expect<bool>(Compute<bool>(ReduceProblem{ReduceKind::kAny, {0}}, {b}, {}), {true});
  Expect<bool>(Compute<bool>(ReduceProblem{ReduceKind::kAll, {0}}, {b}, {}), {false});
}

TEST(ArgReduce, FirstOfEqualsAndNeverNan) {
  const Tensor x = Tensor::Of<float>({2, 3}, {1, 7, 7, kNan, -1, kNan});
  Expect<int64_t>(Compute<int64_t>(ArgReduceProblem{false, 1}, {x}, {2}), {1, 1});
  Expect<int32_t>(Compute<int32_t>(ArgReduceProblem{true, 0}, {x}, {3}), {0, 1, 0});
}

TEST(Softmax, IsStableForLargeValues) {
  const Tensor x = Tensor::Of<float>({1, 2}, {1000, 1000});
  Expect<float>(Compute<float>(SoftmaxProblem{}, {x}, {1, 2}), {0.5, 0.5});
  Expect<float>(Compute<float>(SoftmaxProblem{true}, {x}, {1, 2}), {-0.69314718f, -0.69314718f});
}

TEST(Movement, SlicesPadsAndGathers) {
  const Tensor x = Tensor::Of<int32_t>({4}, {1, 2, 3, 4});
  Expect<int32_t>(Compute<int32_t>(SliceProblem{{3}, {-2}}, {x}, {2}), {4, 2});
  Expect<int32_t>(Compute<int32_t>(PadProblem{PadMode::kConstant, {1}, 9}, {x}, {6}),
                  {9, 1, 2, 3, 4, 9});
  Expect<int32_t>(Compute<int32_t>(PadProblem{PadMode::kReflect, {2}}, {x}, {7}),
                  {3, 2, 1, 2, 3, 4, 3});
  Expect<int32_t>(Compute<int32_t>(PadProblem{PadMode::kSymmetric, {2}}, {x}, {7}),
                  {2, 1, 1, 2, 3, 4, 4});
  const Tensor at = Tensor::Of<int64_t>({3}, {2, 3, 0});
  Expect<int32_t>(Compute<int32_t>(GatherProblem{}, {x, at}, {3}), {3, 4, 1});
  const Tensor square = x.Reshaped({2, 2});
  Expect<int32_t>(Compute<int32_t>(TransposeProblem{{1, 0}}, {square}, {2, 2}), {1, 3, 2, 4});
  const Tensor batch = Tensor::Of<int32_t>({2, 1}, {1, 0});
  Expect<int32_t>(Compute<int32_t>(GatherProblem{1, 1}, {square, batch}, {2, 1}), {2, 3});
  const Tensor pairs = Tensor::Of<int32_t>({2, 2}, {1, 0, 0, 1});
  Expect<int32_t>(Compute<int32_t>(GatherNdProblem{}, {square, pairs}, {2}), {3, 2});
  const Tensor one = Tensor::Of<int32_t>({1, 4}, {1, 2, 3, 4}).Reshaped({1, 1, 1, 4});
  const Tensor space = Compute<int32_t>(DepthToSpaceProblem{2, false}, {one}, {1, 2, 2, 1});
  Expect<int32_t>(space, {1, 2, 3, 4});
  Expect<int32_t>(Compute<int32_t>(DepthToSpaceProblem{2, true}, {space}, {1, 1, 1, 4}),
                  {1, 2, 3, 4});
}

TEST(Resize, FollowsTensorFlowsThreeGrids) {
  const Tensor x = Tensor::Of<float>({1, 1, 2, 1}, {0, 4});
  auto resize = [&](ResizeProblem p) { return Compute<float>(p, {x}, {1, 1, 4, 1}); };
  constexpr auto kLinear = ResizeMode::kBilinear;
  Expect<float>(resize({kLinear, false, false}), {0, 2, 4, 4});
  Expect<float>(resize({kLinear, false, true}), {0, 1, 3, 4});
  Expect<float>(resize({kLinear, true, false}), {0, 4 * (1.0f / 3), 4 * (2.0f / 3), 4});
  Expect<float>(resize({ResizeMode::kNearest, false, false}), {0, 0, 4, 4});
  Expect<float>(resize({ResizeMode::kNearest, true, false}), {0, 0, 4, 4});
}

TEST(Resize, WeighsPixels) {
  // Half way between two pixels the cubic weights are -3/32, 19/32, 19/32, -3/32.
  const Tensor x = Tensor::Of<float>({1, 1, 4, 1}, {8, 16, 32, 64});
  Expect<float>(Compute<float>(ResizeProblem{ResizeMode::kBicubic}, {x}, {1, 1, 8, 1}),
                {8, 10.5f, 16, 21.75f, 32, 49.5f, 64, 67});
  Expect<float>(Compute<float>(ResizeProblem{ResizeMode::kArea}, {x}, {1, 1, 2, 1}), {12, 48});
  Expect<float>(Compute<float>(ResizeProblem{ResizeMode::kArea}, {x}, {1, 1, 1, 1}), {30});
}

TEST(CropAndResize, BetweenCornersAndOutside) {
  const Tensor x = Tensor::Of<float>({1, 2, 2, 1}, {0, 1, 2, 3});
  const Tensor box = Tensor::Of<float>({1, 4}, {0, 0, 1, 1});
  const Tensor beyond = Tensor::Of<float>({1, 4}, {0, 0, 2, 2});
  const Tensor image = Tensor::Of<int32_t>({1}, {0});
  const CropAndResizeProblem bilinear{true, -1};
  Expect<float>(Compute<float>(bilinear, {x, box, image}, {1, 3, 3, 1}),
                {0, 0.5f, 1, 1, 1.5f, 2, 2, 2.5f, 3});
  Expect<float>(Compute<float>(bilinear, {x, box, image}, {1, 1, 1, 1}), {1.5f});
  Expect<float>(Compute<float>(bilinear, {x, beyond, image}, {1, 2, 2, 1}), {0, -1, -1, -1});
  const CropAndResizeProblem nearest{false, -1};
  Expect<float>(Compute<float>(nearest, {x, box, image}, {1, 1, 3, 1}), {2, 3, 3});
}

TEST(Scatter, DuplicatesCountInOrder) {
  const Tensor x = Tensor::Of<int32_t>({4}, {1, 2, 3, 4});
  const Tensor at = Tensor::Of<int32_t>({3, 1}, {2, 0, 2});
  const Tensor updates = Tensor::Of<int32_t>({3}, {10, 20, 30});
  auto scatter = [&](ScatterKind kind) {
    return Compute<int32_t>(ScatterNdProblem{kind}, {x, at, updates}, {4});
  };
  Expect<int32_t>(scatter(ScatterKind::kUpdate), {20, 2, 30, 4});
  Expect<int32_t>(scatter(ScatterKind::kAdd), {21, 2, 43, 4});
  Expect<int32_t>(scatter(ScatterKind::kSub), {-19, 2, -37, 4});
  Expect<int32_t>(scatter(ScatterKind::kMin), {1, 2, 3, 4});
}

TEST(Cumulative, EveryDirection) {
  const Tensor x = Tensor::Of<int32_t>({3}, {2, 3, 5});
  auto run = [&](CumulativeProblem p) { return Compute<int32_t>(p, {x}, {3}); };
  Expect<int32_t>(run({false, 0, false, false}), {2, 5, 10});
  Expect<int32_t>(run({false, 0, true, false}), {0, 2, 5});
  Expect<int32_t>(run({false, 0, false, true}), {10, 8, 5});
  Expect<int32_t>(run({true, 0, true, true}), {15, 5, 1});
}

TEST(Lrn, SumsSquaresOfNeighbours) {
  const Tensor x = Tensor::Of<float>({1, 4}, {1, 2, 3, 4});
  Expect<float>(Compute<float>(LrnProblem{1, 1, 1, 1}, {x}, {1, 4}),
                {1.0f / 6, 2.0f / 15, 3.0f / 30, 4.0f / 26});
}

Tensor FakeQuantized(const FakeQuantizeProblem& problem, float min, float max,
                     std::initializer_list<float> x) {
  const Dims dims = {static_cast<int64_t>(x.size())};
  return Compute<float>(
      problem, {Tensor::Of<float>(dims, x), Tensor::Scalar(min), Tensor::Scalar(max)}, dims);
}

// TensorFlow's numbers.
TEST(FakeQuantize, ScaledRangesAreTensorFlows) {
  Expect<float>(FakeQuantized({}, -1, 1, {0.005859375F, -2, 2, kNan, kInf, -kInf}),
                {0.0078740157F, -1.007874F, 1, kNan, 1, -1.007874F});
  Expect<float>(FakeQuantized({.narrow_range = true}, -1, 1, {-2, 2}), {-1, 1});
  Expect<float>(FakeQuantized({}, -0.5F, 1, {-0.9F}), {-0.89763778F});
  Expect<float>(FakeQuantized({}, -1, -0.5F, {1.0F / 128, 1, -2}), {1.0F / 128, 127.0F / 128, -1});
  Expect<float>(FakeQuantized({}, -128, 127, {0.5F, 2.5F, -0.5F, -1.5F}), {0, 2, 0, -2});
  Expect<float>(FakeQuantized({.half_up = true}, -128, 127, {0.5F, 2.5F, -0.5F, -1.5F}),
                {1, 3, 0, -1});
  // Nothing but zeros, with the elements' signs.
  const Tensor zeros = FakeQuantized({}, 0, 0, {-3, 3, kNan, kInf, -kInf});
  Expect<float>(zeros, {0, 0, kNan, 0, 0});
  EXPECT_TRUE(std::signbit(zeros.data<float>()[0]));
  EXPECT_FALSE(std::signbit(zeros.data<float>()[1]));
  // The range of the data, in which there may be nothing.
  Expect<float>(FakeQuantized({.range_given = false}, -9, 9, {0, 0}), {0, 0});
  Expect<float>(FakeQuantized({.bits = 2, .range_given = false}, -9, 9, {-1, 0.25F, 0.5F}),
                {-1, 0, 0.5F});
}

TEST(FakeQuantize, NudgedRangesAreTensorFlows) {
  const float far[] = {-9, 9};
  auto ends = [&](FakeQuantizeProblem problem, float min, float max, float low, float high) {
    problem.half_up = true;
    problem.is_signed = false;
    for (auto kind : {FakeQuantizeArithmetic::kNudged, FakeQuantizeArithmetic::kNudgedDividing}) {
      problem.kind = kind;
      Expect<float>(FakeQuantized(problem, min, max, {far[0], far[1]}), {low, high});
    }
  };
  ends({}, -0.1F, 0.1F, -0.100392155F, 0.09960784F);
  ends({}, 0.1F, 6, 0, 5.9F);
  ends({}, -6, -1, -5, 0);
  ends({.bits = 4}, -1, 1, -0.9333334F, 1.0666667F);
  ends({}, 1, 1, kNan, kNan);
  ends({}, 0, 0, 0, 0);
  const FakeQuantizeProblem nudged = {.kind = FakeQuantizeArithmetic::kNudged, .is_signed = false};
  Expect<float>(FakeQuantized(nudged, 0, 0, {kNan, kInf, -kInf, 3}), {0, 0, 0, 0});
  Expect<float>(FakeQuantized(nudged, -1, 1, {kNan, kInf, -kInf}), {kNan, 1.0039216F, -0.9960785F});
}

TEST(Bitcast, KeepsTheBytes) {
  const Tensor x = Tensor::Of<int32_t>({2}, {0x04030201, -1});
  const Tensor bytes = Compute<uint8_t>(BitcastProblem{}, {x}, {2, 4});
  Expect<uint8_t>(bytes, {1, 2, 3, 4, 255, 255, 255, 255});
  Expect<int32_t>(Compute<int32_t>(BitcastProblem{}, {bytes}, {2}), {0x04030201, -1});
}

TEST(Data, IndicesOutOfRangeAreErrors) {
  const Tensor x = Tensor::Of<float>({4}, {1, 2, 3, 4});
  const Tensor good = Tensor::Of<int32_t>({2, 1}, {0, 3});
  const Tensor bad = Tensor::Of<int32_t>({2, 1}, {0, 4});
  const Tensor updates = Tensor::Of<float>({2}, {1, 2});
  auto check = [](const auto& problem, const std::vector<Tensor>& tensors) {
    std::vector<ConstArray> in;
    for (const Tensor& t : tensors) in.push_back(In(t));
    return std::string(CheckData(problem, in).message());
  };
  EXPECT_EQ(check(GatherProblem{}, {x, good}), "");
  EXPECT_EQ(check(GatherProblem{}, {x, bad}), "index 4 is not in [0, 4)");
  EXPECT_EQ(check(GatherNdProblem{}, {x, bad}), "index 4 is not in [0, 4)");
  const Tensor empty = Tensor::Of<float>({0, 0}, {});
  EXPECT_EQ(check(GatherProblem{}, {empty, bad}), "") << "no element is read";
  EXPECT_EQ(check(GatherNdProblem{}, {empty, bad}), "");
  EXPECT_EQ(check(ScatterNdProblem{}, {x, good, updates}), "");
  EXPECT_EQ(check(ScatterNdProblem{}, {x, bad, updates}), "index 4 is not in [0, 4)");
  const Tensor image = Tensor::Of<float>({1, 1, 1, 1}, {1});
  const Tensor box = Tensor::Of<float>({1, 4}, {0, 0, kInf, 1});
  EXPECT_EQ(check(CropAndResizeProblem{}, {image, box, Tensor::Of<int32_t>({1}, {0})}),
            "box 0 has a corner that is not finite");
  EXPECT_EQ(check(CropAndResizeProblem{}, {image, box, Tensor::Of<int32_t>({1}, {1})}),
            "index 1 is not in [0, 1)");
}

TEST(Data, ThresholdsOutOfRangeAreErrors) {
  const auto check = [](const auto& problem, std::vector<float> thresholds) {
    const Tensor none = Tensor::Of<float>({0}, {});
    const auto count = static_cast<int64_t>(thresholds.size());
    const Tensor last = Tensor::Of<float>({count}, std::move(thresholds));
    const std::vector<ConstArray> in = {In(none), In(none), In(last)};
    return CheckData(problem, in).message();
  };
  const NonMaxSuppressionProblem boxes;
  EXPECT_EQ(check(boxes, {0, -kInf, 0}), "");
  EXPECT_EQ(check(boxes, {1, 0, 7}), "");
  EXPECT_EQ(check(boxes, {1.5, 0, 0}), "iou_threshold 1.5 is not in [0, 1]");
  EXPECT_EQ(check(boxes, {kNan, 0, 0}), "iou_threshold nan is not in [0, 1]");
  EXPECT_EQ(check(boxes, {1, 0, -1}), "soft_nms_sigma -1 is negative");
  EXPECT_EQ(check(NonMaxSuppressionProblem{.overlaps = true}, {7, 0, 0}), "");
  EXPECT_EQ(check(CombinedNonMaxSuppressionProblem(), {-1, 0}),
            "iou_threshold -1 is not in [0, 1]");
}

TEST(TopK, TiesGoToTheLowerIndex) {
  const Tensor x = Tensor::Of<float>({1, 4}, {1, 3, 3, 2});
  Tensor values = *Tensor::Allocate(DType::kFloat32, {1, 3});
  Tensor indices = *Tensor::Allocate(DType::kInt32, {1, 3});
  const ConstArray in = In(x);
  const Array out[] = {{DType::kFloat32, values.dims(), 3, values.mutable_raw()},
                       {DType::kInt32, indices.dims(), 3, indices.mutable_raw()}};
  reference::Run(TopKProblem{}, std::span(&in, 1), out);
  Expect<float>(values, {3, 3, 2});
  Expect<int32_t>(indices, {1, 2, 3});
}

TEST(Arrays, RowsMayLieApart) {
  // Columns 1 and 2 of a [2, 4] buffer, doubled into columns 0 and 1 of a [2, 3] buffer.
  const Tensor wide = Tensor::Of<float>({2, 4}, {0, 1, 2, 0, 0, 3, 4, 0});
  Tensor target = Tensor::Of<float>({2, 3}, {9, 9, 9, 9, 9, 9});
  PointwiseProblem p;
  p.program.inputs = 1;
  p.program.Add(PointwiseOp::kAdd, DType::kFloat32, 0, 0);
  const ConstArray in{DType::kFloat32, {2, 2}, 4, wide.raw() + sizeof(float)};
  const Array out{DType::kFloat32, {2, 2}, 3, target.mutable_raw()};
  EXPECT_TRUE(reference::Run(p, std::span(&in, 1), std::span(&out, 1)).ok());
  Expect<float>(target, {2, 4, 9, 6, 8, 9});
}

}  // namespace
}  // namespace graft::reference
