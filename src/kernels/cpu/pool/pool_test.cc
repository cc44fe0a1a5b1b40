#include "kernels/cpu/pool/pool.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/cpu/test_util.h"

namespace graft::cpu {
namespace {

// Two spatial dimensions, by definition.
template <class T>
std::vector<T> Expected(const PoolProblem& p, const std::vector<T>& x) {
  std::vector<T> y;
  for (int64_t n = 0; n < p.y[0]; ++n) {
    for (int64_t oh = 0; oh < p.y[1]; ++oh) {
      for (int64_t ow = 0; ow < p.y[2]; ++ow) {
        for (int64_t c = 0; c < p.y[3]; ++c) {
          double maximum = -HUGE_VAL, sum = 0;
          int64_t cells = 0;
          for (int64_t i = 0; i < p.window[0]; ++i) {
            for (int64_t j = 0; j < p.window[1]; ++j) {
              const int64_t h = oh * p.strides[0] - p.pads_before[0] + i;
              const int64_t w = ow * p.strides[1] - p.pads_before[1] + j;
              if (h < 0 || h >= p.x[1] || w < 0 || w >= p.x[2]) continue;
              const double v = x[((n * p.x[1] + h) * p.x[2] + w) * p.x_row_stride + c];
              maximum = std::max(maximum, v);
              sum += v;
              ++cells;
            }
          }
          if (p.count_padding) cells = p.window[0] * p.window[1];
          y.push_back(static_cast<T>(p.pooling == Pooling::kMax ? maximum : sum / cells));
        }
      }
    }
  }
  return y;
}

TEST(Pool, WindowsStridesAndPads) {
  ForEachTarget([](const std::string& target) {
    for (int64_t channels : {1, 3, 8, 17, 64, 100}) {
      for (Pooling pooling : {Pooling::kMax, Pooling::kAverage}) {
        for (bool count_padding : {false, true}) {
          const PoolProblem cases[] = {
              {pooling,
               DType::kFloat32,
               {2, 9, 7, channels},
               channels,
               {2, 5, 4, channels},
               channels,
               {3, 3},
               {2, 2},
               {1, 1},
               count_padding},
              {pooling,
               DType::kFloat32,
               {1, 6, 6, channels},
               channels + 3,
               {1, 1, 1, channels},
               channels,
               {6, 6},
               {1, 1},
               {0, 0},
               count_padding},
              {pooling,
               DType::kFloat32,
               {3, 5, 4, channels},
               channels,
               {3, 5, 2, channels},
               channels,
               {1, 2},
               {1, 2},
               {0, 0},
               count_padding},
          };
          for (const PoolProblem& p : cases) {
            const std::vector<float> x = RandomFloats(p.x[0] * p.x[1] * p.x[2] * p.x_row_stride);
            const std::vector<float> expected = Expected(p, x);
            const std::vector<float> y =
                RunOperation<float>(PoolOperation::Make(p).value(), {x.data()}, expected.size());
            for (size_t i = 0; i < y.size(); ++i) {
              EXPECT_NEAR(y[i], expected[i], 1e-6) << target << " " << channels << " at " << i;
            }
          }
        }
      }
    }
  });
}

// One sum of all the cells, a tenth each, would be 1.5e-4 of itself off.
TEST(Pool, LargeWindowsAreSummedByLines) {
  ForEachTarget([](const std::string& target) {
    for (const int64_t channels : {3, 64}) {
      const PoolProblem p = {Pooling::kAverage,
                             DType::kFloat32,
                             {1, 128, 128, channels},
                             channels,
                             {1, 1, 1, channels},
                             channels,
                             {128, 128},
                             {1, 1},
                             {0, 0},
                             false};
      const std::vector<float> x(static_cast<size_t>(128 * 128 * channels), 0.1f);
      const std::vector<float> y = RunOperation<float>(PoolOperation::Make(p).value(), {x.data()},
                                                       static_cast<size_t>(channels));
      for (const float mean : y) EXPECT_NEAR(mean, 0.1f, 1e-6f) << target;
    }
  });
}

TEST(Pool, MaximaPassNanOverOrKeepIt) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  // Pairs of pixels, with as many channels as there are vectors and tails.
  const float pairs[][2] = {{1, NAN}, {NAN, 1}, {NAN, NAN}, {-HUGE_VALF, -HUGE_VALF}, {3, 2}};
  const float images[] = {1, 1, kLowest, kLowest, 3};
  const float volumes[] = {NAN, NAN, NAN, -HUGE_VALF, 3};
  auto check = [&]<class T>(T, int64_t channels) {
    std::vector<T> x;
    for (const auto& pair : pairs) {
      for (float v : pair) x.insert(x.end(), channels, static_cast<T>(v));
    }
    for (const Pooling pooling : {Pooling::kMax, Pooling::kMaxOrNan}) {
      const PoolProblem p{
          pooling, DTypeOf<T>(), {1, 10, channels}, channels, {1, 5, channels}, channels, {2},
          {2},     {0}};
      const std::vector<T> y =
          RunOperation<T>(PoolOperation::Make(p).value(), {x.data()}, 5 * channels);
      // Not indexed as (… ? images : volumes)[…]: GCC 12's bounds sanitizer reads another element.
      const float* const wanted = pooling == Pooling::kMax ? images : volumes;
      for (int64_t i = 0; i < 5 * channels; ++i) {
        T want = static_cast<T>(wanted[i / channels]);
        if (pooling == Pooling::kMax && i / channels / 2 == 1)
          want = std::numeric_limits<T>::lowest();
        EXPECT_TRUE(y[i] == want || (std::isnan(y[i]) && std::isnan(want))) << i << " " << y[i];
      }
    }
  };
  ForEachTarget([&](const std::string&) {
    for (const int64_t channels : {1, 8, 71}) check(float(), channels), check(double(), channels);
  });
}

TEST(Pool, OtherTypes) {
  const PoolProblem p{Pooling::kMax, DType::kInt8, {1, 4, 4, 3}, 3, {1, 3, 3, 3}, 3,
                      {2, 2},        {1, 1},       {0, 0}};
  std::vector<int8_t> x(48);
  for (int i = 0; i < 48; ++i) x[i] = static_cast<int8_t>(i * 37);
  EXPECT_EQ(RunOperation<int8_t>(PoolOperation::Make(p).value(), {x.data()}, 27), Expected(p, x));
  EXPECT_FALSE(PoolOperation::Supports(Pooling::kAverage, DType::kInt8));
}

}  // namespace
}  // namespace graft::cpu
