#include "quant/calibrator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace graft::quant {
namespace {

// numpy's RandomState: the figures below come from data that it made.
class RandomState {
 public:
  explicit RandomState(uint32_t seed) : generator_(seed) {}

  double Uniform() {
    const auto high = static_cast<double>(generator_() >> 5);
    const auto low = static_cast<double>(generator_() >> 6);
    return (high * 67108864.0 + low) / 9007199254740992.0;
  }
  double Normal() {
    if (has_next_) {
      has_next_ = false;
      return next_;
    }
    double x = 0;
    double y = 0;
    double square = 0;
    do {
      x = 2 * Uniform() - 1;
      y = 2 * Uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square == 0);
    const double f = std::sqrt(-2 * std::log(square) / square);
    next_ = f * x;
    has_next_ = true;
    return f * y;
  }
  double Laplace() {
    for (;;) {
      const double u = Uniform();
      if (u >= 0.5) return -std::log(2 - u - u);
      if (u > 0) return std::log(u + u);
    }
  }

 private:
  std::mt19937 generator_;
  double next_ = 0;
  bool has_next_ = false;
};

constexpr int kElements = 200000;

std::vector<float> Fill(const std::function<double()>& next) {
  std::vector<float> values(kElements);
  for (float& v : values) v = static_cast<float>(next());
  return values;
}

// In four batches.
Histogram Gather(std::span<const float> values) {
  InlineExecutor executor;
  Histogram histogram;
  for (size_t i = 0; i < 4; ++i)
    histogram.Add(values.subspan(i * values.size() / 4, values.size() / 4), executor);
  return histogram;
}

TEST(Calibrators, GiveTheReferenceFigures) {
  struct Golden {
    std::string_view name;
    size_t bins;
    double minmax, p9999, p99999, p999, entropy, mse;
  };
  RandomState r(7);
  std::vector<double> outliers(kElements);
  const std::pair<Golden, std::function<std::vector<float>()>> cases[] = {
      {{"normal", 2506, 5.2584, 3.9525, 4.8026, 3.2955, 4.9138, 4.1016},
       [&] { return Fill([&] { return r.Normal(); }); }},
      {{"laplace", 2741, 16.1236, 8.9484, 12.0253, 6.7598, 8.9778, 10.4804},
       [&] { return Fill([&] { return r.Laplace(); }); }},
      {{"relu normal", 2207, 4.7204, 3.7099, 4.1849, 3.1215, 3.9816, 3.8707},
       [&] { return Fill([&] { return std::max(r.Normal(), 0.0); }); }},
      {{"uniform", 2049, 1.0, 1.0, 1.0, 0.999, 1.0, 1.0},
       [&] { return Fill([&] { return r.Uniform(); }); }},
      {{"normal with outliers", 2048, 13.5067, 4.2142, 12.4779, 3.3041, 4.5374, 10.13},
       [&] {
         for (double& scale : outliers) scale = r.Uniform() < 1e-4 ? 10 : 1;
         size_t i = 0;
         return Fill([&] { return outliers[i++] * r.Normal(); });
       }},
      {{"relu6 sparse", 2048, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0},
       [&] { return Fill([&] { return std::clamp(r.Normal() * 3 - 3, 0.0, 6.0); }); }}};
  for (const auto& [golden, make] : cases) {
    SCOPED_TRACE(golden.name);
    const Histogram histogram = Gather(make());
    constexpr double kDigits = 6e-5;  // the figures have four decimals
    EXPECT_EQ(histogram.bins().size(), golden.bins);
    EXPECT_EQ(histogram.count(), kElements);
    EXPECT_NEAR(Calibrate(histogram, Calibrator::kMinMax), golden.minmax, kDigits);
    EXPECT_NEAR(Percentile(histogram, 99.99), golden.p9999, kDigits);
    EXPECT_NEAR(Calibrate(histogram, Calibrator::kPercentile), golden.p99999, kDigits);
    EXPECT_NEAR(Percentile(histogram, 99.9), golden.p999, kDigits);
    EXPECT_NEAR(Entropy(histogram), golden.entropy, kDigits);
    EXPECT_NEAR(Calibrate(histogram, Calibrator::kMse), golden.mse, kDigits);
    EXPECT_NEAR(Calibrate(histogram, Calibrator::kEntropy), std::max(golden.entropy, golden.p9999),
                kDigits);
  }
}

// The divergences one by one, as the published loop has them.
double EntropyByDefinition(const Histogram& histogram) {
  std::vector<double> bins(histogram.bins().begin(), histogram.bins().end());
  bins[0] = bins[1];
  double least = INFINITY;
  size_t best = bins.size();
  for (size_t n = 128; n <= bins.size(); ++n) {
    std::vector<double> p(bins.begin(), bins.begin() + static_cast<std::ptrdiff_t>(n));
    std::vector<double> q(n);
    for (size_t level = 0; level < 128; ++level) {
      const size_t begin = (level * n + 127) / 128;
      const size_t end = ((level + 1) * n + 127) / 128;
      double mass = 0;
      double filled = 0;
      for (size_t i = begin; i < end; ++i) mass += p[i], filled += p[i] > 0;
      for (size_t i = begin; i < end; ++i) q[i] = p[i] > 0 ? mass / filled : 0;
    }
    for (size_t i = n; i < bins.size(); ++i) p.back() += bins[i];
    double p_sum = 0;
    double q_sum = 0;
    for (size_t i = 0; i < n; ++i) p_sum += p[i], q_sum += q[i];
    double divergence = 0;
    for (size_t i = 0; i < n; ++i) {
      if (p[i] == 0) continue;
      divergence += q[i] == 0 ? INFINITY : p[i] / p_sum * std::log((p[i] / p_sum) / (q[i] / q_sum));
    }
    if (divergence <= least + 1e-12 && divergence < INFINITY)
      least = std::min(least, divergence), best = n;
  }
  return std::min(static_cast<double>(best) * histogram.bin_width(), histogram.amax());
}

TEST(Calibrators, EntropyIsThatOfItsDefinition) {
  RandomState r(3);
  InlineExecutor executor;
  std::vector<float> values(30000);
  for (int kind = 0; kind < 3; ++kind) {
    for (float& v : values) {
      v = static_cast<float>(kind == 0   ? r.Laplace()
                             : kind == 1 ? std::round(r.Normal() * 20)
                                         : std::max(r.Normal() - 1, -0.5));
    }
    Histogram histogram;
    histogram.Add(values, executor);
    EXPECT_DOUBLE_EQ(Entropy(histogram), EntropyByDefinition(histogram)) << kind;
  }
}

// A constant background draws raw entropy onto it; the floor keeps all but 0.01 % of the elements.
TEST(Calibrators, EntropyHasAFloor) {
  InlineExecutor executor;
  std::vector<float> image(100000, -0.81F);
  RandomState r(5);
  for (size_t i = 0; i < image.size(); i += 3) image[i] = static_cast<float>(2 * r.Uniform());
  Histogram histogram;
  histogram.Add(image, executor);
  EXPECT_GE(Calibrate(histogram, Calibrator::kEntropy), Percentile(histogram, 99.99));
}

TEST(Histogram, DoesNotDependOnThreads) {
  RandomState r(1);
  const std::vector<float> values = Fill([&] { return r.Laplace(); });
  const Histogram one = Gather(values);
  Histogram many;
  const std::unique_ptr<Executor> executor = MakeTbbExecutor(4);
  for (size_t i = 0; i < 4; ++i)
    many.Add(std::span(values).subspan(i * values.size() / 4, values.size() / 4), *executor);
  EXPECT_EQ(one.bins(), many.bins());
  EXPECT_EQ(one.amax(), many.amax());
  EXPECT_EQ(one.count(), many.count());
}

TEST(Histogram, TakesEveryBatch) {
  InlineExecutor executor;
  Histogram histogram;
  EXPECT_EQ(Calibrate(histogram, Calibrator::kEntropy), 0);
  const float zeros[] = {0, -0.0F, 0};
  histogram.Add(zeros, executor);
  EXPECT_EQ(histogram.count(), 3);
  for (Calibrator c :
       {Calibrator::kEntropy, Calibrator::kPercentile, Calibrator::kMinMax, Calibrator::kMse})
    EXPECT_EQ(Calibrate(histogram, c), 0) << Name(c);
  const float strange[] = {NAN, INFINITY, -INFINITY, -2};
  histogram.Add(strange, executor);
  EXPECT_EQ(histogram.count(), 4);
  EXPECT_EQ(histogram.amax(), 2);
  EXPECT_EQ(histogram.bins().size(), 2048u);
  EXPECT_EQ(histogram.bins()[0], 3);
  EXPECT_EQ(histogram.bins()[2047], 1);
  const float larger[] = {3};
  histogram.Add(larger, executor);
  EXPECT_EQ(histogram.bins().size(), 3072u);
  const float huge[] = {3e38F};
  histogram.Add(huge, executor);
  EXPECT_EQ(histogram.bins().size(), static_cast<size_t>(Histogram::kMaxBins));
  EXPECT_EQ(histogram.bins().back(), 1);
  Histogram tiny;
  const float denormal[] = {1e-44F};
  tiny.Add(denormal, executor);
  EXPECT_EQ(tiny.bin_width(), 0);
  EXPECT_GT(Calibrate(tiny, Calibrator::kEntropy), 0);
}

TEST(Calibrators, HaveNames) {
  for (Calibrator c :
       {Calibrator::kEntropy, Calibrator::kPercentile, Calibrator::kMinMax, Calibrator::kMse})
    EXPECT_EQ(ParseCalibrator(Name(c)), c);
  EXPECT_EQ(ParseCalibrator("kl"), std::nullopt);
}

}  // namespace
}  // namespace graft::quant
