#include "kernels/cpu/reduce/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/cpu/reduce/arg_reduce.h"
#include "kernels/cpu/test_util.h"

namespace graft::cpu {
namespace {

double Join(ReduceKind reduction, double a, double x) {
  switch (reduction) {
    case ReduceKind::kMax:
      return a != a || a > x ? a : x;
    case ReduceKind::kMin:
      return a != a || a < x ? a : x;
    case ReduceKind::kProd:
      return a * x;
    default:
      return a + x;
  }
}

double Identity(ReduceKind reduction) {
  switch (reduction) {
    case ReduceKind::kMax:
      return -HUGE_VAL;
    case ReduceKind::kMin:
      return HUGE_VAL;
    case ReduceKind::kProd:
      return 1;
    default:
      return 0;
  }
}

template <class T>
std::vector<double> Expected(const ReduceProblem& p, const std::vector<T>& x) {
  std::vector<bool> reduced(p.x.size());
  for (int64_t axis : p.axes) reduced[axis] = true;
  int64_t outputs = 1, count = 1;
  for (size_t i = 0; i < p.x.size(); ++i) (reduced[i] ? count : outputs) *= p.x[i];
  std::vector<double> y(outputs, Identity(p.reduction));
  for (size_t i = 0; i < x.size(); ++i) {
    int64_t rest = i, output = 0, stride = 1;
    for (size_t axis = p.x.size(); axis-- > 0; rest /= p.x[axis]) {
      if (reduced[axis]) continue;
      output += rest % p.x[axis] * stride;
      stride *= p.x[axis];
    }
    y[output] = Join(p.reduction, y[output], x[i]);
  }
  for (double& v : y) v /= p.reduction == ReduceKind::kMean ? count : 1;
  return y;
}

TEST(Reduce, AnyAxes) {
  struct Case {
    Dims x;
    std::vector<int64_t> axes;
  };
  const Case cases[] = {
      {{7}, {0}},
      {{100000}, {0}},
      {{3, 5}, {}},
      {{3, 1000}, {1}},
      {{1000, 3}, {0}},
      {{5000, 70}, {0}},
      {{2, 9, 11, 17}, {1, 2}},
      {{2, 9, 11, 17}, {0, 2}},
      {{2, 9, 11, 17}, {0, 1, 2}},
      {{2, 9, 11, 17}, {1, 3}},
      {{3, 4, 1500}, {1}},
      {{4, 0, 3}, {1}},
      {{0, 3}, {1}},
      {{}, {}},
      {{1, 3000, 40}, {0, 1}},
  };
  ForEachTarget([&](const std::string& target) {
    for (const Case& c : cases) {
      for (ReduceKind reduction : {ReduceKind::kSum, ReduceKind::kMean, ReduceKind::kMax,
                                   ReduceKind::kMin, ReduceKind::kProd}) {
        const ReduceProblem p{reduction, DType::kFloat32, c.x, c.axes};
        std::vector<float> x = RandomFloats(CountElements(c.x));
        // Products of thousands of normal values are 0 or infinite.
        if (reduction == ReduceKind::kProd) {
          for (float& v : x) v = 1 + v * 1e-3f;
        }
        const std::vector<double> expected = Expected(p, x);
        const std::vector<float> y =
            RunOperation<float>(ReduceOperation::Make(p).value(), {x.data()}, expected.size());
        // Roundings of K terms, in whatever order, add up like a random walk.
        const double terms = y.empty() ? 1 : static_cast<double>(x.size()) / y.size();
        const double error = 2 * std::sqrt(terms) * std::numeric_limits<float>::epsilon();
        for (size_t i = 0; i < y.size(); ++i) {
          if (std::isfinite(expected[i])) {
            EXPECT_NEAR(y[i], expected[i], error * std::max(1.0, std::abs(expected[i])))
                << target
                << fmt::format(" {} over {}", fmt::join(c.x, ","), fmt::join(c.axes, ","));
          } else {
            EXPECT_EQ(std::isnan(y[i]), std::isnan(expected[i]));
            EXPECT_TRUE(std::isnan(y[i]) || y[i] == expected[i]);
          }
        }
      }
    }
  });
}

TEST(Reduce, LongSumsStayAccurate) {
  const std::vector<float> x(1 << 24, 0.1f);
  const ReduceProblem p{ReduceKind::kMean, DType::kFloat32, {1 << 24}, {0}};
  EXPECT_NEAR(RunOperation<float>(ReduceOperation::Make(p).value(), {x.data()}, 1)[0], 0.1f, 1e-6);
}

TEST(Reduce, ExtremesKeepNan) {
  ForEachTarget([](const std::string&) {
    for (ReduceKind reduction : {ReduceKind::kMax, ReduceKind::kMin}) {
      for (int64_t at : {0, 5, 70}) {
        std::vector<float> x = RandomFloats(100);
        x[at] = NAN;
        for (const Dims& dims : {Dims{100}, Dims{100, 1}}) {
          const ReduceProblem p{reduction, DType::kFloat32, dims, {0}};
          const auto y = RunOperation<float>(ReduceOperation::Make(p).value(), {x.data()}, 1);
          EXPECT_TRUE(std::isnan(y[0])) << at;
        }
      }
    }
  });
}

TEST(Reduce, OtherTypes) {
  const std::vector<int8_t> x = {100, 100, -3, 4, 5, 6};
  const ReduceProblem sum{ReduceKind::kSum, DType::kInt8, {2, 3}, {1}};
  EXPECT_EQ(RunOperation<int8_t>(ReduceOperation::Make(sum).value(), {x.data()}, 2),
            (std::vector<int8_t>{static_cast<int8_t>(197), 15}));
  const ReduceProblem max{ReduceKind::kMax, DType::kInt8, {2, 3}, {0}};
  EXPECT_EQ(RunOperation<int8_t>(ReduceOperation::Make(max).value(), {x.data()}, 3),
            (std::vector<int8_t>{100, 100, 6}));
  const std::vector<uint8_t> flags = {1, 0, 1, 1};
  const ReduceProblem all{ReduceKind::kAll, DType::kBool, {2, 2}, {1}};
  EXPECT_EQ(RunOperation<uint8_t>(ReduceOperation::Make(all).value(), {flags.data()}, 2),
            (std::vector<uint8_t>{0, 1}));
  const ReduceProblem mean{ReduceKind::kMean, DType::kInt8, {2, 3}, {0, 1}};
  EXPECT_EQ(RunOperation<int8_t>(ReduceOperation::Make(mean).value(), {x.data()}, 1),
            (std::vector<int8_t>{35}));
  EXPECT_FALSE(ReduceOperation::Supports(ReduceKind::kMean, DType::kFloat16));
  EXPECT_FALSE(ReduceOperation::Supports(ReduceKind::kSum, DType::kBool));
  EXPECT_FALSE(ReduceOperation::Supports(ReduceKind::kAll, DType::kFloat32));
}

TEST(ArgReduce, FirstExtremeAlongAnyAxis) {
  const std::vector<float> x = {1, 5, 5, NAN, -1, 7, NAN, NAN, NAN};
  const auto rows = ArgReduceOperation::Make({false, DType::kFloat32, DType::kInt32, 3, 3, 1});
  EXPECT_EQ(RunOperation<int32_t>(*rows, {x.data()}, 3), (std::vector<int32_t>{1, 2, 0}));
  const auto columns = ArgReduceOperation::Make({true, DType::kFloat32, DType::kInt64, 1, 3, 3});
  EXPECT_EQ(RunOperation<int64_t>(*columns, {x.data()}, 3), (std::vector<int64_t>{0, 1, 0}));

  const std::vector<float> wide = RandomFloats(50 * 1000);
  const auto many = ArgReduceOperation::Make({false, DType::kFloat32, DType::kInt64, 1, 50, 1000});
  const std::vector<int64_t> y = RunOperation<int64_t>(*many, {wide.data()}, 1000);
  for (int64_t c = 0; c < 1000; ++c) {
    int64_t best = 0;
    for (int64_t r = 1; r < 50; ++r) {
      if (wide[r * 1000 + c] > wide[best * 1000 + c]) best = r;
    }
    EXPECT_EQ(y[c], best);
  }
}

TEST(TopK, SortedWithTiesToTheLowerIndex) {
  const std::vector<float> x = {3, 9, NAN, 9, -1, 4, 4, 4, 4, 4};
  const TopKOperation operation = TopKOperation::Make({DType::kFloat32, 2, 5, 3}).value();
  std::vector<float> values(6);
  std::vector<int32_t> indices(6);
  InlineExecutor executor;
  Scratch scratch(operation.scratch_bytes(1));
  const void* input = x.data();
  void* const outputs[] = {values.data(), indices.data()};
  operation.Run({{&input, 1}, outputs, scratch.get()}, executor);
  EXPECT_EQ(values, (std::vector<float>{9, 9, 3, 4, 4, 4}));
  EXPECT_EQ(indices, (std::vector<int32_t>{1, 3, 0, 0, 1, 2}));
  EXPECT_FALSE(TopKOperation::Make({DType::kFloat32, 1, 2, 3}).ok());
}

}  // namespace
}  // namespace graft::cpu
