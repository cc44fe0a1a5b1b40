#include "kernels/cpu/pointwise/pointwise.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

#include "base/half.h"
#include "kernels/cpu/pointwise/lower_halves.h"
#include "kernels/cpu/test_util.h"

namespace graft::cpu {
namespace {

using Op = PointwiseOp;
constexpr DType kF32 = DType::kFloat32;
constexpr float kInf = std::numeric_limits<float>::infinity();

PointwiseProgram Unary(Op op, DType dtype = kF32, double p = 0, double q = 0) {
  PointwiseProgram program;
  program.inputs = 1;
  program.Add(op, dtype, 0, -1, -1, p, q);
  return program;
}
PointwiseProgram Binary(Op op, DType dtype = kF32) {
  PointwiseProgram program;
  program.inputs = 2;
  program.Add(op, dtype, 0, 1);
  return program;
}

struct Operand {
  Dims dims;
  std::vector<float> values;
};

std::vector<float> RunF32(const PointwiseProgram& program, const std::vector<Operand>& operands,
                          const Dims& output, int threads = 1) {
  PointwiseProblem problem{program, {}, output, output.empty() ? 1 : output.back()};
  std::vector<const void*> pointers;
  for (const Operand& o : operands) {
    problem.inputs.push_back({kF32, o.dims, o.dims.empty() ? 1 : o.dims.back()});
    pointers.push_back(o.values.data());
  }
  Result<PointwiseOperation> operation = PointwiseOperation::Make(problem);
  GRAFT_CHECK(operation.ok(), "{}", operation.status().ToString());
  std::unique_ptr<Executor> executor = MakeTbbExecutor(threads);
  Scratch scratch(operation->scratch_bytes(executor->width()));
  std::vector<float> result(CountElements(output));
  void* destination = result.data();
  EXPECT_TRUE(operation->Run({pointers, {&destination, 1}, scratch.get()}, *executor).ok());
  return result;
}

// Distance in units of the last place of the expected value (of the smallest normal, below it).
double Ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : HUGE_VAL;
  if (std::isinf(static_cast<float>(want))) return got == static_cast<float>(want) ? 0 : HUGE_VAL;
  if (std::isnan(got)) return HUGE_VAL;
  const double magnitude =
      std::max(std::abs(want), static_cast<double>(std::numeric_limits<float>::min()));
  return std::abs(got - want) / std::ldexp(1.0, std::ilogb(magnitude) - 23);
}

TEST(Pointwise, VectorMathIsWithinAFewUlps) {
  std::vector<float> xs = {0.f,   -0.f,  kInf,   -kInf, NAN,    1e-30f, -1e-30f, 88.7f, -87.3f,
                           88.8f, 104.f, -104.f, 1e30f, -1e30f, 1e-40f, 1.f,     -1.f,  3.4e38f};
  for (float x : RandomFloats(4000, 1, 3)) xs.push_back(x);
  for (float x : RandomFloats(2000, 1, 30)) xs.push_back(x);
  for (float x : RandomFloats(2000, 1, 1e-3)) xs.push_back(x);
  const int64_t n = static_cast<int64_t>(xs.size());
  struct Case {
    Op op;
    double (*expected)(double);
    double tolerance;
    float low;  // relative accuracy is not promised below
  };
  const Case cases[] = {
      {Op::kExp, [](double x) { return std::exp(x); }, 2, -HUGE_VALF},
      {Op::kLog, [](double x) { return std::log(x); }, 3, -HUGE_VALF},
      {Op::kLog1p, [](double x) { return std::log1p(x); }, 3, -HUGE_VALF},
      {Op::kTanh, [](double x) { return std::tanh(x); }, 4, -HUGE_VALF},
      {Op::kErf, [](double x) { return std::erf(x); }, 2, -HUGE_VALF},
      {Op::kSigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, 4, -80},
      {Op::kSoftplus,
       [](double x) {
         return std::fmax(x, 0) + std::log1p(std::exp(-std::abs(x))) + (x != x ? x : 0);
       },
       4, -80},
      {Op::kRsqrt, [](double x) { return 1 / std::sqrt(x); }, 2, -HUGE_VALF},
      {Op::kRound, [](double x) { return std::nearbyint(x); }, 0, -HUGE_VALF},
      {Op::kFloor, [](double x) { return std::floor(x); }, 0, -HUGE_VALF},
      {Op::kRelu, [](double x) { return x < 0 ? 0 : x; }, 0, -HUGE_VALF},
      {Op::kSign, [](double x) { return x > 0   ? 1.
                                        : x < 0 ? -1.
                                                : x; }, 0, -HUGE_VALF},
  };
  ForEachTarget([&](const std::string& target) {
    for (const Case& c : cases) {
      const std::vector<float> y = RunF32(Unary(c.op), {{{n}, xs}}, {n});
      for (int64_t i = 0; i < n; ++i) {
        if (xs[i] < c.low) continue;
        EXPECT_LE(Ulps(y[i], c.expected(xs[i])), c.tolerance)
            << target << " " << Name(c.op) << "(" << xs[i] << ") = " << y[i];
      }
    }
  });
}

// Activations over the whole range of f32: what an activation makes of a number far out is small,
// but its digits are right. Below the least normal number results are flushed.
TEST(Pointwise, ActivationsKeepRelativeAccuracyInTheirTails) {
  struct Case {
    Op op;
    double (*expected)(double);
    double eps;
    // Relative change of the result for a relative change of x: what rounding an argument costs.
    double (*condition)(double);
  };
  constexpr auto kNone = [](double) { return 0.0; };
  constexpr auto kX = [](double x) { return std::abs(x); };
  const Case cases[] = {
      {Op::kGelu, [](double x) { return x / 2 * std::erfc(-x * std::sqrt(0.5)); }, 8, kNone},
      {Op::kGeluTanh,
       [](double x) {
         return x / (1 + std::exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
       },
       8, [](double x) { return x < 0 ? std::abs(x + 0.13 * x * x * x) : 0; }},
      {Op::kSoftplus, [](double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::abs(x))); },
       8, kNone},
      {Op::kSigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, 8, kNone},
      {Op::kSwish, [](double x) { return x / (1 + std::exp(-x)); }, 8, kNone},
      {Op::kTanh, [](double x) { return std::tanh(x); }, 8, kNone},
      {Op::kLog1p, [](double x) { return std::log1p(x); }, 8, kNone},
      {Op::kExpm1, [](double x) { return std::expm1(x); }, 8, kNone},
      {Op::kErf, [](double x) { return std::erf(x); }, 8, kNone},
      {Op::kErfc, [](double x) { return std::erfc(x); }, 8, kX},
      {Op::kExp, [](double x) { return std::exp(x); }, 8, kNone},
      {Op::kSoftsign, [](double x) { return x / (1 + std::abs(x)); }, 8, kNone},
      {Op::kElu, [](double x) { return x > 0 ? x : std::expm1(x); }, 8, kNone},
      {Op::kSelu,
       [](double x) {
         return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x));
       },
       8, kNone},
  };
  // Every binary order of magnitude, 64 numbers in each.
  std::vector<float> xs;
  for (float x = 1.2e-38f; x < 3e38f; x *= 1.0109f) xs.push_back(x), xs.push_back(-x);
  const auto n = static_cast<int64_t>(xs.size());
  ForEachTarget([&](const std::string& target) {
    for (const Case& c : cases) {
      const std::vector<float> y = RunF32(Unary(c.op, kF32, 1), {{{n}, xs}}, {n});
      for (int64_t i = 0; i < n; ++i) {
        const double want = c.expected(xs[i]);
        if (std::isnan(want) || std::abs(want) > 3.4e38) continue;
        // Of x · sigmoid(x) it is the sigmoid.
        const double flushed = 1.2e-38 * std::max(1.0, std::abs(double{xs[i]}));
        if (std::abs(want) < flushed) {
          EXPECT_LT(std::abs(y[i]), 2 * flushed) << target << " " << Name(c.op) << " of " << xs[i];
          continue;
        }
        const double eps = 0x1p-23 * (c.eps + c.condition(xs[i]) * 4);
        EXPECT_LE(std::abs(y[i] - want), eps * std::abs(want))
            << target << " " << Name(c.op) << "(" << xs[i] << ") = " << y[i] << ", not " << want;
      }
    }
  });
}

TEST(Pointwise, VectorAndScalarLoopsAgree) {
  std::vector<float> xs = {0.f, -0.f, kInf, -kInf, NAN, 1.f, -1.f, 0.5f, 2.f, 6.f, 6.5f};
  std::vector<float> ys = {-0.f, 0.f, kInf, 2.f, 1.f, NAN, -0.f, 0.5f, -3.f, 6.f, -kInf};
  for (float x : RandomFloats(1000, 1, 2)) xs.push_back(x);
  for (float y : RandomFloats(1000, 2, 2)) ys.push_back(y);
  ForEachTarget([&](const std::string& target) {
    for (int id = 0; id <= static_cast<int>(Op::kGeluTanh); ++id) {
      const Op op = static_cast<Op>(id);
      const InstructionLoop vector = VectorLoop(op, kF32);
      if (vector == nullptr || op == Op::kSelect) continue;
      const InstructionLoop scalar = ScalarLoop(op, kF32);
      ASSERT_NE(scalar, nullptr) << Name(op);
      const size_t n = xs.size();
      const size_t all = ~size_t{0};
      const void* y_data = OperandCount(op) == 2 ? ys.data() : nullptr;
      std::vector<float> got(n + 1, 77.f), want(n + 1, 77.f);
      vector({{xs.data(), y_data}, {all, all}, got.data(), n, -0.25, 6});
      scalar({{xs.data(), y_data}, {all, all}, want.data(), n, -0.25, 6});
      EXPECT_EQ(got[n], 77.f) << "wrote behind the end";
      if (op >= Op::kEqual && op <= Op::kGreaterEqual) {
        EXPECT_EQ(std::memcmp(got.data(), want.data(), n), 0) << target << " " << Name(op);
        continue;
      }
      if (op == Op::kIsNan || op == Op::kIsInf || op == Op::kIsFinite) {
        EXPECT_EQ(std::memcmp(got.data(), want.data(), n), 0) << target << " " << Name(op);
        continue;
      }
      for (size_t i = 0; i < n; ++i) {
        if (std::isnan(want[i]) || std::isinf(want[i])) {
          EXPECT_TRUE(got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i])))
              << target << " " << Name(op) << "(" << xs[i] << ", " << ys[i] << ") = " << got[i];
        } else {
          EXPECT_NEAR(got[i], want[i], 1e-6 * (1 + std::abs(want[i])))
              << target << " " << Name(op) << "(" << xs[i] << ", " << ys[i] << ")";
        }
        // Of zeros of two signs the first, as the reference has it.
        if ((op == Op::kMin || op == Op::kMax) && xs[i] == 0 && ys[i] == 0) {
          EXPECT_EQ(std::signbit(got[i]), std::signbit(xs[i])) << target << " " << Name(op);
          EXPECT_EQ(std::signbit(want[i]), std::signbit(xs[i])) << Name(op);
        }
      }
    }
  });
}

// x·y with every kind of broadcast, sizes around the block's.
TEST(Pointwise, Broadcasts) {
  struct Case {
    Dims x, y, out;
  };
  const Case cases[] = {
      {{5}, {5}, {5}},
      {{}, {}, {}},
      {{}, {3, 7}, {3, 7}},
      {{2, 9, 3}, {3}, {2, 9, 3}},
      {{3, 40, 1, 5}, {3, 1, 6, 5}, {3, 40, 6, 5}},
      {{2, 17, 33}, {2, 1, 33}, {2, 17, 33}},
      {{4, 1}, {1, 5}, {4, 5}},
      {{7, 300}, {7, 1}, {7, 300}},
      {{3, 2000}, {2000}, {3, 2000}},
      {{3, 2000}, {3, 1}, {3, 2000}},
      {{2, 5000, 3}, {2, 5000, 1}, {2, 5000, 3}},
      {{0, 4}, {4}, {0, 4}},
      {{1, 100000}, {1}, {1, 100000}},
      {{50, 700}, {1, 700}, {50, 700}},
      {{2, 3, 4, 5, 6}, {2, 1, 4, 1, 6}, {2, 3, 4, 5, 6}},
  };
  for (const Case& c : cases) {
    const Operand x{c.x, RandomFloats(CountElements(c.x), 1)};
    const Operand y{c.y, RandomFloats(CountElements(c.y), 2)};
    auto at = [&](const Operand& o, int64_t index) {
      int64_t offset = 0, stride = 1;
      for (size_t i = 0; i < c.out.size(); ++i) {
        const size_t axis = c.out.size() - 1 - i;
        const int64_t position = index % c.out[axis];
        index /= c.out[axis];
        if (i >= o.dims.size()) continue;
        const int64_t n = o.dims[o.dims.size() - 1 - i];
        if (n != 1) offset += position * stride;
        stride *= n;
      }
      return o.values[offset];
    };
    for (int threads : {1, 3}) {
      const std::vector<float> z = RunF32(Binary(Op::kSub), {x, y}, c.out, threads);
      for (size_t i = 0; i < z.size(); ++i) {
        ASSERT_EQ(z[i], at(x, i) - at(y, i))
            << fmt::format("{} {} {}", fmt::join(c.x, ","), fmt::join(c.y, ","), i);
      }
    }
  }
}

TEST(Pointwise, StridedRowsInPlace) {
  // A window of 3 columns in rows of 5, one of 300 in rows of 301, and a single column.
  for (const auto& [columns, stride] : {std::pair<int64_t, int64_t>{3, 5}, {300, 301}, {1, 33}}) {
    const int64_t rows = 1000;
    std::vector<float> x = RandomFloats(rows * stride);
    const std::vector<float> before = x;
    const std::vector<float> bias = RandomFloats(columns, 2);
    PointwiseProgram program = Binary(Op::kAdd);
    program.Add(Op::kRelu, kF32, 2);
    Result<PointwiseOperation> operation =
        PointwiseOperation::Make({program,
                                  {{kF32, {rows, columns}, stride}, {kF32, {columns}, columns}},
                                  {rows, columns},
                                  stride});
    ASSERT_TRUE(operation.ok());
    Scratch scratch(operation->scratch_bytes(1));
    InlineExecutor executor;
    const void* inputs[] = {x.data(), bias.data()};
    void* output = x.data();
    EXPECT_TRUE(operation->Run({inputs, {&output, 1}, scratch.get()}, executor).ok());
    for (int64_t i = 0; i < rows * stride; ++i) {
      const int64_t c = i % stride;
      EXPECT_EQ(x[i], c < columns ? std::max(before[i] + bias[c], 0.f) : before[i]) << i;
    }
  }
}

TEST(Pointwise, BooleansSelect) {
  // x > 0.5 && !isnan(y) ? x : 2
  PointwiseProgram program;
  program.inputs = 2;
  const int half = program.Add(Op::kConstant, kF32, -1, -1, -1, 0.5);
  const int greater = program.Add(Op::kGreater, DType::kBool, 0, half);
  const int nan = program.Add(Op::kIsNan, DType::kBool, 1);
  const int valid = program.Add(Op::kNot, DType::kBool, nan);
  const int both = program.Add(Op::kAnd, DType::kBool, greater, valid);
  const int two = program.Add(Op::kConstant, kF32, -1, -1, -1, 2);
  program.Add(Op::kSelect, kF32, both, 0, two);
  std::vector<float> x = RandomFloats(2345, 1), y = RandomFloats(2345, 2);
  for (size_t i = 0; i < y.size(); i += 3) y[i] = NAN;
  ForEachTarget([&](const std::string&) {
    const std::vector<float> z = RunF32(program, {{{2345}, x}, {{2345}, y}}, {2345});
    for (size_t i = 0; i < z.size(); ++i) {
      EXPECT_EQ(z[i], x[i] > 0.5f && !std::isnan(y[i]) ? x[i] : 2.f);
    }
  });
}

template <class From, class To>
std::vector<To> Cast(const std::vector<From>& x) {
  PointwiseProgram program = Unary(Op::kCast, DTypeOf<To>());
  const DType from[] = {DTypeOf<From>()};
  Result<PointwiseKernel> kernel = PointwiseKernel::Compile(program, from);
  GRAFT_CHECK(kernel.ok(), "{}", kernel.status().ToString());
  Scratch scratch(kernel->scratch_bytes());
  std::vector<To> y(x.size());
  const RowsOperand operand{x.data(), 0, 1};
  kernel->RunRows(1, x.size(), {&operand, 1}, y.data(), x.size(), scratch.get());
  return y;
}

// The expected values are those of TensorFlow 2.21 on its CPU, for tensors of a few elements.
TEST(Pointwise, CastsOutOfRangeAreTensorFlows) {
  const std::vector<float> x = {1.9f, -1.9f, 300.f, -5.f, NAN, kInf, -1e10f, 2147483648.f};
  // Five times, so that there are whole vectors and a rest.
  auto repeated = []<class T>(const std::vector<T>& values) {
    std::vector<T> all;
    for (int i = 0; i < 5; ++i) all.insert(all.end(), values.begin(), values.end());
    return all;
  };
  auto check = [&]<class T>(const std::vector<T>& expected) {
    EXPECT_EQ((Cast<float, T>(repeated(x))), repeated(expected)) << Name(DTypeOf<T>());
  };
  ForEachTarget([&](const std::string&) {
    check(std::vector<int8_t>{1, -1, 44, -5, 0, 0, 0, 0});
    check(std::vector<uint8_t>{1, 255, 44, 251, 0, 0, 0, 0});
    check(std::vector<int16_t>{1, -1, 300, -5, 0, 0, 0, 0});
    check(std::vector<uint16_t>{1, UINT16_MAX, 300, UINT16_MAX - 4, 0, 0, 0, 0});
    check(std::vector<int32_t>{1, -1, 300, -5, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN});
    constexpr uint32_t k31 = uint32_t{1} << 31;
    check(std::vector<uint32_t>{1, UINT32_MAX, 300, UINT32_MAX - 4, k31, k31, k31, k31});
    check(std::vector<int64_t>{1, -1, 300, -5, INT64_MIN, INT64_MIN, -10000000000, 2147483648});
    constexpr uint64_t k63 = uint64_t{1} << 63;
    check(std::vector<uint64_t>{1, UINT64_MAX, 300, UINT64_MAX - 4, k63, k63,
                                UINT64_MAX - 9999999999, 2147483648});
  });
  EXPECT_EQ((Cast<double, uint8_t>({300, -1, 1e10, NAN})), (std::vector<uint8_t>{44, 255, 0, 0}));
  EXPECT_EQ((Cast<double, uint32_t>({3e9, 1e10})), (std::vector<uint32_t>{3000000000, 1u << 31}));
  EXPECT_EQ((Cast<double, uint64_t>({1.5e19, 1e20})),
            (std::vector<uint64_t>{15000000000000000000u, uint64_t{1} << 63}));
  EXPECT_EQ((Cast<int64_t, float>({INT64_MIN, 0, 7})), (std::vector<float>{-0x1p63f, 0, 7}));
}

TEST(Pointwise, CastsOfIntegersRoundToTheNearest) {
  ForEachTarget([](const std::string&) {
    auto check = [&]<class T>(T) {
      std::vector<T> x;
      std::vector<float> expected;
      for (int64_t i = 0; i < 300; ++i) {
        x.push_back(static_cast<T>(i % 2 ? std::numeric_limits<T>::max() - i : i * 16777217));
        expected.push_back(static_cast<float>(x.back()));
      }
      EXPECT_EQ((Cast<T, float>(x)), expected) << Name(DTypeOf<T>());
    };
    check(int8_t()), check(uint8_t()), check(int16_t()), check(uint16_t()), check(int32_t());
  });
}

TEST(Pointwise, IntegersFollowTensorFlow) {
  auto run = [](Op op, std::vector<int32_t> x, std::vector<int32_t> y) {
    const DType dtypes[] = {DType::kInt32, DType::kInt32};
    Result<PointwiseKernel> kernel = PointwiseKernel::Compile(Binary(op, DType::kInt32), dtypes);
    GRAFT_CHECK(kernel.ok(), "{}", kernel.status().ToString());
    Scratch scratch(kernel->scratch_bytes());
    std::vector<int32_t> z(x.size());
    const RowsOperand operands[] = {{x.data(), 0, 1}, {y.data(), 0, 1}};
    EXPECT_TRUE(kernel->RunRows(1, x.size(), operands, z.data(), x.size(), scratch.get()));
    return z;
  };
  const std::vector<int32_t> x = {7, -7, 7, -7, INT32_MIN};
  const std::vector<int32_t> y = {2, 2, -2, -2, -1};
  using Values = std::vector<int32_t>;
  EXPECT_EQ(run(Op::kDiv, x, y), (Values{3, -3, -3, 3, INT32_MIN}));
  EXPECT_EQ(run(Op::kFloorDiv, x, y), (Values{3, -4, -4, 3, INT32_MIN}));
  EXPECT_EQ(run(Op::kFloorMod, x, y), (Values{1, 1, -1, -1, 0}));
  EXPECT_EQ(run(Op::kTruncMod, x, y), (Values{1, -1, 1, -1, 0}));
  EXPECT_EQ(run(Op::kPow, {2, -3}, {10, 3}), (Values{1024, -27}));
}

TEST(Pointwise, IntegerArithmeticWithoutAResultFails) {
  auto run = [](Op op, std::vector<int32_t> x, std::vector<int32_t> y) {
    const auto count = static_cast<int64_t>(x.size());
    PointwiseProblem problem;
    problem.program = Binary(op, DType::kInt32);
    problem.inputs.assign(2, {DType::kInt32, {count}, count});
    problem.output = {count};
    problem.output_row_stride = count;
    const PointwiseOperation operation = PointwiseOperation::Make(problem).value();
    const std::unique_ptr<Executor> executor = MakeTbbExecutor(1);
    Scratch scratch(operation.scratch_bytes(1));
    std::vector<int32_t> z(count);
    const void* inputs[] = {x.data(), y.data()};
    void* output = z.data();
    return operation.Run({inputs, {&output, 1}, scratch.get()}, *executor).ok();
  };
  for (const Op op : {Op::kDiv, Op::kFloorDiv, Op::kFloorMod, Op::kTruncMod}) {
    EXPECT_TRUE(run(op, {0, 7}, {1, -2}));
    EXPECT_FALSE(run(op, {7, 7}, {2, 0})) << Name(op);
  }
  EXPECT_TRUE(run(Op::kPow, {0, 1}, {0, 5}));
  EXPECT_FALSE(run(Op::kPow, {1, 2}, {-1, 2}));
}

// The results lie over the divisors: they are zeros, which divided nothing.
TEST(Pointwise, DivisorsAreNotTakenForResults) {
  const DType dtypes[] = {DType::kInt32, DType::kInt32};
  for (const Op op : {Op::kDiv, Op::kFloorDiv, Op::kFloorMod, Op::kTruncMod}) {
    const PointwiseKernel kernel =
        PointwiseKernel::Compile(Binary(op, DType::kInt32), dtypes).value();
    Scratch scratch(kernel.scratch_bytes());
    const std::vector<int32_t> x(3, 0);
    std::vector<int32_t> y = {3, 5, -7};
    const RowsOperand operands[] = {{x.data(), 0, 1}, {y.data(), 0, 1}};
    EXPECT_TRUE(kernel.RunRows(1, 3, operands, y.data(), 3, scratch.get())) << Name(op);
    EXPECT_EQ(y, std::vector<int32_t>(3, 0)) << Name(op);
  }
}

TEST(Pointwise, UnsupportedTypesAreNamed) {
  const DType integer[] = {DType::kInt32};
  EXPECT_FALSE(PointwiseKernel::Compile(Unary(Op::kExp, DType::kInt32), integer).ok());
}

TEST(Pointwise, CastsOfHalvesRoundAsTheirValueTypes) {
  ForEachTarget([](const std::string&) {
    // Every exponent, with mantissas on both sides of the midpoints.
    std::vector<float> x;
    for (uint32_t exponent = 0; exponent < 256; ++exponent) {
      for (uint32_t mantissa : {0x0, 0x1, 0x7fff, 0x8000, 0x8001, 0x17fff, 0x18000, 0xfff, 0x1000,
                                0x1001, 0x2fff, 0x3000, 0x3001, 0x400000, 0x7fffff}) {
        for (uint32_t sign : {0u, 0x80000000u})
          x.push_back(std::bit_cast<float>(sign | exponent << 23 | mantissa));
      }
    }
    auto check = [&]<class T>(T) {
      std::vector<T> narrow(x.size());
      std::vector<float> wide(x.size());
      VectorCastLoop(kF32, DTypeOf<T>())({{x.data()}, {~size_t{0}}, narrow.data(), x.size(), 0, 0});
      VectorCastLoop(DTypeOf<T>(),
                     kF32)({{narrow.data()}, {~size_t{0}}, wide.data(), x.size(), 0, 0});
      for (size_t i = 0; i < x.size(); ++i) {
        const T expected(x[i]);
        if (std::isnan(x[i])) {
          EXPECT_TRUE(std::isnan(narrow[i]) && std::isnan(wide[i]));
        } else {
          EXPECT_EQ(narrow[i].bits(), expected.bits()) << x[i];
          EXPECT_EQ(wide[i], static_cast<float>(expected)) << x[i];
        }
      }
    };
    check(Float16());
    check(BFloat16());
  });
}

TEST(Pointwise, HalvesAreLoweredToFloats) {
  const DType inputs[] = {DType::kFloat16, DType::kFloat16};
  auto lowered = [&](std::string_view text) {
    return ToString(LowerHalves(*ParsePointwise(text), inputs));
  };
  // Rounded after the sum, not after the maximum; the last rounding gives the result.
  EXPECT_EQ(lowered("2:r2=add.f16(r0,r1);r3=relu.f16(r2);r4=mul.f16(r3,r1)"),
            "2:r2=cast.f32(r0);r3=cast.f32(r1);r4=add.f32(r2,r3);r5=cast.f16(r4);"
            "r6=cast.f32(r5);r7=relu.f32(r6);r8=mul.f32(r7,r3);r9=cast.f16(r8)");
  EXPECT_EQ(lowered("2:r2=lt.bool(r0,r1)"), "2:r2=cast.f32(r0);r3=cast.f32(r1);r4=lt.bool(r2,r3)");
  EXPECT_EQ(lowered("2:r2=cast.i32(r0)"), "2:r2=cast.i32(r0)");
  EXPECT_EQ(lowered("2:r2=clamp.f16(r0|0.1,6)"),
            "2:r2=cast.f32(r0);r3=clamp.f32(r2|0.0999755859375,6);r4=cast.f16(r3)");
}

TEST(Pointwise, EmptyProgramCopiesAndConstantFills) {
  PointwiseProgram copy;
  copy.inputs = 1;
  EXPECT_EQ(RunF32(copy, {{{3}, {1, 2, 3}}}, {2, 3}), (std::vector<float>{1, 2, 3, 1, 2, 3}));
  PointwiseProgram fill;
  fill.Add(Op::kConstant, kF32, -1, -1, -1, 1.5);
  EXPECT_EQ(RunF32(fill, {}, {2, 2}), (std::vector<float>(4, 1.5f)));
}

}  // namespace
}  // namespace graft::cpu
