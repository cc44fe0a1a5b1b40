// The exact forms against direct code in integers and doubles, which holds every product of a
// 32-bit integer with an f32 exactly enough to round it once.
#include "kernels/reference/int8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace graft::reference {
namespace {

// x to the nearest of f32, and to the nearest integer within the range; by the definitions.
float ToFloat(double x) { return static_cast<float>(x); }
int Round(double x, Int8Range range) {
  const double down = std::floor(x);
  const double rest = x - down;
  double whole = rest > 0.5 || (rest == 0.5 && std::fmod(down, 2) != 0) ? down + 1 : down;
  if (whole < range.least) whole = range.least;
  if (whole > range.most) whole = range.most;
  return static_cast<int>(whole);
}

class Numbers {
 public:
  int Int(int least, int most) { return std::uniform_int_distribution(least, most)(generator_); }
  float Scale() { return std::exp(std::uniform_real_distribution(-9.0F, 0.0F)(generator_)); }
  Int8Range Range() {
    const Int8Range ranges[] = {{}, {0, 127}, {0, 100}, {-127, 90}};
    return ranges[Int(0, 3)];
  }

 private:
  std::mt19937 generator_{7};
};

TEST(Int8, RoundsEachOperationOnce) {
  Numbers n;
  for (int i = 0; i < 100000; ++i) {
    const int acc = n.Int(-(1 << n.Int(1, 30)), 1 << n.Int(1, 29));
    const int bias = n.Int(-1000000, 1000000);
    const float m = n.Scale();
    const float m_r = n.Scale() * 30;
    const auto r = static_cast<int8_t>(n.Int(-128, 127));
    const int count = n.Int(1, 49);
    const Int8Range range = n.Range();
    // A product of two f32 is exact in a double; so is a sum of two small ones.
    const float sum = ToFloat(acc + bias);
    const float product = ToFloat(static_cast<double>(sum) * static_cast<double>(m));
    const float residual = ToFloat(static_cast<double>(r) * static_cast<double>(m_r));
    EXPECT_EQ(Requantize(acc, bias, m, range), Round(product, range));
    EXPECT_EQ(RequantizeWithResidual(acc, bias, m, r, m_r, range),
              Round(ToFloat(static_cast<double>(product) + static_cast<double>(residual)), range));
    EXPECT_EQ(RescaleInt8(r, m_r, range), Round(residual, range));
    const float share = ToFloat(static_cast<double>(m_r) / count);
    EXPECT_EQ(MeanInt8(r * count, count, m_r, range),
              Round(ToFloat(static_cast<double>(r) * count * static_cast<double>(share)), range));
    EXPECT_EQ(DequantizeSum(acc, bias, m), product);
  }
}

TEST(Int8, HalvesGoToEven) {
  for (const auto& [sum, expected] : {std::pair(1, 0), {3, 2}, {5, 2}, {-1, 0}, {-3, -2}, {-5, -2}})
    EXPECT_EQ(Requantize(sum, 0, 0.5F), expected) << sum;
  EXPECT_EQ(Requantize(1 << 30, 0, 1), 127);
  EXPECT_EQ(Requantize(-(1 << 30), 0, 1), -127);
  EXPECT_EQ(Requantize(-5, 0, 1, {0, 127}), 0);
  // Above 2^24 the sum is rounded before the product.
  EXPECT_EQ(Requantize((1 << 24) + 1, 0, 0x1p-23F), 2);
  EXPECT_EQ(QuantizeInt8(NAN, 1), -127);
  EXPECT_EQ(QuantizeInt8(INFINITY, 1), 127);
}

// A convolution with a residual over INT8, in plain loops, from the floats it stands for.
TEST(Int8, AConvolutionIsThatOfItsIntegers) {
  Numbers n;
  constexpr int kChannels = 19;
  for (int i = 0; i < 1000; ++i) {
    const float x_scale = n.Scale();
    const float w_scale = n.Scale();
    const float y_scale = n.Scale();
    const float r_scale = n.Scale();
    int32_t acc = 0;
    double exact = 0;
    for (int c = 0; c < kChannels; ++c) {
      const int x = n.Int(0, 127);
      const int w = n.Int(-127, 127);
      acc += x * w;
      exact += static_cast<double>(x_scale) * x * static_cast<double>(w_scale) * w;
    }
    const int32_t bias = n.Int(-5000, 5000);
    exact += static_cast<double>(x_scale) * static_cast<double>(w_scale) * bias;
    const auto r = static_cast<int8_t>(n.Int(-127, 127));
    // What roundings of f32 may make of terms that nearly cancel.
    const double largest = std::abs(exact) + std::abs(static_cast<double>(r_scale) * r);
    exact += static_cast<double>(r_scale) * r;
    const int8_t y =
        RequantizeWithResidual(acc, bias, RequantizingMultiplier(x_scale, w_scale, y_scale), r,
                               RequantizingMultiplier(r_scale, 1, y_scale), {0, 127});
    const double clamped = std::clamp(exact / static_cast<double>(y_scale), 0.0, 127.0);
    EXPECT_NEAR(y, clamped, 0.5 + 3e-7 * largest / static_cast<double>(y_scale));
  }
}

TEST(Int8, TablesHoldEveryInteger) {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const Int8Table table = MakeInt8Table(sigmoid, 8.0F / 127, 127, {0, 127});
  for (int q = -128; q < 128; ++q) {
    const auto y = static_cast<float>(sigmoid(static_cast<double>(8.0F / 127) * q));
    EXPECT_EQ(table[q + 128], Round(ToFloat(static_cast<double>(y) * 127), {0, 127})) << q;
  }
  EXPECT_EQ(table[128], 64) << "half of 127 goes to even";
}

}  // namespace
}  // namespace graft::reference
