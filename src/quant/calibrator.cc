#include "quant/calibrator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace graft::quant {
namespace {

constexpr std::string_view kNames[] = {"entropy", "percentile", "minmax", "mse"};
constexpr int64_t kLevels = 128;  // of |x|
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The divergences for the first kLevels, kLevels + 1, … bins, in time kLevels each: sums over bins
// are differences of prefix sums, which are exact, since counts are integers.
class Divergences {
 public:
  explicit Divergences(const std::vector<int64_t>& counts)
      : bins_(counts.begin(), counts.end()),
        sum_(counts.size() + 1),
        filled_(counts.size() + 1),
        information_(counts.size() + 1) {
    bins_[0] = bins_[1];
    for (size_t i = 0; i < bins_.size(); ++i) {
      sum_[i + 1] = sum_[i] + bins_[i];
      filled_[i + 1] = filled_[i] + (bins_[i] > 0 ? 1 : 0);
      information_[i + 1] = information_[i] + TimesLog(bins_[i], bins_[i]);
    }
  }

  // Of the clipped distribution p from the q of kLevels levels.
  double Of(int64_t n) const {
    const double all = sum_.back();
    const double inside = sum_[n];
    const double tail = all - inside;
    if (all == 0 || inside == 0) return kInfinity;
    // The tail counts in p's last bin; an empty one is zero in q.
    if (tail > 0 && bins_[n - 1] == 0) return kInfinity;
    const double last = bins_[n - 1] + tail;
    const double p_log_p = information_[n - 1] + TimesLog(last, last);
    double p_log_q = 0;
    double mean = 0;
    for (int64_t level = 0; level < kLevels; ++level) {
      const int64_t begin = FirstBin(level, n);
      const int64_t end = FirstBin(level + 1, n);
      const double filled = filled_[end] - filled_[begin];
      if (filled == 0) continue;
      const double mass = sum_[end] - sum_[begin];
      mean = mass / filled;
      p_log_q += TimesLog(mass, mean);
    }
    // The last bin is not empty where there is a tail, so `mean` is its level's.
    p_log_q += TimesLog(tail, mean);
    return (p_log_p - p_log_q) / all - std::log(all) + std::log(inside);
  }

 private:
  static double TimesLog(double x, double y) { return x == 0 ? 0 : x * std::log(y); }
  static int64_t FirstBin(int64_t level, int64_t n) { return (level * n + kLevels - 1) / kLevels; }

  std::vector<double> bins_, sum_, filled_, information_;
};

}  // namespace

std::string_view Name(Calibrator calibrator) { return kNames[static_cast<int>(calibrator)]; }

std::optional<Calibrator> ParseCalibrator(std::string_view name) {
  const auto at = std::find(std::begin(kNames), std::end(kNames), name);
  if (at == std::end(kNames)) return std::nullopt;
  return static_cast<Calibrator>(at - std::begin(kNames));
}

double Percentile(const Histogram& histogram, double percent) {
  if (histogram.bin_width() == 0) return histogram.amax();
  const double wanted = static_cast<double>(histogram.count()) * percent / 100;
  int64_t seen = 0;
  for (size_t i = 0; i < histogram.bins().size(); ++i) {
    seen += histogram.bins()[i];
    if (static_cast<double>(seen) >= wanted)
      return std::min(static_cast<double>(i + 1) * histogram.bin_width(), histogram.amax());
  }
  return histogram.amax();
}

double Entropy(const Histogram& histogram) {
  const auto n = static_cast<int64_t>(histogram.bins().size());
  if (histogram.bin_width() == 0 || n <= kLevels) return histogram.amax();
  const Divergences divergences(histogram.bins());
  // Equal divergences differ by rounding only.
  constexpr double kSame = 1e-12;
  double least = kInfinity;
  int64_t best = n;
  for (int64_t i = kLevels; i <= n; ++i) {
    const double divergence = divergences.Of(i);
    if (divergence == kInfinity || divergence > least + kSame) continue;
    least = std::min(least, divergence);
    best = i;
  }
  return std::min(static_cast<double>(best) * histogram.bin_width(), histogram.amax());
}

double MeanSquaredError(const Histogram& histogram) {
  if (histogram.bin_width() == 0) return histogram.amax();
  constexpr int kGrid = 100;
  constexpr double kSteps = 127;
  double least = kInfinity;
  double best = histogram.amax();
  for (int g = kGrid / 10; g <= kGrid; ++g) {
    const double end = histogram.amax() * g / kGrid;
    const double step = end / kSteps;
    double error = 0;
    for (size_t i = 0; i < histogram.bins().size(); ++i) {
      const double centre = (static_cast<double>(i) + 0.5) * histogram.bin_width();
      const double rounded = std::min(std::nearbyint(centre / step), kSteps) * step;
      const double off = rounded - centre;
      error += off * off * static_cast<double>(histogram.bins()[i]);
    }
    if (error < least) least = error, best = end;
  }
  return best;
}

double Calibrate(const Histogram& histogram, Calibrator calibrator) {
  switch (calibrator) {
    case Calibrator::kEntropy:
      return std::max(Entropy(histogram), Percentile(histogram, 99.99));
    case Calibrator::kPercentile:
      return Percentile(histogram, 99.999);
    case Calibrator::kMinMax:
      return histogram.amax();
    case Calibrator::kMse:
      return MeanSquaredError(histogram);
  }
  return histogram.amax();
}

}  // namespace graft::quant
